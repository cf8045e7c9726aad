-- SPDX-License-Identifier: GPL-3.0-or-later
-- Finds words and patterns in a text. What a word costs does not depend on how many are looked for. Pure.

local folding = module:require "folding";

local M = {};

local LONGEST = 64; -- bytes of a word that patterns look at, and of words that are put together again

local SHORTEST_JOINED = 8; -- bytes of a phrase that counts as well when it is written as one word

local keywords = {};
keywords.__index = keywords;

--- A set of words and phrases, empty.
function M.new()
	return setmetatable({ first = {}; joined = {}; longest = 0 }, keywords);
end

--- Adds a word or phrase. @return whether there is anything in it to look for
function keywords:add(phrase)
	local words = folding.words(folding.fold(phrase));
	if #words == 0 then return false; end
	local node = self.first;
	for _, word in ipairs(words) do
		node[word] = node[word] or {};
		node = node[word];
	end
	node[true] = true;
	local joined = table.concat(words);
	self.joined[joined] = true;
	self.longest = math.max(self.longest, #joined);
	return true;
end

local function begins_here(first, words, at)
	local node = first[words[at]];
	while node do
		if node[true] then return true; end
		at = at + 1;
		node = words[at] and node[words[at]];
	end
	return false;
end

-- Words within letters that stand one by one.
local function is_spelled(self, letters)
	for at = 1, #letters do
		for length = 3, math.min(self.longest, #letters - at + 1, LONGEST) do
			if self.joined[letters:sub(at, at + length - 1)] then return true; end
		end
	end
	return false;
end

--- Is one of them in this text?
-- @param text { words, glued, spelled }, see M.prepare
function keywords:found(text)
	for at = 1, #text.words do
		local word = text.words[at];
		if begins_here(self.first, text.words, at) or #word >= SHORTEST_JOINED and self.joined[word] then return true; end
	end
	for _, word in ipairs(text.glued) do
		if self.joined[word] then return true; end
	end
	for _, letters in ipairs(text.spelled) do
		if is_spelled(self, letters) then return true; end
	end
	return false;
end

--- The words of a folded text: as they stand, those in pieces put together again, and letters that stand one by one.
-- @return { folded, words, present, glued, spelled }
function M.prepare(folded)
	local text = { folded = folded; words = folding.words(folded); present = {}; glued = {}; spelled = {} };
	local letters = {};
	local function over()
		if #letters > 2 then text.spelled[#text.spelled + 1] = table.concat(letters); end
		letters = {};
	end
	for _, word in ipairs(text.words) do
		text.present[word] = true;
		if #word == 1 then letters[#letters + 1] = word; elseif #letters > 0 then over(); end
	end
	over();
	if folded:find("[%w\128-\255][._*~|+-]+[%w\128-\255]") then
		for run in folded:gmatch("[%w\128-\255][%w\128-\255._*~|+-]*") do
			local word = run:gsub("[._*~|+-]+", "");
			if #word < #run and #word <= LONGEST then text.glued[#text.glued + 1] = word; end
		end
	end
	return text;
end

-- Patterns ---------------------------------------------------------------------------------------------------------

local CLASSES = { ["#"] = "%d"; ["@"] = "%l"; ["?"] = "[%l%d]"; ["*"] = "[%w\128-\255]*" };
local MOST_REPEATS, MOST_STARS = 40, 2;

-- One word of a pattern as a Lua pattern for a whole word: only the stars can take more or less, and there are two at most.
local function compile_word(word)
	local made, stars, at = {}, 0, 1;
	while at <= #word do
		local mark = word:match("^[\194-\244][\128-\191]+", at) or word:sub(at, at);
		local class = CLASSES[mark] or mark:gsub("%W", "%%%0");
		at = at + #mark;
		local times, after = word:match("^{(%d%d?)}()", at);
		if times then
			times, at = tonumber(times), after;
			if times < 1 or times > MOST_REPEATS or mark == "*" then return nil; end
		elseif mark:find("[{}]") then
			return nil;
		end
		if mark == "*" then stars = stars + 1; end
		made[#made + 1] = class:rep(times or 1);
	end
	if stars > MOST_STARS then return nil; end
	return table.concat(made);
end

-- Letters are folded as texts are; the marks of the language stay.
local function words_of(pattern)
	local words = {};
	for word in folding.fold(pattern):gmatch("[%w\128-\255#@?*{}]+") do words[#words + 1] = word; end
	return words;
end

--- Compiles a pattern: # is a digit, @ a letter a to z, ? one of both, * any letters and digits within a word (twice in a word
-- at most), {n} repeats what stands before it, 1 to 40 times; a blank or any mark ends a word.
-- @return a list of Lua patterns, one for each word, and one for all of them in one word; or nil when it is none
function M.pattern(pattern)
	local made = {};
	for _, word in ipairs(words_of(pattern)) do
		local compiled = compile_word(word);
		if not compiled then return nil; end
		made[#made + 1] = compiled;
	end
	if #made == 0 then return nil; end
	local joined = table.concat(made);
	local _, stars = joined:gsub("%]%*", "");
	for at, word in ipairs(made) do made[at] = "^" .. word .. "$"; end
	made.joined = stars <= MOST_STARS and "^" .. joined .. "$" or nil;
	return made;
end

local function matches(word, pattern)
	return #word <= LONGEST and word:find(pattern) ~= nil;
end

local function fits(pattern, words, at)
	for offset, part in ipairs(pattern) do
		local word = words[at + offset - 1];
		if not (word and matches(word, part)) then return false; end
	end
	return true;
end

--- Does one of these patterns fit somewhere in this text?
-- @param patterns list of what M.pattern returned
-- @param text     see M.prepare
function M.fits(patterns, text)
	for _, pattern in ipairs(patterns) do
		for at = 1, #text.words do
			if fits(pattern, text.words, at) then return true; end
			if #pattern > 1 and pattern.joined and matches(text.words[at], pattern.joined) then return true; end
		end
		for _, word in ipairs(text.glued) do
			if pattern.joined and matches(word, pattern.joined) then return true; end
		end
	end
	return false;
end

return M;

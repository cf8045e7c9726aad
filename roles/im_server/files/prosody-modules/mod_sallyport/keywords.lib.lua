-- SPDX-License-Identifier: GPL-3.0-or-later
-- Finds words and patterns in a text. What a word costs does not depend on how many are looked for. Pure.

local folding = module:require "folding";

local M = {};

local LONGEST = 64; -- bytes of a word that patterns with two stars look at, and of words that are put together again

local SHORTEST_JOINED = 8; -- bytes of a phrase that counts as well when it is written as one word
local SHORTEST_CUT = 6; -- letters of a word or phrase that counts as well when it is cut elsewhere than between its words
local BEGINNING = 4; -- bytes by which a word that may begin one of those is known

local keywords = {};
keywords.__index = keywords;

--- Words and phrases of many sets, in one: a text is looked through once, however many sets there are. Whatever is
-- found is in no more words than `reach`: as many as a phrase has, or as letters that stand one by one.
function M.new()
	return setmetatable({ first = {}; joined = {}; cut = {}; beginnings = {}; longest = 0; reach = 0; alone = {} }, keywords);
end

-- Most phrases are of one set, and share one list that holds it.
local function with_id(self, ids, id)
	if not ids then return self.alone[id]; end
	local more = { id };
	for _, known in ipairs(ids) do
		if known == id then return ids; end
		more[#more + 1] = known;
	end
	return more;
end

--- The words of a phrase, as they are looked for; none when there is nothing in it to look for.
function M.words(phrase)
	return folding.words(folding.fold(phrase));
end

local function add(self, id, phrase)
	local words = M.words(phrase);
	local node = self.first;
	for _, word in ipairs(words) do
		node[word] = node[word] or {};
		node = node[word];
	end
	node[true] = with_id(self, node[true], id);
	local joined = table.concat(words);
	self.joined[joined] = with_id(self, self.joined[joined], id);
	if select(2, joined:gsub("[^\128-\191]", "")) >= SHORTEST_CUT then
		self.beginnings[joined:sub(1, BEGINNING)], self.cut[joined] = true, self.joined[joined];
	end
	self.longest = math.min(math.max(self.longest, #joined), LONGEST);
	self.reach = math.max(self.reach, #words, math.min(#joined, LONGEST));
end

--- Adds a set, unless it is there.
-- @param id      not nil
-- @param phrases list of words and phrases, each of which has words
function keywords:add(id, phrases)
	if self.alone[id] then return; end
	self.alone[id] = { id };
	for _, phrase in ipairs(phrases) do add(self, id, phrase); end
end

local function note(hits, ids)
	if not ids then return; end
	for _, id in ipairs(ids) do hits[id] = true; end
end

local function note_as_they_stand(self, words, hits)
	for at = 1, #words do
		local node, next_at = self.first[words[at]], at + 1;
		while node do
			note(hits, node[true]);
			node, next_at = words[next_at] and node[words[next_at]], next_at + 1;
		end
	end
end

-- What several words in a row are when nothing stands between them, and phrases in one word.
local function note_in_pieces(self, words, hits)
	local all, first = table.concat(words), 1;
	for at, word in ipairs(words) do
		if self.beginnings[all:sub(first, first + BEGINNING - 1)] then
			local last = first - 1;
			for next_at = at, #words do
				last = last + #words[next_at];
				if last - first >= self.longest then break; end
				if next_at > at or #word >= SHORTEST_JOINED then note(hits, self.cut[all:sub(first, last)]); end
			end
		end
		first = first + #word;
	end
end

-- Words within letters that stand one by one.
local function note_spelled(self, letters, hits)
	for at = 1, #letters do
		for last = at + 2, math.min(at + self.longest - 1, #letters) do note(hits, self.joined[letters:sub(at, last)]); end
	end
end

--- Of which sets is something in this text?
-- @param text { words, glued, spelled }, see M.prepare
-- @return set of ids
function keywords:found(text)
	local hits = {};
	note_as_they_stand(self, text.words, hits);
	note_in_pieces(self, text.words, hits);
	for _, word in ipairs(text.glued) do note(hits, self.joined[word]); end
	for _, letters in ipairs(text.spelled) do note_spelled(self, letters, hits); end
	return hits;
end

--- Words as they stand, and letters that stand one by one.
-- @return { folded, words, present, glued, spelled }
function M.of_words(words, folded)
	local text = { folded = folded; words = words; present = {}; glued = {}; spelled = {} };
	local letters = {};
	local function over()
		if #letters > 2 then text.spelled[#text.spelled + 1] = table.concat(letters); end
		letters = {};
	end
	for _, word in ipairs(words) do
		text.present[word] = true;
		if #word == 1 then letters[#letters + 1] = word; elseif #letters > 0 then over(); end
	end
	over();
	return text;
end

--- The words of a folded text: as they stand, those in pieces put together again, and letters that stand one by one.
-- @return { folded, words, present, glued, spelled }
function M.prepare(folded)
	local text = M.of_words(folding.words(folded), folded);
	if folded:find("[%w\128-\255][._*~|+-]+[%w\128-\255]") then
		for run in folded:gmatch("[%w\128-\255][%w\128-\255._*~|+-]*[%w\128-\255]") do
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
	for word in folding.one_by_one(folding.fold(pattern)):gmatch("[%w\128-\255#@?*{}]+") do words[#words + 1] = word; end
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

-- With two stars, the time goes with the square of the word's length.
local function matches(word, pattern)
	return (#word <= LONGEST or not pattern:find("%]%*.*%]%*")) and word:find(pattern) ~= nil;
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

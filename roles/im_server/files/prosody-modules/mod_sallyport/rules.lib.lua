-- SPDX-License-Identifier: GPL-3.0-or-later
-- The site's own rules about what is written: each is a list of conditions that must all hold. They are asked last, when
-- nothing else refuses. docs/rules.md describes them. Pure.

local addresses = module:require "addresses";
local folding = module:require "folding";
local keywords = module:require "keywords";
local numbers = module:require "numbers";
local rates = module:require "rates";
local texts = module:require "texts";

local M = {};

-- What one person wrote to the same reader just before is read together with what she writes now.
local REMEMBERED_SECONDS, REMEMBERED_BYTES, REMEMBERED_PAIRS, RATED = 60, 2048, 5000, 10000;

local UPLOAD = "urn:xmpp:http:upload:0"; -- XEP-0363
local GRAVITY = { log = 1; warn = 2; refuse = 3 };

local rules = {};
rules.__index = rules;

local function set_of(list)
	local set = {};
	for _, value in ipairs(list) do set[value] = true; end
	return set;
end

-- Nil for a list that is left out: then anybody is meant, and with an empty one nobody.
local function set_or_nil(list, null)
	return list ~= nil and list ~= null and set_of(list) or nil;
end

-- Of many rules that use the same list it is prepared once.
local function blocklists(lists, names)
	local made = {};
	for _, name in ipairs(names) do
		local list = lists[name];
		list.blocked = list.blocked or addresses.blocklist(list.lines);
		made[#made + 1] = list.blocked;
	end
	return made;
end

-- Adds what a rule looks for to the words of all rules. @return the ids of its sets
local function add_keywords(all, rule, lists)
	local ids = { rule };
	all:add(rule, rule.keywords);
	for _, name in ipairs(rule.keyword_lists) do
		all:add(lists[name], lists[name].lines);
		ids[#ids + 1] = lists[name];
	end
	return ids;
end

local function compile_rule(rule, all, lists, imitated, null)
	local made = {
		id = rule.id; reason = rule.reason; action = rule.action; directions = set_of(rule.directions);
		from = set_or_nil(rule.from, null); to = set_or_nil(rule.to, null); to_rooms = set_of(rule.to_rooms);
		hours = rule.hours; rate = rule.rate ~= null and rule.rate or nil; patterns = {}; validators = rule.validators;
		keywords = add_keywords(all, rule, lists); blocked = blocklists(lists, rule.blocked_lists);
		imitated = rule.lookalike and imitated or nil; lying = rule.lying;
		extensions = set_of(rule.extensions); media_types = set_of(rule.media_types);
	};
	if #rule.blocked > 0 then table.insert(made.blocked, addresses.blocklist(rule.blocked)); end
	for at, pattern in ipairs(rule.patterns) do made.patterns[at] = keywords.pattern(pattern); end
	made.has_keywords = #rule.keywords + #rule.keyword_lists > 0;
	made.about_words = made.has_keywords or #made.patterns + #made.validators > 0;
	made.about_links = #made.blocked > 0 or made.imitated ~= nil or made.lying;
	made.about_files = #rule.extensions + #rule.media_types > 0;
	return made;
end

-- In how many words in a row is whatever the rules look for?
local function reach_of(made)
	local reach = math.max(numbers.REACH, made.keywords.reach);
	for _, rule in ipairs(made.list) do
		for _, pattern in ipairs(rule.patterns) do reach = math.max(reach, #pattern); end
	end
	return reach;
end

--- Prepares the rules of a policy without faults.
-- @param policy the document: rules, names (that others may imitate), zone
-- @param lists  name -> { lines }
-- @param means  { ascii, unicode (see addresses.lib.lua), cache = function(size) -> see rates.lib.lua, now = function() -> seconds,
--               null }
function M.new(policy, lists, means)
	local made = setmetatable({
		list = {}; keywords = keywords.new(); zone = policy.zone; means = means;
		recent = means.cache(REMEMBERED_PAIRS); rated = means.cache(RATED);
	}, rules);
	local imitated = addresses.imitated(policy.names, means);
	for at, rule in ipairs(policy.rules) do
		made.list[at] = compile_rule(rule, made.keywords, lists, imitated, means.null);
		made.about_words = made.about_words or made.list[at].about_words;
	end
	made.reach = reach_of(made);
	return made;
end

-- Days since 1970 (proleptic Gregorian calendar).
local function days_of(year, month, day)
	if month <= 2 then year, month = year - 1, month + 12; end
	return 365 * year + math.floor(year / 4) - math.floor(year / 100) + math.floor(year / 400)
		+ math.floor((153 * (month - 3) + 2) / 5) + day - 719469;
end

-- Day of the week, from Monday as 1, and minute of the day, so many minutes east of UTC.
local function local_time(instant, offset)
	local year, month, day, hour, minute = instant:match("^(%d+)-(%d+)-(%d+)T(%d+):(%d+)");
	local minutes = days_of(tonumber(year), tonumber(month), tonumber(day)) * 1440 + hour * 60 + minute + offset;
	return math.floor(minutes / 1440 + 3) % 7 + 1, minutes % 1440;
end

local function offset_at(zone, instant)
	local offset = 0;
	for _, change in ipairs(zone) do
		if change[1] > instant then break; end
		offset = change[2];
	end
	return offset;
end

-- A span that ends before it begins goes over midnight, and belongs to the day on which it begins.
local function is_within(span, day, minute)
	if span.from < span["until"] then return span.days[day] and minute >= span.from and minute < span["until"]; end
	return span.days[day] and minute >= span.from or span.days[(day + 5) % 7 + 1] and minute < span["until"];
end

--- Is it one of these hours?
-- @param hours list of { days = list of 1 (Monday) to 7, from, until (minutes of the day), utc }
-- @param zone  list of { instant from which on, minutes east of UTC }, in order
function M.in_hours(hours, zone, instant)
	for _, span in ipairs(hours) do
		local day, minute = local_time(instant, span.utc and 0 or offset_at(zone, instant));
		if is_within({ days = set_of(span.days); from = span.from; ["until"] = span["until"] }, day, minute) then return true; end
	end
	return #hours == 0;
end

-- Who and when; costs next to nothing.
local function may_apply(self, rule, seen, instant)
	if not rule.directions[seen.direction or "inside"] then return false; end
	if rule.from and not (seen.source == "person" and rule.from[seen.from]) then return false; end
	if rule.to then
		local person = seen.occupant or (seen.target == "person" or seen.target == "self") and seen.to;
		local room = seen.target == "room" and seen.to;
		if not (person and rule.to[person] or room and rule.to_rooms[room]) then return false; end
	end
	return M.in_hours(rule.hours, self.zone, instant);
end

local function has_file(rule, stanza)
	local request = stanza.name == "iq" and stanza.tags[1];
	if not (request and request.attr.xmlns == UPLOAD and request.name == "request") then return false; end
	local name = folding.fold(request.attr.filename or "");
	local kind = (request.attr["content-type"] or ""):lower():match("^[^;%s]*");
	if rule.media_types[kind] or rule.media_types[(kind:match("^[^/]*/") or "") .. "*"] then return true; end
	-- "a.exe ", "a.exe." and "a.pdf.exe" are programs as well
	local ending = (name:match("^.*[^%s.]") or ""):match("^.*%.([^.]*)$");
	return ending ~= nil and rule.extensions[ending] ~= nil;
end

local function has_keyword(self, rule, text)
	if not rule.has_keywords then return true; end
	text.hits = text.hits or self.keywords:found(text);
	for _, id in ipairs(rule.keywords) do
		if text.hits[id] then return true; end
	end
	return false;
end

local function has_words(self, rule, text)
	return has_keyword(self, rule, text) and (#rule.patterns == 0 or keywords.fits(rule.patterns, text))
		and (#rule.validators == 0 or numbers.found(rule.validators, text));
end

local function has_link(rule, found, means)
	return #rule.blocked > 0 and addresses.blocked(rule.blocked, found.addresses)
		or rule.imitated ~= nil and addresses.imitates(rule.imitated, found.addresses, means)
		or rule.lying and addresses.lies(found.anchors, means);
end

local function is_rated(self, rule, seen)
	if not rule.rate then return true; end
	local key = table.concat({ rule.id, seen.from or seen.contact or "", seen.domain or "" }, "\0");
	return not rates.take(self.rated, key, self.means.now(), rule.rate.messages, rule.rate.messages / (rule.rate.minutes * 60));
end

-- What stands behind a mark that turns the direction (U+202E, up to U+202C or the end of the line) is shown backwards.
local TURNED, BACK = "\226\128\174", "\226\128\172";

local function backwards(text)
	local marks = {};
	for mark in text:gmatch("[^\128-\191][\128-\191]*") do marks[#marks + 1] = mark; end
	for at = 1, math.floor(#marks / 2) do marks[at], marks[#marks + 1 - at] = marks[#marks + 1 - at], marks[at]; end
	return table.concat(marks);
end

local function as_shown(text)
	return ((text:gsub("[\r\n]", BACK .. "%0") .. BACK):gsub(TURNED .. "(.-)" .. BACK, backwards));
end

local function read(stanza, means)
	local found = texts.read(stanza);
	local folded = {};
	found.addresses = {};
	for at = 1, #found.pieces do
		if found.pieces[at]:find(TURNED, 1, true) then found.pieces[#found.pieces + 1] = as_shown(found.pieces[at]); end
	end
	for at, piece in ipairs(found.pieces) do
		folded[at] = folding.fold(piece);
		for _, address in ipairs(addresses.found(piece, means)) do table.insert(found.addresses, address); end
	end
	found.text = keywords.prepare(table.concat(folded, "\n"));
	return found;
end

local function key_of(stanza)
	local from, to = stanza.attr.from or "", stanza.attr.to or "";
	return from:gsub("/.*", "") .. "\0" .. to:gsub("/.*", "");
end

-- What was written just before, if it still counts.
local function remembered(self, stanza)
	local before, now = self.recent:get(key_of(stanza)), self.means.now();
	return before and now - before.at <= REMEMBERED_SECONDS and now >= before.at and before or nil;
end

local function append(list, words, first, last)
	for at = first, last do list[#list + 1] = words[at]; end
	return list;
end

-- The last of these words, so many at most and no more bytes than are remembered.
local function last_words(words, count)
	local bytes, first = 0, #words + 1;
	while first > 1 and first > #words - count + 1 and bytes + #words[first - 1] <= REMEMBERED_BYTES do
		first = first - 1;
		bytes = bytes + #words[first];
	end
	return append({}, words, first, #words);
end

local function last_run(text)
	local words = text:match("^.*[%w\128-\255]");
	return words and words:sub(words:match("^.*[^%w\128-\255]()") or 1);
end

local function once(make)
	local made;
	return function()
		made = made or make();
		return made;
	end;
end

-- What came before and what comes now: the one alone, both whole, and what is around the place where they touch. In that is
-- whatever begins in the one and ends in the other, and it may be in pieces that say more than the whole.
local function seam(self, before, now)
	local last, first = last_run(before.folded), now.folded:match("^[^%w\128-\255]*([%w\128-\255]+)");
	-- a word may be cut between the two
	local cut = last and first and "\n" .. last .. first or "";
	return {
		alone = once(function() return keywords.prepare(before.folded); end);
		whole = once(function() return keywords.prepare(before.folded .. " " .. now.folded .. cut); end);
		around = once(function()
			local words, parts = append({}, before.words, 1, #before.words), folding.words(cut);
			append(append(words, now.words, 1, math.min(self.reach, #now.words)), parts, 1, #parts);
			return keywords.of_words(words, numbers.seam(before.folded, now.folded, cut));
		end);
	};
end

-- What a rule has met is not held against what follows: for it, only what came behind that was said before.
-- @return what was said before, as this rule has it; nil for nothing
local function behind(self, before, rule)
	local bytes = before and before.met[rule.id];
	if not bytes then return before; end
	if bytes == 0 then return nil; end
	local folded = before.folded:sub(-bytes);
	return { folded = folded; words = last_words(folding.words(folded), self.reach) };
end

local function remember(self, stanza, found, before, hits)
	local folded = found.text.folded;
	if stanza.name ~= "message" or not folded:find("%S") then return; end
	local met = {};
	for id, bytes in pairs(before and before.met or {}) do
		-- with the blank between the two; what was met may have left the memory by then
		bytes = bytes + 1 + #folded;
		met[id] = bytes < REMEMBERED_BYTES and bytes or nil;
	end
	for _, rule in ipairs(hits) do met[rule.id] = 0; end
	local words = found.text.words;
	if before then
		folded = before.folded .. " " .. folded;
		words = append(append({}, before.words, 1, #before.words), words, math.max(1, #words - self.reach + 1), #words);
	end
	-- the end of a longer word or number is none of its own
	if #folded > REMEMBERED_BYTES then folded = folded:sub(-REMEMBERED_BYTES):gsub("^[%w\128-\255]*[%d%p%s]*", ""); end
	self.recent:set(key_of(stanza), { folded = folded; words = last_words(words, self.reach); at = self.means.now(); met = met });
end

-- May there be something in this text that a rule needs?
local function has_part(self, rule, text)
	return rule.has_keywords and has_keyword(self, rule, text) or keywords.fits(rule.patterns, text)
		or numbers.has_part(rule.validators, text);
end

-- Do the words of before and of now meet a rule together? What met it alone was judged then, by the rules of then.
-- What they meet together only, has a part in what comes now, or one that begins before and ends now: most messages bring no
-- such part, and the whole is not read again for each of them.
local function completes(self, rule, found, before, together)
	local mine = behind(self, before, rule);
	if not mine then return false; end
	if mine ~= before then together = seam(self, mine, found.text); end
	if not (has_part(self, rule, found.text) or has_part(self, rule, together.around())) then return false; end
	return has_words(self, rule, together.whole()) and not has_words(self, rule, together.alone());
end

--- Which rules does this stanza meet?
-- @param stanza  not deeper than facts.lib.lua lets pass
-- @param seen    its facts
-- @param instant the time, see policy.lib.lua
-- @return list of rules { id, action, reason }, empty when there is none
function rules:met(stanza, seen, instant)
	local hits, wanted = {}, {};
	for _, rule in ipairs(self.list) do
		if may_apply(self, rule, seen, instant) then wanted[#wanted + 1] = rule; end
	end
	if #wanted == 0 and not self.about_words then return hits; end
	local found = read(stanza, self.means);
	-- typing, a receipt, a question: nothing that anybody reads
	if #found.pieces == 0 then return hits; end
	local before = self.about_words and remembered(self, stanza) or nil;
	local together = before and seam(self, before, found.text);
	for _, rule in ipairs(wanted) do
		local hit = rule.about_files or rule.about_words or stanza.name == "message";
		if hit and rule.about_files then hit = has_file(rule, stanza); end
		if hit and rule.about_links then hit = has_link(rule, found, self.means); end
		if hit and rule.about_words then
			hit = has_words(self, rule, found.text) or completes(self, rule, found, before, together);
		end
		if hit and is_rated(self, rule, seen) then hits[#hits + 1] = rule; end
	end
	if not self.about_words then return hits; end
	-- what was refused has not been read, and what was said before it may still be completed
	if #hits == 0 or M.gravest(hits).action ~= "refuse" then remember(self, stanza, found, before, hits); end
	return hits;
end

--- The gravest of these rules. @param hits not empty
function M.gravest(hits)
	local gravest = hits[1];
	for _, rule in ipairs(hits) do
		if GRAVITY[rule.action] > GRAVITY[gravest.action] then gravest = rule; end
	end
	return gravest;
end

return M;

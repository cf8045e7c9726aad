-- SPDX-License-Identifier: GPL-3.0-or-later
-- Checks the rules in the document that the kit compiled, for document.lib.lua, which has the means. Pure.

local keywords = module:require "keywords";
local numbers = module:require "numbers";

local M = {};

local RULE = {};
for name in ([[
	id reason action directions from to to_rooms hours rate keywords keyword_lists patterns validators blocked blocked_lists lookalike
	lying extensions media_types
]]):gmatch("%S+") do RULE[name] = true; end

local ACTIONS = { log = true; warn = true; refuse = true };
local DIRECTIONS = { inside = true; ["in"] = true; out = true };
local MOST_PATTERNS = 100; -- in all rules together: each word of a text is compared with each of them

-- A list of texts that pass this check.
local function texts(check, path, value, allowed, fits)
	if not check.is_list(value) then return check:fault(path, value, "a list of texts"); end
	for index, one in ipairs(value) do
		if type(one) ~= "string" or one == "" or fits and not fits(one) then check:fault(("%s[%d]"):format(path, index), one, allowed); end
	end
	return true;
end

local function number(check, path, value, least, most)
	if type(value) == "number" and value % 1 == 0 and value >= least and value <= most then return true; end
	return check:fault(path, value, ("a whole number from %d to %d"):format(least, most));
end

local function boolean(check, path, value)
	return type(value) == "boolean" or check:fault(path, value, "true or false");
end

local function hours(check, path, value)
	if not check.is_list(value) then return check:fault(path, value, "a list of spans"); end
	for index, span in ipairs(value) do
		local here = ("%s[%d]"):format(path, index);
		if check:fields(here, span, { days = true; from = true; ["until"] = true; utc = true }) then
			number(check, here .. ".from", span.from, 0, 1440);
			number(check, here .. ".until", span["until"], 0, 1440);
			boolean(check, here .. ".utc", span.utc);
			if not check.is_list(span.days) then
				check:fault(here .. ".days", span.days, "a list of days");
			else
				for at, day in ipairs(span.days) do number(check, ("%s.days[%d]"):format(here, at), day, 1, 7); end
			end
		end
	end
end

local function rule(check, path, value, data)
	if not check:fields(path, value, RULE) then return 0; end
	if type(value.id) ~= "string" or not value.id:find("^[a-z][a-z0-9-]*$") then check:fault(path .. ".id", value.id, "an id"); end
	check:text(path .. ".reason", value.reason);
	if not ACTIONS[value.action] then check:fault(path .. ".action", value.action, "log, warn or refuse"); end
	texts(check, path .. ".directions", value.directions, "inside, in or out", function(one) return DIRECTIONS[one]; end);
	if not check.absent(value.from) then check:known(path .. ".from", value.from, data.people, "people"); end
	if not check.absent(value.to) then check:known(path .. ".to", value.to, data.people, "people"); end
	check:known(path .. ".to_rooms", value.to_rooms, data.rooms, "rooms");
	check:known(path .. ".keyword_lists", value.keyword_lists, data.lists, "lists");
	check:known(path .. ".blocked_lists", value.blocked_lists, data.lists, "lists");
	hours(check, path .. ".hours", value.hours);
	if not check.absent(value.rate) and check:fields(path .. ".rate", value.rate, { messages = true; minutes = true }) then
		number(check, path .. ".rate.messages", value.rate.messages, 1, 10000);
		number(check, path .. ".rate.minutes", value.rate.minutes, 1, 1440);
	end
	texts(check, path .. ".keywords", value.keywords, "a text with a letter or digit", function(one) return #keywords.words(one) > 0; end);
	texts(check, path .. ".patterns", value.patterns, "a pattern of docs/rules.md", keywords.pattern);
	texts(check, path .. ".validators", value.validators, "a kind of number of this version", function(one) return numbers.KINDS[one]; end);
	for _, name in ipairs({ "blocked", "extensions", "media_types" }) do texts(check, path .. "." .. name, value[name], "a text"); end
	boolean(check, path .. ".lookalike", value.lookalike);
	boolean(check, path .. ".lying", value.lying);
	return check.is_list(value.patterns) and #value.patterns or 0;
end

local function zone(check, value)
	if not check.is_list(value) then return check:fault("zone", value, "a list of changes of the clock"); end
	for index, change in ipairs(value) do
		local here = ("zone[%d]"):format(index);
		if not check.is_list(change) or #change ~= 2 then
			check:fault(here, change, "an instant and minutes");
		else
			check:time(here .. "[1]", change[1], true);
			number(check, here .. "[2]", change[2], -1440, 1440);
		end
	end
	return true;
end

--- Finds what is wrong with rules, lists, names and zone.
-- @param check the checker of document.lib.lua
-- @param data  the document
function M.find(check, data)
	if not check.is_object(data.lists) then return check:fault("lists", data.lists, "an object"); end
	for name, digest in pairs(data.lists) do
		-- it becomes the name of a file
		if not name:find("^[%w_.+-]+$") or name:find("^%.") then check:fault("lists", name, "letters, digits, dot, dash, plus, underscore"); end
		if type(digest) ~= "string" or #digest ~= 64 or digest:find("[^0-9a-f]") then
			check:fault("lists." .. name, digest, "a SHA-256 as 64 digits 0-9 and a-f");
		end
	end
	texts(check, "names", data.names, "a full domain name in small letters", check.is_domain);
	zone(check, data.zone);
	if not check.is_list(data.rules) then return check:fault("rules", data.rules, "a list of rules"); end
	local patterns = 0;
	for index, one in ipairs(data.rules) do patterns = patterns + rule(check, ("rules[%d]"):format(index), one, data); end
	if patterns > MOST_PATTERNS then check:fault("rules", data.rules, ("rules with %d patterns in all"):format(MOST_PATTERNS)); end
	return true;
end

return M;

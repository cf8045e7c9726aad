-- SPDX-License-Identifier: GPL-3.0-or-later
-- Contact lists from the groups of the policy. Pure.
-- People with the same groups see the same people, so one list per combination of groups serves them all:
-- 500 people in one group cost one list, not 500.

local M = {};

local EMPTY = { items = {}; names = {}; version = 1 };

local contacts = {};
contacts.__index = contacts;

--- @param policy compiled policy, or nil (everybody's list is then empty)
-- @param today  YYYY-MM-DD
-- @param digest function(text) -> positive whole number, the version of a list (RFC 6121, 2.6)
function M.new(policy, today, digest)
	return setmetatable({ policy = policy; today = today; digest = digest; lists = {}; steps = {} }, contacts);
end

local function sorted(set)
	local list = {};
	for value in pairs(set) do list[#list + 1] = value; end
	table.sort(list);
	return list;
end

-- Only groups that the reader sees are shown: the others are nobody's business.
local function titles(policy, person, sees)
	local shown, text = {}, {};
	for _, group in ipairs(sorted(person.groups)) do
		if sees[group] then
			shown[policy.groups[group].title] = true;
			text[#text + 1] = policy.groups[group].title;
		end
	end
	return shown, table.concat(text, "\2");
end

local function build(self, sees)
	local policy, items, lines = self.policy, {}, {};
	local seen = {};
	for group in pairs(sees) do
		for name in pairs(policy.members[group]) do seen[name] = true; end
	end
	local names = {};
	for _, name in ipairs(sorted(seen)) do
		if policy:valid(name, self.today) then
			local person = policy.people[name];
			local shown, text = titles(policy, person, sees);
			-- Shared by all readers of this list: nothing may change an item in place.
			local line = name .. "\1" .. person.name .. "\1" .. text;
			items[name .. "@" .. policy.domain] = { subscription = "both"; name = person.name; groups = shown };
			names[name .. "@" .. policy.domain] = line;
			lines[#lines + 1] = line;
		end
	end
	return { items = items; names = names; version = self.digest(table.concat(lines, "\n")) };
end

--- The list of one person, that person included (whoever uses it leaves that entry out).
-- @return { items = address -> roster item, version = number }
function contacts:list(name)
	local policy = self.policy;
	if not policy or not policy:valid(name, self.today) then return EMPTY; end
	local sees = policy.people[name].sees;
	local key = table.concat(sorted(sees), "\1");
	local list = self.lists[key];
	if not list then
		list = build(self, sees);
		self.lists[key] = list;
	end
	return list;
end

--- What turns one list into another.
-- @return { added = {address…}, changed = {address…}, removed = {address…} }
function M.difference(old, new)
	local step = { added = {}; changed = {}; removed = {} };
	for address, line in pairs(new.names) do
		if not old.names[address] then
			step.added[#step.added + 1] = address;
		elseif old.names[address] ~= line then
			step.changed[#step.changed + 1] = address;
		end
	end
	for address in pairs(old.names) do
		if not new.names[address] then step.removed[#step.removed + 1] = address; end
	end
	return step;
end

--- The same, remembered: most people take the same step.
function contacts:step(old, new)
	local known = self.steps[old];
	if not known then
		known = {};
		self.steps[old] = known;
	end
	if not known[new] then known[new] = M.difference(old, new); end
	return known[new];
end

return M;

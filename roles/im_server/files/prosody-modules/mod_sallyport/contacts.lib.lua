-- SPDX-License-Identifier: GPL-3.0-or-later
-- Contact lists from the groups and the partners of the policy. Pure.
-- People with the same groups and partners see the same contacts, so one list per combination serves them all:
-- 500 people in one group cost one list, not 500.

local M = {};

local EMPTY = { items = {}; names = {}; version = 1 };

local contacts = {};
contacts.__index = contacts;

--- @param policy compiled policy, or nil (everybody's list is then empty)
-- @param now    the instant that the lists are for
-- @param digest function(text) -> positive whole number, the version of a list (RFC 6121, 2.6)
function M.new(policy, now, digest)
	return setmetatable({ policy = policy; now = now; digest = digest; lists = {}; steps = {} }, contacts);
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

-- Shared by all readers of the list: nothing may change an item in place.
local function add(list, address, name, shown, text)
	local line = name .. "\1" .. text;
	list.items[address] = { subscription = "both"; name = name; groups = shown };
	list.names[address] = line;
	list.lines[#list.lines + 1] = address .. "\1" .. line;
end

local function build(self, sees, domains)
	local policy, list, seen = self.policy, { items = {}; names = {}; lines = {} }, {};
	for group in pairs(sees) do
		for name in pairs(policy.members[group]) do seen[name] = true; end
	end
	for _, name in ipairs(sorted(seen)) do
		if policy:valid(name, self.now) then
			local person = policy.people[name];
			add(list, name .. "@" .. policy.domain, person.name, titles(policy, person, sees));
		end
	end
	for _, domain in ipairs(domains) do
		local partner = policy.partners[domain];
		for _, contact in ipairs(sorted(partner.contacts)) do
			add(list, contact .. "@" .. domain, partner.contacts[contact], { [partner.name] = true }, partner.name);
		end
	end
	list.version = self.digest(table.concat(list.lines, "\n"));
	return list;
end

--- The list of one person, that person included (whoever uses it leaves that entry out).
-- @return { items = address -> roster item, names = address -> what is shown as one text, version = number }
function contacts:list(name)
	local policy = self.policy;
	if not policy or not policy:valid(name, self.now) then return EMPTY; end
	local sees, domains = policy.people[name].sees, policy:partners_of(name, self.now);
	local key = table.concat(sorted(sees), "\1") .. "\2" .. table.concat(domains, "\1");
	local list = self.lists[key];
	if not list then
		list = build(self, sees, domains);
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

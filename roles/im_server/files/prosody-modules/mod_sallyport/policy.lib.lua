-- SPDX-License-Identifier: GPL-3.0-or-later
-- The message policy: checks the document that the kit compiled, and prepares it for quick answers.
-- Pure: no Prosody API, so that it is tested without a server.

local FORMAT = 1;

local M = {};

-- JSON null arrives as a marker that depends on the decoder; the caller names it.
local function absent(value, null)
	return value == nil or value == null;
end

local function is_object(value)
	if type(value) ~= "table" then return false; end
	for key in pairs(value) do
		if type(key) ~= "string" then return false; end
	end
	return true;
end

local function is_list(value)
	if type(value) ~= "table" then return false; end
	local count = 0;
	for key in pairs(value) do
		if type(key) ~= "number" then return false; end
		count = count + 1;
	end
	return count == #value;
end

local function show(value)
	if type(value) == "string" then return ("%q"):format(value:sub(1, 60)); end
	if type(value) == "table" then return is_list(value) and "a list" or "an object"; end
	return tostring(value);
end

local DAYS = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

local function is_date(value)
	if type(value) ~= "string" then return false; end
	local month, day = value:match("^%d%d%d%d%-(%d%d)%-(%d%d)$");
	month, day = tonumber(month), tonumber(day);
	return month ~= nil and DAYS[month] ~= nil and day >= 1 and day <= DAYS[month];
end

local checker = {};
checker.__index = checker;

function checker:fault(path, value, allowed)
	self.faults[#self.faults + 1] = ("%s: is %s, must be %s"):format(path, show(value), allowed);
	return false;
end

function checker:text(path, value)
	return type(value) == "string" and value ~= "" or self:fault(path, value, "a text that is not empty");
end

-- Unknown fields are refused: a field that this version does not know may be one that restricts something.
function checker:fields(path, value, known)
	if not is_object(value) then return self:fault(path, value, "an object"); end
	for key, child in pairs(value) do
		if not known[key] then self:fault(path .. "." .. key, child, "left out (this version does not know it)"); end
	end
	return true;
end

function checker:known_groups(path, value, groups)
	if not is_list(value) then return self:fault(path, value, "a list of groups"); end
	for index, name in ipairs(value) do
		if type(name) ~= "string" or not (is_object(groups) and groups[name]) then
			self:fault(("%s[%d]"):format(path, index), name, "one of the groups of this file");
		end
	end
	return true;
end

-- A name that is used as the local part of an address, already in the prepared form.
function checker:name(path, value)
	if type(value) == "string" and value:find("^[a-z0-9][a-z0-9._-]*$") then return true; end
	return self:fault(path, value, "small letters, digits, dot, dash and underscore");
end

function checker:person(path, person, groups)
	if not self:fields(path, person, { name = true; groups = true; from = true; ["until"] = true }) then return; end
	self:text(path .. ".name", person.name);
	self:known_groups(path .. ".groups", person.groups, groups);
	for _, key in ipairs({ "from", "until" }) do
		local value = person[key];
		if not absent(value, self.null) and not is_date(value) then
			self:fault(path .. "." .. key, value, "null or a date YYYY-MM-DD");
		end
	end
end

function checker:group(path, name, group, groups)
	if not self:fields(path, group, { title = true; sees = true }) then return; end
	self:text(path .. ".title", group.title);
	if not self:known_groups(path .. ".sees", group.sees, groups) then return; end
	local itself = false;
	for _, seen in ipairs(group.sees) do
		itself = itself or seen == name;
		local other = is_object(groups[seen]) and groups[seen].sees;
		local back = false;
		for _, candidate in ipairs(is_list(other) and other or {}) do back = back or candidate == name; end
		if not back then self:fault(path .. ".sees", seen, "a group that sees this one too"); end
	end
	if not itself then self:fault(path .. ".sees", group.sees, "a list that contains the group itself"); end
end

--- Finds everything that is wrong with a decoded policy document.
-- @param data   the decoded JSON
-- @param domain the domain of the server that reads it
-- @param null   the decoder's marker for null
-- @return a list of one-line faults, empty when the document is good
function M.faults(data, domain, null)
	local check = setmetatable({ faults = {}; null = null }, checker);
	if not is_object(data) then
		check:fault("policy", data, "an object");
		return check.faults;
	end
	if data.format ~= FORMAT then
		-- Nothing else of another format can be judged.
		check:fault("format", data.format, ("%d (the file was made by another version of the kit)"):format(FORMAT));
		return check.faults;
	end
	check:fields("policy", data, {
		format = true; kit = true; site = true; domain = true; rooms_domain = true; files_domain = true;
		people = true; groups = true; rooms = true; calls = true;
	});
	for _, key in ipairs({ "kit", "site", "domain", "rooms_domain", "files_domain" }) do check:text(key, data[key]); end
	if data.domain ~= domain then check:fault("domain", data.domain, ("%q, the domain of this server"):format(domain)); end
	if data.calls ~= "refuse" and data.calls ~= "permit" then check:fault("calls", data.calls, '"refuse" or "permit"'); end
	for _, section in ipairs({ "people", "groups", "rooms" }) do
		if not is_object(data[section]) then
			check:fault(section, data[section], "an object");
			return check.faults;
		end
	end
	for name, group in pairs(data.groups) do
		check:name("groups." .. name, name);
		check:group("groups." .. name, name, group, data.groups);
	end
	for name, person in pairs(data.people) do
		check:name("people." .. name, name);
		check:person("people." .. name, person, data.groups);
	end
	for name, room in pairs(data.rooms) do
		local path = "rooms." .. name;
		check:name(path, name);
		if check:fields(path, room, { title = true; groups = true }) then
			check:text(path .. ".title", room.title);
			check:known_groups(path .. ".groups", room.groups, data.groups);
		end
	end
	table.sort(check.faults);
	return check.faults;
end

local function set_of(list)
	local set = {};
	for _, value in ipairs(list) do set[value] = true; end
	return set;
end

local methods = {};
methods.__index = methods;

--- Is this a person of the site whose dates include today?
-- Both ends are inclusive; dates are compared as text, which is right for YYYY-MM-DD.
function methods:valid(name, today)
	local person = name and self.people[name];
	if not person then return false; end
	return (not person.first or person.first <= today) and (not person.last or today <= person.last);
end

--- May these two exchange anything today? Cost: the number of groups of the second person.
function methods:may_talk(one, other, today)
	if not (self:valid(one, today) and self:valid(other, today)) then return false; end
	local sees = self.people[one].sees;
	for group in pairs(self.people[other].groups) do
		if sees[group] then return true; end
	end
	return false;
end

--- Is this person a member of that room today?
function methods:entitled(name, room, today)
	local wanted = room and self.rooms[room];
	if not wanted or not self:valid(name, today) then return false; end
	for group in pairs(self.people[name].groups) do
		if wanted.groups[group] then return true; end
	end
	return false;
end

--- Prepares a document that has no faults.
-- @return an object with the methods valid, may_talk and entitled
function M.compile(data, null)
	local policy = setmetatable({
		domain = data.domain; rooms_domain = data.rooms_domain; files_domain = data.files_domain;
		calls = data.calls; people = {}; groups = {}; rooms = {}; members = {};
	}, methods);
	for name, group in pairs(data.groups) do
		policy.groups[name] = { title = group.title; sees = set_of(group.sees) };
		policy.members[name] = {};
	end
	for name, person in pairs(data.people) do
		local sees = {};
		for _, group in ipairs(person.groups) do
			policy.members[group][name] = true;
			for seen in pairs(policy.groups[group].sees) do sees[seen] = true; end
		end
		policy.people[name] = {
			name = person.name; groups = set_of(person.groups); sees = sees;
			first = not absent(person.from, null) and person.from or nil;
			last = not absent(person["until"], null) and person["until"] or nil;
		};
	end
	for name, room in pairs(data.rooms) do
		policy.rooms[name] = { title = room.title; groups = set_of(room.groups) };
	end
	return policy;
end

return M;

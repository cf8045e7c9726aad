-- SPDX-License-Identifier: GPL-3.0-or-later
-- Checks the document that the kit compiled: the message policy of one server.
-- Pure: no Prosody API, so that it is tested without a server.

local rule_faults = module:require "rule_faults";

local FORMAT = 3;

local M = {};

-- JSON null arrives as a marker that depends on the decoder, and may be a table; the caller of faults() names it.
local null;

local function absent(value)
	return value == nil or value == null;
end

local function is_object(value)
	if type(value) ~= "table" or value == null then return false; end
	for key in pairs(value) do
		if type(key) ~= "string" then return false; end
	end
	return true;
end

local function is_list(value)
	if type(value) ~= "table" or value == null then return false; end
	local count = 0;
	for key in pairs(value) do
		if type(key) ~= "number" then return false; end
		count = count + 1;
	end
	return count == #value;
end

local function show(value)
	if type(value) == "string" then return ("%q"):format(value:sub(1, 60)); end
	if type(value) == "table" and value ~= null then return is_list(value) and "a list" or "an object"; end
	return tostring(value);
end

local DAYS = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

-- Instants of this one form compare as text.
local function is_instant(value)
	if type(value) ~= "string" then return false; end
	local month, day, hour, minute, second = value:match("^%d%d%d%d%-(%d%d)%-(%d%d)T(%d%d):(%d%d):(%d%d)Z$");
	if not month then return false; end
	month, day = tonumber(month), tonumber(day);
	return DAYS[month] ~= nil and day >= 1 and day <= DAYS[month]
		and tonumber(hour) < 24 and tonumber(minute) < 60 and tonumber(second) < 60;
end

-- A full domain name (RFC 1035) in the one form that is compared: small letters, no dot at its end; foreign names as xn--.
local function is_domain(value)
	if type(value) ~= "string" or #value > 253 or not value:find(".", 1, true) then return false; end
	for label in (value .. "."):gmatch("([^.]*)%.") do
		if #label > 63 or not label:find("^[a-z0-9][a-z0-9-]*$") or label:find("%-$") then return false; end
	end
	return true;
end

local CERTIFICATE = "%-%-%-%-%-BEGIN CERTIFICATE%-%-%-%-%-[%w%s+/=]+%-%-%-%-%-END CERTIFICATE%-%-%-%-%-";

-- The certificates in a text, each for itself; nothing of a key may be among them.
local function certificates(text)
	local found = {};
	for pem in text:gmatch(CERTIFICATE) do found[#found + 1] = pem .. "\n"; end
	return not text:find("PRIVATE KEY", 1, true) and #found > 0 and found or nil;
end

local checker = { absent = absent; is_object = is_object; is_list = is_list; is_domain = is_domain };
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

-- A list of names that stand in another section of the file.
function checker:known(path, value, section, what)
	if not is_list(value) then return self:fault(path, value, "a list of " .. what); end
	for index, name in ipairs(value) do
		if type(name) ~= "string" or not (is_object(section) and section[name]) then
			self:fault(("%s[%d]"):format(path, index), name, ("one of the %s of this file"):format(what));
		end
	end
	return true;
end

function checker:one_of(path, value, first, second)
	return value == first or value == second or self:fault(path, value, ("%q or %q"):format(first, second));
end

function checker:time(path, value, needed)
	if is_instant(value) or not needed and absent(value) then return true; end
	return self:fault(path, value, (needed and "" or "null or ") .. "an instant YYYY-MM-DDTHH:MM:SSZ");
end

-- A name that is used as the local part of an address, already in the prepared form.
function checker:name(path, value)
	if type(value) == "string" and value:find("^[a-z0-9][a-z0-9._-]*$") then return true; end
	return self:fault(path, value, "small letters, digits, dot, dash and underscore");
end

function checker:person(path, person, groups)
	if not self:fields(path, person, { name = true; groups = true; from = true; ["until"] = true }) then return; end
	self:text(path .. ".name", person.name);
	self:known(path .. ".groups", person.groups, groups, "groups");
	self:time(path .. ".from", person.from);
	self:time(path .. ".until", person["until"]);
end

function checker:group(path, name, group, groups)
	if not self:fields(path, group, { title = true; sees = true }) then return; end
	self:text(path .. ".title", group.title);
	if not self:known(path .. ".sees", group.sees, groups, "groups") then return; end
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

function checker:room(path, room, groups)
	if not self:fields(path, room, { title = true; groups = true }) then return; end
	self:text(path .. ".title", room.title);
	self:known(path .. ".groups", room.groups, groups, "groups");
end

function checker:contacts(path, contacts)
	if not is_object(contacts) then return self:fault(path, contacts, "an object"); end
	for name, title in pairs(contacts) do
		-- as RFC 7622, 3.3 has it for ASCII, already in the prepared form
		if #name > 1023 or not name:find("^[a-z0-9!#$%%*+.=?^_`{|}~-]+$") then
			self:fault(path .. "." .. name, name, "the part before the @ of an address, in small letters");
		end
		self:text(path .. "." .. name, title);
	end
	return true;
end

function checker:authority(path, value)
	if absent(value) then return true; end
	local found = type(value) == "string" and certificates(value);
	if not found then return self:fault(path, value, "null or certificates in PEM form, without any key"); end
	for index, pem in ipairs(found) do
		if self.readable and not self.readable(pem) then
			self:fault(("%s[%d]"):format(path, index), pem, "a certificate that can be read");
		end
	end
	return true;
end

function checker:fingerprints(path, value)
	if not is_list(value) then return self:fault(path, value, "a list of fingerprints"); end
	for index, one in ipairs(value) do
		if type(one) ~= "string" or #one ~= 64 or one:find("[^0-9a-f]") then
			self:fault(("%s[%d]"):format(path, index), one, "a SHA-256 as 64 digits 0-9 and a-f");
		end
	end
	return true;
end

function checker:servers(path, value)
	if not is_list(value) then return self:fault(path, value, "a list of domain names"); end
	for index, one in ipairs(value) do
		if not is_domain(one) then self:fault(("%s[%d]"):format(path, index), one, "a full domain name in small letters"); end
	end
	return true;
end

local PARTNER = {
	name = true; from = true; ["until"] = true; people = true; contacts = true; whole_domain = true; authority = true;
	fingerprints = true; servers = true;
};

function checker:partner(path, domain, partner, data)
	if not is_domain(domain) then
		self:fault(path, domain, "a full domain name in small letters");
	elseif domain == data.domain or type(data.domain) == "string" and ("." .. domain):sub(-#data.domain - 1) == "." .. data.domain then
		self:fault(path, domain, "the domain of somebody else than this server");
	end
	if not self:fields(path, partner, PARTNER) then return; end
	self:text(path .. ".name", partner.name);
	self:time(path .. ".from", partner.from);
	self:time(path .. ".until", partner["until"], true);
	self:known(path .. ".people", partner.people, data.people, "people");
	self:contacts(path .. ".contacts", partner.contacts);
	if type(partner.whole_domain) ~= "boolean" then
		self:fault(path .. ".whole_domain", partner.whole_domain, "true or false");
	end
	self:authority(path .. ".authority", partner.authority);
	self:fingerprints(path .. ".fingerprints", partner.fingerprints);
	self:servers(path .. ".servers", partner.servers);
end

-- An internal server has rooms and files and no partners; an external one the other way round.
function checker:profile(data)
	if not self:one_of("profile", data.profile, "internal", "external") then return; end
	local internal = data.profile == "internal";
	for _, key in ipairs({ "rooms_domain", "files_domain" }) do
		if internal and not is_domain(data[key]) then
			self:fault(key, data[key], "a full domain name in small letters");
		elseif not internal and not absent(data[key]) then
			self:fault(key, data[key], "null on an external server");
		end
	end
	local empty = internal and "partners" or "rooms";
	if is_object(data[empty]) and next(data[empty]) ~= nil then
		self:fault(empty, data[empty], ("empty on an %s server"):format(data.profile));
	end
end

local RATES = { messages_per_minute = 100000; burst = 100000 };

function checker:rates(rates)
	if not self:fields("rates", rates, RATES) then return; end
	for key, most in pairs(RATES) do
		local value = rates[key];
		if type(value) ~= "number" or value % 1 ~= 0 or value < 1 or value > most then
			self:fault("rates." .. key, value, ("a whole number from 1 to %d"):format(most));
		end
	end
end

local DOCUMENT = {
	format = true; kit = true; site = true; profile = true; domain = true; rooms_domain = true; files_domain = true;
	people = true; groups = true; rooms = true; calls = true; partners = true; partner_links = true; rates = true;
	body = true; end_to_end_encryption = true; notice = true; rules = true; lists = true; names = true; zone = true;
};

--- Finds everything that is wrong with a decoded policy document.
-- @param data     the decoded JSON
-- @param domain   the domain of the server that reads it
-- @param marker   the decoder's marker for null
-- @param readable function(PEM text of one certificate) -> whether it can be read; without it, its form alone counts
-- @return a list of one-line faults, empty when the document is good
function M.faults(data, domain, marker, readable)
	null = marker;
	local check = setmetatable({ faults = {}; readable = readable }, checker);
	if not is_object(data) then
		check:fault("policy", data, "an object");
		return check.faults;
	end
	if data.format ~= FORMAT then
		-- Nothing else of another format can be judged.
		check:fault("format", data.format, ("%d (the file was made by another version of the kit)"):format(FORMAT));
		return check.faults;
	end
	check:fields("policy", data, DOCUMENT);
	for _, key in ipairs({ "kit", "site" }) do check:text(key, data[key]); end
	if data.domain ~= domain then check:fault("domain", data.domain, ("%q, the domain of this server"):format(domain)); end
	check:profile(data);
	check:one_of("calls", data.calls, "refuse", "permit");
	check:one_of("partner_links", data.partner_links, "refuse", "permit");
	check:one_of("end_to_end_encryption", data.end_to_end_encryption, "forbid", "permit");
	if type(data.notice) ~= "string" then check:fault("notice", data.notice, "a text, empty for none"); end
	if data.body ~= "none" and data.body ~= "hash" and data.body ~= "full" then
		check:fault("body", data.body, '"none", "hash" or "full"');
	end
	check:rates(data.rates);
	for _, section in ipairs({ "people", "groups", "rooms", "partners" }) do
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
		check:name("rooms." .. name, name);
		check:room("rooms." .. name, room, data.groups);
	end
	for name, partner in pairs(data.partners) do check:partner("partners." .. name, name, partner, data); end
	rule_faults.find(check, data);
	table.sort(check.faults);
	return check.faults;
end

M.certificates = certificates;

return M;

-- SPDX-License-Identifier: GPL-3.0-or-later
-- The message policy, prepared for quick answers: who may talk to whom, who is a member, which partner is current.
-- Pure: no Prosody API, so that it is tested without a server. document.lib.lua has checked the document before.
-- `now` is always an instant as text, YYYY-MM-DDTHH:MM:SSZ in UTC: such texts compare as the times do.

local M = {};

local function set_of(list)
	local set = {};
	for _, value in ipairs(list) do set[value] = true; end
	return set;
end

local methods = {};
methods.__index = methods;

-- From the first instant on, until the other one, which is over.
local function holds(entry, now)
	return (not entry.from or entry.from <= now) and (not entry.over or now < entry.over);
end

--- Is this a person of the site whose time is now?
function methods:valid(name, now)
	local person = name and self.people[name];
	return person ~= nil and holds(person, now);
end

--- The partner of a domain, while its time lasts.
-- @return the partner, or nil and the rule that refuses the domain
function methods:partner(domain, now)
	local partner = domain and self.partners[domain];
	if not partner then return nil, "foreign-domain"; end
	if not holds(partner, now) then return nil, "not-current"; end
	return partner;
end

--- May this person and that address at a partner exchange anything now?
function methods:may_exchange(name, domain, contact, now)
	local partner = self:partner(domain, now);
	if not (partner and contact and partner.people[name] and self:valid(name, now)) then return false; end
	return partner.whole_domain or partner.contacts[contact] ~= nil;
end

--- The domains of the partners that somebody may talk to now, in order.
function methods:partners_of(name, now)
	local found = {};
	if not self:valid(name, now) then return found; end
	for domain, partner in pairs(self.partners) do
		if partner.people[name] and holds(partner, now) then found[#found + 1] = domain; end
	end
	table.sort(found);
	return found;
end

--- The next instant at which something begins or ends, nil when nothing ever does.
function methods:next_change(now)
	for _, instant in ipairs(self.instants) do
		if instant > now then return instant; end
	end
	return nil;
end

--- May these two people exchange anything now? Cost: the number of groups of the second person.
function methods:may_talk(one, other, now)
	if not (self:valid(one, now) and self:valid(other, now)) then return false; end
	local sees = self.people[one].sees;
	for group in pairs(self.people[other].groups) do
		if sees[group] then return true; end
	end
	return false;
end

--- Is this person a member of that room now?
function methods:entitled(name, room, now)
	local wanted = room and self.rooms[room];
	if not wanted or not self:valid(name, now) then return false; end
	for group in pairs(self.people[name].groups) do
		if wanted.groups[group] then return true; end
	end
	return false;
end

local function instants(...)
	local known, list = {}, {};
	for _, section in ipairs({ ... }) do
		for _, entry in pairs(section) do
			for _, instant in pairs({ entry.from, entry.over }) do
				if not known[instant] then list[#list + 1] = instant; end
				known[instant] = true;
			end
		end
	end
	table.sort(list);
	return list;
end

-- The names that are a partner's, with all below them: its domain, its servers, and what a server's name hangs on, when more
-- than a name and an ending remain of it (xmpp.hoster.example -> hoster.example): files lie beside the server.
local function names_of(domain, servers)
	local names = { domain };
	for _, server in ipairs(servers) do
		local parent = server:match("^[^.]+%.(.+%..+)$");
		names[#names + 1] = server;
		if parent then names[#names + 1] = parent; end
	end
	return names;
end

--- Prepares a document that has no faults.
-- @param null  the decoder's marker for null
-- @param spell function(domain) -> the domain as addresses have it: foreign letters for xn--; without it, unchanged
-- @return an object with the methods valid, may_talk, entitled, partner, may_exchange, partners_of and next_change
function M.compile(data, null, spell)
	local function known(value)
		if value ~= null then return value; end
	end
	local policy = setmetatable({
		profile = data.profile; domain = data.domain;
		rooms_domain = known(data.rooms_domain); files_domain = known(data.files_domain);
		calls = data.calls; body = data.body; notice = data.notice; partner_links = data.partner_links; rates = data.rates;
		people = {}; groups = {}; rooms = {}; members = {}; partners = {};
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
			from = known(person.from); over = known(person["until"]);
		};
	end
	for name, room in pairs(data.rooms) do
		policy.rooms[name] = { title = room.title; groups = set_of(room.groups) };
	end
	for domain, partner in pairs(data.partners) do
		policy.partners[spell and spell(domain) or domain] = {
			name = partner.name; from = known(partner.from); over = partner["until"];
			people = set_of(partner.people); contacts = partner.contacts; whole_domain = partner.whole_domain;
			authority = known(partner.authority); fingerprints = set_of(partner.fingerprints);
			pinned = #partner.fingerprints > 0; names = names_of(domain, partner.servers);
		};
	end
	-- only among the site's own, and never across the border
	policy.encryption = data.end_to_end_encryption == "permit" and data.profile == "internal";
	policy.instants = instants(policy.people, policy.partners);
	return policy;
end

return M;

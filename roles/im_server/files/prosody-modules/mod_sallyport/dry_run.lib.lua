-- SPDX-License-Identifier: GPL-3.0-or-later
-- prosodyctl mod_sallyport dry-run DOMAIN <DOCUMENT: what the rules of a policy would have said of the messages in the archive.
-- A process of its own that reads and writes nothing else. DOCUMENT: { "policy": the policy as text, "lists": { name: text } }.
-- Prints a table: rule, action, hits, and of each rule some samples with their digits masked.

local cache = require "prosody.util.cache".new;
local encodings = require "prosody.util.encodings";
local jid = require "prosody.util.jid";
local json = require "prosody.util.json";
local st = require "prosody.util.stanza";
local storage = require "prosody.core.storagemanager";

local documents = module:require "document";
local policies = module:require "policy";
local rules = module:require "rules";
local texts = module:require "texts";

local MOST_SAMPLES, LONGEST_SAMPLE = 5, 60; -- of each rule; characters
local MUC_USER = "http://jabber.org/protocol/muc#user";

-- One line, shortened between two characters, without digits: a sample must not leak what the rule is there to stop.
local function sample(stanza)
	local shown, subject = texts.shown(stanza);
	local text = ((subject and subject .. " | " or "") .. (shown or "")):gsub("%c", " "):gsub("%d", "#");
	if not encodings.utf8.valid(text) then return "?"; end
	local over = utf8.offset(text, LONGEST_SAMPLE + 1);
	return over and text:sub(1, over - 1) .. "…" or text;
end

-- The facts that rules look at, from the archive alone.
local function facts_of(stanza, policy)
	local from, host = jid.split(stanza.attr.from);
	local to, there, resource = jid.split(stanza.attr.to);
	local seen = { answer = stanza.attr.type == "error" };
	if host == policy.domain then
		seen.source, seen.from = "person", from;
	else
		seen.source, seen.contact, seen.domain, seen.direction = "partner", from, host, "in";
	end
	if there == policy.domain then
		seen.target, seen.to = to == seen.from and "self" or "person", to;
	elseif there == policy.rooms_domain then
		seen.target, seen.to = resource and "occupant" or "room", to;
	else
		seen.target, seen.contact, seen.domain, seen.direction = "partner", to, there, "out";
	end
	return seen;
end

local function each_message(host, store, names, call)
	storage.initialize_host(host);
	local _, driver = storage.get_driver(host, store);
	-- what Prosody falls back to, and takes everything for empty
	assert(driver and driver ~= "null", "The archive of " .. host .. " cannot be opened");
	local archive = assert(storage.open(host, store, "archive"));
	for name in pairs(names) do
		local found = archive:find(name, {});
		for _, item, when in found or function() end do call(st.is_stanza(item) and item or st.deserialize(item), when, name); end
	end
end

-- Each message once: that of a colleague in the archive of its sender, that of a partner in the reader's.
local function replay(policy, look)
	each_message(policy.domain, "archive", policy.people, function(stanza, when, owner)
		local from, host = jid.split(stanza.attr.from);
		if from == owner and host == policy.domain or host ~= policy.domain and host ~= policy.rooms_domain then look(stanza, when); end
	end);
	if not policy.rooms_domain then return; end
	each_message(policy.rooms_domain, "muc_log", policy.rooms, function(stanza, when, room)
		local item = stanza.name == "message" and stanza:find("{" .. MUC_USER .. "}x/item");
		if not (item and item.attr.jid) then return; end
		stanza.attr.from, stanza.attr.to = item.attr.jid, room .. "@" .. policy.rooms_domain;
		look(stanza, when);
	end);
end

local function fail(...)
	io.stderr:write(string.format(...), "\n");
	return 1;
end

local function dry_run(domain, input)
	local given = json.decode(input);
	local data = given and json.decode(given.policy or "");
	if not data then return fail("There is no policy in what was given"); end
	local faults = documents.faults(data, domain, json.null);
	if #faults > 0 then return fail("The policy does not fit the version on this server: %s", table.concat(faults, "; ")); end
	local lists = {};
	for name in pairs(data.lists) do
		local lines = {};
		for line in (given.lists[name] or ""):gmatch("[^\n]+") do lines[#lines + 1] = line; end
		lists[name] = { lines = lines };
	end
	local clock, messages, hits, samples = 0, 0, {}, {};
	local policy = policies.compile(data, json.null);
	local set = rules.new(data, lists, {
		ascii = encodings.idna.to_ascii; unicode = encodings.idna.to_unicode; cache = cache; null = json.null;
		now = function() return clock; end;
	});
	replay(policy, function(stanza, when)
		local seen = facts_of(stanza, policy);
		if seen.answer then return; end
		clock, messages = when, messages + 1;
		for _, rule in ipairs(set:met(stanza, seen, os.date("!%Y-%m-%dT%H:%M:%SZ", math.floor(when)))) do
			hits[rule.id] = (hits[rule.id] or 0) + 1;
			samples[rule.id] = samples[rule.id] or {};
			if #samples[rule.id] < MOST_SAMPLES then table.insert(samples[rule.id], sample(stanza)); end
		end
	end);
	print(("%s: %d messages, %d rules"):format(domain, messages, #data.rules));
	for _, rule in ipairs(data.rules) do
		print(("%-32s %-7s %7d"):format(rule.id, rule.action, hits[rule.id] or 0));
		for _, text in ipairs(samples[rule.id] or {}) do print("    " .. text); end
	end
	return 0;
end

function module.command(arg)
	if arg[1] ~= "dry-run" or not arg[2] then return fail("Usage: prosodyctl mod_sallyport dry-run DOMAIN <DOCUMENT"); end
	return dry_run(arg[2], io.read("*a"));
end

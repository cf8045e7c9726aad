-- SPDX-License-Identifier: GPL-3.0-or-later
local helper = dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "./") .. "helper.lua");
local documents = helper.load("sallyport", "document");
local policies = helper.load("sallyport", "policy");

local PEM = "-----BEGIN CERTIFICATE-----\nTUlJ\n-----END CERTIFICATE-----\n";
local OTHER_FORMAT = "(the file was made by another version of the kit)";
local NAME = "small letters, digits, dot, dash and underscore";
local DOMAIN = "a full domain name in small letters";
local LOCALPART = "the part before the @ of an address, in small letters";
local UNKNOWN = "left out (this version does not know it)";
local AUTHORITY = "null or certificates in PEM form, without any key";
local RATE = "a whole number from 1 to 100000";

local function faults(change, document, domain, readable)
	local data = document();
	if change then data = change(data) or data; end
	return documents.faults(data, domain, helper.null, readable);
end

local function internal(change) return faults(change, helper.document, "im.x"); end
local function external(change, readable) return faults(change, helper.external_document, "ext.x", readable); end

-- A change of one partner of the external document.
local function partner(change)
	return function(d) change(d.partners["partner.x"], d); end
end

local function renamed(domain)
	return function(d) d.partners[domain], d.partners["partner.x"] = d.partners["partner.x"], nil; end
end

describe("the policy document", function()
	it("has no faults as the kit makes it", function()
		assert.same({}, internal());
		assert.same({}, external());
	end);

	it("may name nobody", function()
		assert.same({}, internal(function(d) d.people, d.groups, d.rooms = {}, {}, {}; end));
		assert.same({}, external(function(d) d.people, d.groups, d.partners = {}, {}, {}; end));
	end);

	it("may have authorities and fingerprints, and foreign names as xn--", function()
		assert.same({}, external(partner(function(p)
			p.authority, p.fingerprints = PEM .. PEM, { ("0a"):rep(32) };
		end)));
		assert.same({}, external(renamed("xn--bcher-kva.example")));
	end);

	local cases = {
		{ "is no object", function() return "text"; end, 'policy: is "text", must be an object' };
		{ "is a list", function() return { 1, 2 }; end, "policy: is a list, must be an object" };
		{ "has an older format", function(d) d.format = 1; end, "format: is 1, must be 3 " .. OTHER_FORMAT };
		{ "has its format as text", function(d) d.format = "2"; end, 'format: is "2", must be 3 ' .. OTHER_FORMAT };
		{ "belongs to another domain", function(d) d.domain = "im.y"; end, 'domain: is "im.y", must be "im.x", the domain of this server' };
		{ "knows more than we do", function(d) d.words = 5; end, "policy.words: is 5, must be " .. UNKNOWN };
		{ "is of no site", function(d) d.site = nil; end, "site: is nil, must be a text that is not empty" };
		{ "lacks people", function(d) d.people = nil; end, "people: is nil, must be an object" };
		{ "has a number for groups", function(d) d.groups = 5; end, "groups: is 5, must be an object" };
		{ "lacks partners", function(d) d.partners = nil; end, "partners: is nil, must be an object" };
		{ "has a person as text", function(d) d.people.alice = "x"; end, 'people.alice: is "x", must be an object' };
		{ "has a person with more fields", function(d) d.people.alice.admin = true; end, "people.alice.admin: is true, must be " .. UNKNOWN };
		{ "has a nameless person", function(d) d.people.alice.name = ""; end, 'people.alice.name: is "", must be a text that is not empty' };
		{ "has a person in an unknown group", function(d) d.people.alice.groups = { "staf" }; end, 'people.alice.groups[1]: is "staf", must be one of the groups of this file' };
		{ "has groups that are no list", function(d) d.people.alice.groups = { staff = true }; end, "people.alice.groups: is an object, must be a list of groups" };
		{ "has a mere date", function(d) d.people.alice.from = "2026-01-01"; end, 'people.alice.from: is "2026-01-01", must be null or an instant YYYY-MM-DDTHH:MM:SSZ' };
		{ "has an instant of another zone", function(d) d.people.alice.from = "2026-01-01T00:00:00+01:00"; end, 'people.alice.from: is "2026-01-01T00:00:00+01:00", must be null or an instant YYYY-MM-DDTHH:MM:SSZ' };
		{ "has a day that does not exist", function(d) d.people.alice["until"] = "2026-02-30T00:00:00Z"; end, 'people.alice.until: is "2026-02-30T00:00:00Z", must be null or an instant YYYY-MM-DDTHH:MM:SSZ' };
		{ "has a month that does not exist", function(d) d.people.alice["until"] = "2026-13-01T00:00:00Z"; end, 'people.alice.until: is "2026-13-01T00:00:00Z", must be null or an instant YYYY-MM-DDTHH:MM:SSZ' };
		{ "has an hour that does not exist", function(d) d.people.alice["until"] = "2026-01-01T24:00:00Z"; end, 'people.alice.until: is "2026-01-01T24:00:00Z", must be null or an instant YYYY-MM-DDTHH:MM:SSZ' };
		{ "has a capital in a name", function(d) d.people.Alice, d.people.alice = d.people.alice, nil; end, 'people.Alice: is "Alice", must be ' .. NAME };
		{ "has one-sided sight", function(d) d.groups.staff.sees = { "board", "staff" }; end, 'groups.staff.sees: is "board", must be a group that sees this one too' };
		{ "has a group that does not see itself", function(d) d.groups.staff.sees = {}; end, "groups.staff.sees: is a list, must be a list that contains the group itself" };
		{ "has a room of an unknown group", function(d) d.rooms.hall.groups[3] = "x"; end, 'rooms.hall.groups[3]: is "x", must be one of the groups of this file' };
		{ "has a room with an address for a name", function(d) d.rooms["a@b"] = d.rooms.hall; end, 'rooms.a@b: is "a@b", must be ' .. NAME };
		{ "is undecided about calls", function(d) d.calls = true; end, 'calls: is true, must be "refuse" or "permit"' };
		{ "is undecided about links", function(d) d.partner_links = nil; end, 'partner_links: is nil, must be "refuse" or "permit"' };
		{ "is of an unknown profile", function(d) d.profile = "dmz"; end, 'profile: is "dmz", must be "internal" or "external"' };
		{ "has no domain for rooms", function(d) d.rooms_domain = helper.null; end, "rooms_domain: is null, must be " .. DOMAIN };
		{ "has capitals in a domain", function(d) d.files_domain = "Files.im.x"; end, 'files_domain: is "Files.im.x", must be ' .. DOMAIN };
		{ "has partners inside", function(d) d.partners = helper.external_document().partners; d.partners["past.x"].people = {}; end, "partners: is an object, must be empty on an internal server" };
		{ "has no rates", function(d) d.rates = nil; end, "rates: is nil, must be an object" };
		{ "has a rate of nothing", function(d) d.rates.burst = 0; end, "rates.burst: is 0, must be " .. RATE };
		{ "has half a message", function(d) d.rates.messages_per_minute = 0.5; end, "rates.messages_per_minute: is 0.5, must be " .. RATE };
		{ "has a rate without end", function(d) d.rates.messages_per_minute = 123456; end, "rates.messages_per_minute: is 123456, must be " .. RATE };
		{ "has an unknown rate", function(d) d.rates.bytes = 5; end, "rates.bytes: is 5, must be " .. UNKNOWN };
	};
	for _, case in ipairs(cases) do
		it(("is refused when it %s"):format(case[1]), function() assert.same(case[3], internal(case[2])[1]); end);
	end

	local path = "partners.partner.x";
	local partner_cases = {
		{ "rooms", function(d) d.rooms = { staff = { title = "S"; groups = { "probes" } } }; end, "rooms: is an object, must be empty on an external server" };
		{ "a domain for rooms", function(d) d.rooms_domain = "rooms.ext.x"; end, 'rooms_domain: is "rooms.ext.x", must be null on an external server' };
		{ "a partner as text", function(d) d.partners["partner.x"] = "x"; end, path .. ': is "x", must be an object' };
		{ "a partner in capitals", renamed("Partner.x"), 'partners.Partner.x: is "Partner.x", must be ' .. DOMAIN };
		{ "a partner with a dot at its end", renamed("partner.x."), 'partners.partner.x.: is "partner.x.", must be ' .. DOMAIN };
		{ "a partner in foreign letters", renamed("bücher.x"), 'partners.bücher.x: is "bücher.x", must be ' .. DOMAIN };
		{ "a partner of one label", renamed("partner"), 'partners.partner: is "partner", must be ' .. DOMAIN };
		{ "all partners at once", renamed("*.x"), 'partners.*.x: is "*.x", must be ' .. DOMAIN };
		{ "a label that ends with a hyphen", renamed("a-.x"), 'partners.a-.x: is "a-.x", must be ' .. DOMAIN };
		{ "a label that is too long", renamed(("a"):rep(64) .. ".x"), ("partners.%s.x: is %q, must be "):format(("a"):rep(64), ("a"):rep(60)) .. DOMAIN };
		{ "itself for a partner", renamed("ext.x"), 'partners.ext.x: is "ext.x", must be the domain of somebody else than this server' };
		{ "its own subdomain for a partner", renamed("a.ext.x"), 'partners.a.ext.x: is "a.ext.x", must be the domain of somebody else than this server' };
		{ "a partner with more fields", partner(function(p) p.owner = "Alice"; end), path .. '.owner: is "Alice", must be ' .. UNKNOWN };
		{ "a nameless partner", partner(function(p) p.name = nil; end), path .. ".name: is nil, must be a text that is not empty" };
		{ "a partner without an end", partner(function(p) p["until"] = helper.null; end), path .. ".until: is null, must be an instant YYYY-MM-DDTHH:MM:SSZ" };
		{ "a partner with a date", partner(function(p) p.from = "2026-01-01"; end), path .. '.from: is "2026-01-01", must be null or an instant YYYY-MM-DDTHH:MM:SSZ' };
		{ "a partner of unknown people", partner(function(p) p.people = { "ghost" }; end), path .. '.people[1]: is "ghost", must be one of the people of this file' };
		{ "a partner of everybody", partner(function(p) p.people = helper.null; end), path .. ".people: is null, must be a list of people" };
		{ "contacts as a list", partner(function(p) p.contacts = { "carol" }; end), path .. ".contacts: is a list, must be an object" };
		{ "a contact with an address", partner(function(p) p.contacts = { ["c@y.x"] = "C" }; end), path .. '.contacts.c@y.x: is "c@y.x", must be ' .. LOCALPART };
		{ "a contact with capitals", partner(function(p) p.contacts = { Carol = "C" }; end), path .. '.contacts.Carol: is "Carol", must be ' .. LOCALPART };
		{ "a contact without a part before the @", partner(function(p) p.contacts = { [""] = "C" }; end), path .. '.contacts.: is "", must be ' .. LOCALPART };
		{ "a nameless contact", partner(function(p) p.contacts.carol = ""; end), path .. '.contacts.carol: is "", must be a text that is not empty' };
		{ "indecision about the whole domain", partner(function(p) p.whole_domain = "no"; end), path .. '.whole_domain: is "no", must be true or false' };
		{ "an authority by its path", partner(function(p) p.authority = "/etc/ca.crt"; end), path .. '.authority: is "/etc/ca.crt", must be ' .. AUTHORITY };
		{ "an empty authority", partner(function(p) p.authority = ""; end), path .. '.authority: is "", must be ' .. AUTHORITY };
		{ "a key among the authorities", partner(function(p) p.authority = "-----BEGIN PRIVATE KEY-----" .. PEM; end), path .. '.authority: is "-----BEGIN PRIVATE KEY----------BEGIN CERTIFICATE-----\\\nTUlJ\\\n", must be ' .. AUTHORITY };
		{ "fingerprints as text", partner(function(p) p.fingerprints = ("0"):rep(64); end), path .. ('.fingerprints: is "%s", must be a list of fingerprints'):format(("0"):rep(60)) };
		{ "no servers", partner(function(p) p.servers = nil; end), path .. ".servers: is nil, must be a list of domain names" };
		{ "a server by its address", partner(function(p) p.servers = { "a.hoster.example", "10.0.0.1." }; end), path .. '.servers[2]: is "10.0.0.1.", must be ' .. DOMAIN };
		{ "a short fingerprint", partner(function(p) p.fingerprints = { "0a" }; end), path .. '.fingerprints[1]: is "0a", must be a SHA-256 as 64 digits 0-9 and a-f' };
		{ "a fingerprint in capitals", partner(function(p) p.fingerprints = { ("A"):rep(64) }; end), path .. ('.fingerprints[1]: is "%s", must be a SHA-256 as 64 digits 0-9 and a-f'):format(("A"):rep(60)) };
	};
	for _, case in ipairs(partner_cases) do
		it(("is refused when it has %s"):format(case[1]), function() assert.same(case[3], external(case[2])[1]); end);
	end

	it("is refused when a certificate in it cannot be read", function()
		local function second(pem) return pem:find("Zm9v", 1, true) == nil; end
		local broken = PEM:gsub("TUlJ", "Zm9v");
		local found = external(partner(function(p) p.authority = PEM .. broken; end), second);
		assert.equal(1, #found);
		assert.matches("^partners.partner.x.authority%[2%]: is .*, must be a certificate that can be read$", found[1]);
	end);

	it("is refused with all its faults at once, in order", function()
		local found = internal(function(d)
			d.kit = nil;
			d.people.alice.name = nil;
			d.people.bob.from = "x";
		end);
		assert.equal(3, #found);
		assert.same({ "kit", "people.alice.name", "people.bob.from" }, { found[1]:match("^[^:]+"), found[2]:match("^[^:]+"), found[3]:match("^[^:]+") });
	end);
end);

describe("a compiled policy", function()
	local policy, now = helper.policy(), helper.now;

	it("lets people of a group talk, and nobody else", function()
		local allowed = { ["alice bob"] = true; ["bob alice"] = true };
		for _, one in ipairs({ "alice", "bob", "carl", "dora", "fred", "loner", "ghost" }) do
			for _, other in ipairs({ "alice", "bob", "carl", "dora", "fred", "loner", "ghost" }) do
				if one ~= other then
					assert.equal(allowed[one .. " " .. other] or false, policy:may_talk(one, other, now), one .. " " .. other);
				end
			end
		end
		assert.is_false(policy:may_talk(nil, "alice", now));
		assert.is_false(policy:may_talk("alice", nil, now));
	end);

	it("begins with the one instant and is over with the other", function()
		assert.is_true(policy:valid("dora", "2026-06-30T23:59:59Z"));
		assert.is_false(policy:valid("dora", "2026-07-01T00:00:00Z"));
		assert.is_false(policy:valid("fred", "2026-07-01T23:59:59Z"));
		assert.is_true(policy:valid("fred", "2026-07-02T00:00:00Z"));
	end);

	it("knows when something changes next", function()
		assert.equal("2026-07-01T00:00:00Z", policy:next_change("2026-06-30T23:59:59Z"));
		assert.equal("2026-07-02T00:00:00Z", policy:next_change("2026-07-01T00:00:00Z"));
		assert.is_nil(policy:next_change("2026-07-02T00:00:00Z"));
		assert.equal("2026-07-02T08:00:00Z", helper.external_policy():next_change(now));
		assert.equal("2026-07-10T12:30:00Z", helper.external_policy():next_change("2026-07-02T08:00:00Z"));
	end);

	it("lets groups talk that see each other", function()
		local wider = helper.policy(function(d)
			d.groups.staff.sees, d.groups.board.sees = { "board", "staff" }, { "board", "staff" };
		end);
		assert.is_true(wider:may_talk("alice", "carl", now));
		assert.is_true(wider:may_talk("carl", "alice", now));
		assert.is_false(wider:entitled("carl", "staff", now));
	end);

	it("opens rooms to their groups", function()
		assert.is_true(policy:entitled("alice", "staff", now));
		assert.is_true(policy:entitled("carl", "hall", now));
		assert.is_false(policy:entitled("carl", "staff", now));
		assert.is_false(policy:entitled("dora", "staff", now));
		assert.is_false(policy:entitled("alice", "none", now));
		assert.is_false(policy:entitled("alice", nil, now));
	end);
end);

describe("the partners of a compiled policy", function()
	local policy, now = helper.external_policy(), helper.now;

	it("are current from the one instant until the other", function()
		assert.equal("Partner Ltd", policy:partner("partner.x", now).name);
		for _, case in ipairs({ { "past.x", "not-current" }, { "next.x", "not-current" }, { "other.x", "foreign-domain" },
			{ "sub.partner.x", "foreign-domain" }, { "partner.x.", "foreign-domain" }, { "PARTNER.x", "foreign-domain" } }) do
			assert.same({ nil, case[2] }, { policy:partner(case[1], now) });
		end
		assert.same({ nil, "foreign-domain" }, { policy:partner(nil, now) });
		assert.equal("Partner Ltd", policy:partner("next.x", "2026-07-02T08:00:00Z").name);
		assert.same({ nil, "not-current" }, { policy:partner("partner.x", "2026-08-01T00:00:00Z") });
	end);

	it("are open to their people and contacts alone", function()
		local open = {
			["alice partner.x carol"] = true; ["alice whole.x kim"] = true; ["alice whole.x anybody"] = true; ["alice whole.x carol"] = true;
			["bob whole.x kim"] = true; ["bob whole.x anybody"] = true; ["bob whole.x carol"] = true;
		};
		for _, name in ipairs({ "alice", "bob", "dora", "probe-a", "ghost" }) do
			for _, domain in ipairs({ "partner.x", "whole.x", "past.x", "next.x", "other.x" }) do
				for _, contact in ipairs({ "carol", "kim", "anybody" }) do
					local key = ("%s %s %s"):format(name, domain, contact);
					assert.equal(open[key] or false, policy:may_exchange(name, domain, contact, now), key);
				end
			end
		end
		assert.is_false(policy:may_exchange("alice", "whole.x", nil, now));
		assert.is_false(policy:may_exchange(nil, "whole.x", "kim", now));
		assert.is_false(policy:may_exchange("alice", "partner.x", "carol", "2026-07-10T12:30:00Z"));
	end);

	it("have the names of their servers, and what these hang on", function()
		local function names(...)
			local data = helper.external_document();
			data.partners["partner.x"].servers = { ... };
			return policies.compile(data, helper.null).partners["partner.x"].names;
		end
		assert.same({ "partner.x" }, names());
		assert.same({ "partner.x", "xmpp.hoster.example", "hoster.example" }, names("xmpp.hoster.example"));
		assert.same({ "partner.x", "hoster.example" }, names("hoster.example"));
		assert.same({ "partner.x", "a.b.hoster.example", "b.hoster.example" }, names("a.b.hoster.example"));
	end);

	it("are spelt as addresses have them", function()
		local function spell(domain) return domain == "partner.x" and "pärtner.x" or domain; end
		local spelt = policies.compile(helper.external_document(), helper.null, spell);
		assert.equal("Partner Ltd", spelt:partner("pärtner.x", now).name);
		assert.is_nil(spelt:partner("partner.x", now));
	end);
end);

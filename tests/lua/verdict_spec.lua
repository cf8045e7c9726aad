-- SPDX-License-Identifier: GPL-3.0-or-later
local helper = dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "./") .. "helper.lua");
local verdicts = helper.load("sallyport", "verdict");
local policy, now = helper.policy(), helper.now;
local function yes() return true; end

local function facts(over)
	local f = { stanza = "message"; source = "person"; from = "alice"; target = "person"; to = "bob" };
	for k, v in pairs(over or {}) do f[k] = v; end
	return f;
end

local function rule(over, with)
	local verdict = verdicts.outbound(with or policy, now, facts(over));
	return verdict.verdict .. " " .. verdict.rule;
end

describe("the verdict on the way out", function()
	local cases = {
		{ "allowed contact", {} };
		{ "refused stranger", { to = "carl" } };
		{ "refused stranger", { to = "nobody" } };
		{ "refused stranger", { to = "dora" } };
		{ "refused sender", { from = "dora" } };
		{ "refused sender", { from = "ghost"; target = "server" } };
		{ "refused sender", { from = "ghost"; target = "room"; to = "staff" } };
		{ "allowed self", { target = "self"; to = "alice" } };
		{ "allowed server", { target = "server" } };
		{ "allowed files", { target = "files"; stanza = "iq" } };
		{ "refused foreign-domain", { target = "foreign" } };
		{ "allowed rooms", { target = "rooms"; stanza = "iq" } };
		{ "refused room-closed", { target = "rooms"; stanza = "presence" } };
		{ "allowed room", { target = "room"; to = "staff" } };
		{ "refused room-closed", { target = "room"; to = "board" } };
		{ "refused room-closed", { target = "room"; to = "none" } };
		{ "refused room-locked", { target = "room"; to = "staff"; stanza = "iq"; room_change = true } };
		{ "refused room-closed", { target = "room"; to = "board"; stanza = "iq"; room_change = true } };
		{ "allowed room", { target = "occupant"; to = "hall"; occupant = "bob" } };
		{ "allowed room", { target = "occupant"; to = "hall" } };
		{ "allowed room", { target = "occupant"; to = "hall"; occupant = "alice" } };
		{ "refused room-private", { target = "occupant"; to = "hall"; occupant = "carl" } };
		{ "allowed room", { target = "occupant"; to = "hall"; occupant = "carl"; stanza = "presence" } };
		{ "refused roster-locked", { target = "self"; to = "alice"; stanza = "iq"; roster_change = true } };
		{ "refused roster-locked", { stanza = "presence"; subscription = true } };
		{ "refused stranger", { stanza = "presence"; subscription = true; to = "carl" } };
		{ "refused account-locked", { target = "self"; stanza = "iq"; account_removal = true } };
		{ "refused archive-locked", { target = "self"; stanza = "iq"; archive_change = true } };
		{ "refused roster-locked", { stanza = "iq"; roster_push = true } };
		{ "refused stranger", { stanza = "iq"; roster_push = true; to = "carl" } };
		{ "refused forged", { forged = true } };
		{ "refused forged", { forged = true; answer = true } };
		{ "refused forged", { forged = true; target = "room"; to = "staff" } };
		{ "refused stranger", { forged = true; to = "carl" } };
		{ "refused calls", { call = true } };
		{ "refused calls", { call = true; target = "self"; to = "alice" } };
		{ "refused stranger", { call = true; to = "carl" } };
		{ "allowed contact", { call = true; answer = true } };
		{ "refused transfer", { carries = "transfer" } };
		{ "refused transfer", { carries = "transfer"; call = true } };
		{ "refused transfer", { carries = "transfer"; target = "self"; to = "alice" } };
		{ "refused transfer", { carries = "transfer"; target = "room"; to = "staff" } };
		{ "refused transfer", { carries = "transfer"; target = "server" } };
		{ "refused transfer", { carries = "transfer"; answer = true } };
		{ "refused length", { carries = "length" } };
		{ "refused encrypted", { carries = "encrypted"; invites = { {} } } };
		{ "refused stranger", { carries = "transfer"; to = "carl" } };
		{ "refused room-closed", { carries = "transfer"; target = "room"; to = "board" } };
		{ "refused forged", { carries = "transfer"; forged = true } };
		{ "refused roster-locked", { carries = "transfer"; stanza = "presence"; subscription = true } };
		{ "refused malformed", { monstrous = true } };
		{ "refused stranger", { monstrous = true; to = "carl" } };
		{ "refused unasked", { stanza = "iq"; answer = true; device = true } };
		{ "allowed contact", { stanza = "iq"; answer = true; device = true; asked = true } };
		{ "refused transfer", { stanza = "iq"; answer = true; device = true; asked = true; carries = "transfer" } };
		{ "allowed contact", { stanza = "iq"; answer = true } };
		{ "allowed contact", { answer = true; device = true } };
		{ "refused stranger", { answer = true; to = "carl" } };
		{ "allowed contact", { invites = { { person = "bob"; room = "staff" } } } };
		{ "refused invitation", { invites = { { person = "bob"; room = "board" } } } };
		{ "refused invitation", { invites = { { person = "carl"; room = "hall" } } } };
		{ "refused invitation", { invites = { { person = "bob"; room = "staff" }, { person = "carl"; room = "hall" } } } };
		{ "refused invitation", { invites = { {} } } };
		{ "allowed server", { source = "server"; from = false } };
		{ "refused foreign-domain", { source = "server"; from = false; target = "foreign"; direction = "out" } };
		{ "refused foreign-domain", { source = "server"; from = false; target = "partner"; direction = "out" } };
	};
	for number, case in ipairs(cases) do
		it(("is %s (%d)"):format(case[1], number), function() assert.equal(case[1], rule(case[2])); end);
	end

	it("permits calls when the site does", function()
		local permits = helper.policy(function(d) d.calls = "permit"; end);
		assert.equal("allowed contact", rule({ call = true }, permits));
		assert.equal("refused transfer", rule({ call = true; carries = "transfer" }, permits));
	end);

	it("refuses everything but oneself without a policy", function()
		for _, target in ipairs({ "person", "server", "rooms", "room", "occupant", "files", "foreign" }) do
			assert.equal("refused no-policy", (function()
				local v = verdicts.outbound(nil, now, facts({ target = target }));
				return v.verdict .. " " .. v.rule;
			end)());
		end
		assert.equal("allowed", verdicts.outbound(nil, now, facts({ target = "self" })).verdict);
		assert.equal("refused", verdicts.outbound(nil, now, facts({ target = "self"; roster_change = true })).verdict);
		assert.equal("refused", verdicts.outbound(nil, now, facts({ target = "self"; carries = "transfer" })).verdict);
	end);

	it("does not tell a stranger from nobody, nor a closed room from none", function()
		for _, stanza in ipairs({ "message", "presence", "iq" }) do
			assert.same(verdicts.outbound(policy, now, facts({ stanza = stanza; to = "carl" })),
				verdicts.outbound(policy, now, facts({ stanza = stanza; to = "nobody" })));
			assert.same(verdicts.outbound(policy, now, facts({ stanza = stanza; target = "room"; to = "board" })),
				verdicts.outbound(policy, now, facts({ stanza = stanza; target = "room"; to = "none" })));
		end
	end);
end);

describe("the verdict on what arrives unjudged", function()
	local function inbound(over, with)
		local v = verdicts.inbound(with, now, facts(over));
		return v.verdict .. " " .. v.rule;
	end

	it("ends what comes from elsewhere", function()
		assert.equal("refused foreign-domain", inbound({ source = "foreign" }, policy));
		assert.equal("refused no-policy", inbound({ source = "foreign" }));
	end);

	it("holds what the server sends in a person's name to the policy", function()
		assert.equal("allowed contact", inbound({}, policy));
		assert.equal("refused stranger", inbound({ to = "carl" }, policy));
		assert.equal("refused no-policy", inbound({}));
	end);

	it("lets rooms and the server speak", function()
		assert.equal("allowed server", inbound({ source = "service" }, policy));
		assert.equal("allowed server", inbound({ source = "server" }, policy));
	end);
end);

describe("the verdict at the border", function()
	local external = helper.external_policy();

	local function out(over, with)
		local base = { target = "partner"; to = false; domain = "partner.x"; contact = "carol"; direction = "out" };
		for k, v in pairs(over or {}) do base[k] = v; end
		return rule(base, with or external);
	end

	local function inward(over, with)
		local base = { source = "partner"; from = false; target = "person"; to = "alice"; domain = "partner.x"; contact = "carol" };
		for k, v in pairs(over or {}) do base[k] = v; end
		local v = verdicts.inbound(with or external, now, facts(base));
		return v.verdict .. " " .. v.rule;
	end

	local both = {
		{ "allowed partner", {} };
		{ "allowed partner", { type = "headline" } };
		{ "refused stranger", { contact = "dave" } };
		{ "refused stranger", { contact = false } };
		{ "allowed partner", { domain = "whole.x"; contact = "anybody" } };
		{ "refused stranger", { domain = "past.x" } };
		{ "refused partner-room", { type = "groupchat" } };
		{ "refused stranger", { type = "groupchat"; contact = "dave" } };
		{ "refused forged", { forged = true } };
		{ "refused calls", { call = true } };
		{ "refused transfer", { carries = "transfer" } };
		{ "refused transfer", { carries = "transfer"; call = true } };
		{ "refused length", { carries = "length" } };
		{ "refused transfer", { has_data = yes } };
		{ "refused partner-payload", { has_data = yes; within = true } };
		{ "refused invitation", { invites = { {} } } };
		{ "refused invitation", { invites = { { person = "alice"; room = "staff" } } } };
		{ "refused partner-payload", { within = true } };
		{ "refused malformed", { malformed = true } };
		{ "refused unasked", { answer = true } };
		{ "allowed answer", { answer = true; asked = true } };
		{ "refused stranger", { answer = true; asked = true; contact = "dave" } };
		{ "refused malformed", { answer = true; asked = true; malformed = true } };
		{ "allowed partner", { stanza = "iq"; question = true } };
		{ "refused partner-iq", { stanza = "iq" } };
		{ "refused calls", { stanza = "iq"; call = true } };
		{ "refused stranger", { stanza = "iq"; question = true; contact = "dave" } };
		{ "allowed partner", { stanza = "presence" } };
		{ "refused stranger", { stanza = "presence"; contact = "dave" } };
	};
	for number, case in ipairs(both) do
		it(("is %s in both directions (%d)"):format(case[1], number), function()
			assert.equal(case[1], out(case[2]));
			assert.equal(case[1], inward(case[2]));
		end);
	end

	it("is for the partner's own people, while their time lasts", function()
		for _, name in ipairs({ "bob", "dora", "ghost" }) do
			assert.equal("refused stranger", inward({ to = name }));
		end
		assert.equal("refused stranger", out({ from = "bob" }));
		assert.equal("refused sender", out({ from = "dora" }));
		assert.equal("refused sender", out({ from = "ghost" }));
		local later = "2026-07-10T12:30:00Z";
		assert.equal("sender", verdicts.outbound(external, later, facts({ target = "partner"; domain = "partner.x"; contact = "carol" })).rule);
		assert.equal("stranger", verdicts.inbound(external, later,
			facts({ source = "partner"; from = false; to = "alice"; domain = "partner.x"; contact = "carol" })).rule);
	end);

	it("does not tell a person whom the contact may not write to from nobody", function()
		for _, stanza in ipairs({ "message", "presence", "iq" }) do
			local function answer(to)
				return verdicts.inbound(external, now, facts({ stanza = stanza; source = "partner"; from = false; to = to; domain = "partner.x";
					contact = "carol" }));
			end
			assert.same(answer("bob"), answer("nobody"));
			assert.same(answer("dora"), answer("nobody"));
		end
	end);

	it("reaches people only", function()
		for _, target in ipairs({ "server", "rooms", "room", "occupant", "files" }) do
			assert.equal("refused stranger", inward({ target = target }));
		end
	end);

	it("refuses links to files in what comes in, unless the site permits them", function()
		assert.equal("refused partner-link", inward({ has_link = yes }));
		assert.equal("refused partner-link", inward({ has_link = yes; has_data = yes }));
		assert.equal("refused transfer", inward({ has_link = yes; has_data = yes }, helper.external_policy(function(d) d.partner_links = "permit"; end)));
		assert.equal("allowed partner", inward({ has_link = yes }, helper.external_policy(function(d) d.partner_links = "permit"; end)));
	end);

	it("looks through the text of nobody who may not write, and of nothing that is refused anyway", function()
		local function never() error("looked at"); end
		local unread = { has_link = never; has_data = never };
		for why, over in pairs({
			stranger = { contact = "dave" }; rate = { flood = true }; malformed = { malformed = true }; length = { carries = "length" };
			["partner-payload"] = { within = true }; ["partner-room"] = { type = "groupchat" };
		}) do
			for key, value in pairs(unread) do over[key] = value; end
			assert.equal("refused " .. why, inward(over));
		end
	end);

	it("refuses what is too much before anything else", function()
		assert.equal("refused rate", inward({ flood = true }));
		assert.equal("refused rate", inward({ flood = true; contact = "dave" }));
	end);

	it("leaves subscriptions to the server", function()
		assert.equal("refused roster-locked", out({ stanza = "presence"; subscription = true }));
		assert.equal("refused stranger", out({ stanza = "presence"; subscription = true; contact = "dave" }));
		assert.equal("allowed partner", inward({ stanza = "presence"; subscription = true }));
		assert.equal("refused stranger", inward({ stanza = "presence"; subscription = true; contact = "dave" }));
	end);
end);

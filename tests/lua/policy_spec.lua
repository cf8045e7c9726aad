-- SPDX-License-Identifier: GPL-3.0-or-later
local helper = dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "./") .. "helper.lua");
local policies = helper.load("sallyport", "policy");

local function faults(change)
	local data = helper.document();
	if change then data = change(data) or data; end
	return policies.faults(data, "im.x", helper.null);
end

describe("the policy document", function()
	it("has no faults as the kit makes it", function()
		assert.same({}, faults());
	end);

	it("may name nobody", function()
		assert.same({}, faults(function(d) d.people, d.groups, d.rooms = {}, {}, {}; end));
	end);

	local cases = {
		{ "is no object", function() return "text"; end, 'policy: is "text", must be an object' };
		{ "is a list", function() return { 1, 2 }; end, "policy: is a list, must be an object" };
		{ "has another format", function(d) d.format = 2; end, "format: is 2, must be 1 (the file was made by another version of the kit)" };
		{ "has its format as text", function(d) d.format = "1"; end, 'format: is "1", must be 1 (the file was made by another version of the kit)' };
		{ "belongs to another domain", function(d) d.domain = "im.y"; end, 'domain: is "im.y", must be "im.x", the domain of this server' };
		{ "knows more than we do", function(d) d.rates = 5; end, "policy.rates: is 5, must be left out (this version does not know it)" };
		{ "lacks people", function(d) d.people = nil; end, "people: is nil, must be an object" };
		{ "has null for groups", function(d) d.groups = helper.null; d.groups = 5; end, "groups: is 5, must be an object" };
		{ "has a person as text", function(d) d.people.alice = "x"; end, 'people.alice: is "x", must be an object' };
		{ "has a person with more fields", function(d) d.people.alice.admin = true; end, "people.alice.admin: is true, must be left out (this version does not know it)" };
		{ "has a nameless person", function(d) d.people.alice.name = ""; end, 'people.alice.name: is "", must be a text that is not empty' };
		{ "has a person in an unknown group", function(d) d.people.alice.groups = { "staf" }; end, 'people.alice.groups[1]: is "staf", must be one of the groups of this file' };
		{ "has groups that are no list", function(d) d.people.alice.groups = { staff = true }; end, "people.alice.groups: is an object, must be a list of groups" };
		{ "has a date in another form", function(d) d.people.alice.from = "1.1.2026"; end, 'people.alice.from: is "1.1.2026", must be null or a date YYYY-MM-DD' };
		{ "has a day that does not exist", function(d) d.people.alice["until"] = "2026-02-30"; end, 'people.alice.until: is "2026-02-30", must be null or a date YYYY-MM-DD' };
		{ "has a month that does not exist", function(d) d.people.alice["until"] = "2026-13-01"; end, 'people.alice.until: is "2026-13-01", must be null or a date YYYY-MM-DD' };
		{ "has a capital in a name", function(d) d.people.Alice, d.people.alice = d.people.alice, nil; end, 'people.Alice: is "Alice", must be small letters, digits, dot, dash and underscore' };
		{ "has one-sided sight", function(d) d.groups.staff.sees = { "board", "staff" }; end, 'groups.staff.sees: is "board", must be a group that sees this one too' };
		{ "has a group that does not see itself", function(d) d.groups.staff.sees = {}; end, "groups.staff.sees: is a list, must be a list that contains the group itself" };
		{ "has a room of an unknown group", function(d) d.rooms.hall.groups[3] = "x"; end, 'rooms.hall.groups[3]: is "x", must be one of the groups of this file' };
		{ "has a room with an address for a name", function(d) d.rooms["a@b"] = d.rooms.hall; end, 'rooms.a@b: is "a@b", must be small letters, digits, dot, dash and underscore' };
		{ "is undecided about calls", function(d) d.calls = true; end, 'calls: is true, must be "refuse" or "permit"' };
	};
	for _, case in ipairs(cases) do
		it("is refused when it " .. case[1], function()
			assert.same({ case[3] }, faults(case[2]));
		end);
	end

	it("shows all faults at once", function()
		assert.equal(3, #faults(function(d) d.calls, d.site, d.people.bob.name = 1, 2, 3; end));
	end);
end);

describe("a compiled policy", function()
	local policy, today = helper.policy(), helper.today;

	it("lets people of a group talk, and nobody else", function()
		local allowed = { ["alice bob"] = true; ["bob alice"] = true };
		for _, one in ipairs({ "alice", "bob", "carl", "dora", "fred", "loner", "ghost" }) do
			for _, other in ipairs({ "alice", "bob", "carl", "dora", "fred", "loner", "ghost" }) do
				if one ~= other then
					assert.equal(allowed[one .. " " .. other] or false, policy:may_talk(one, other, today), one .. " " .. other);
				end
			end
		end
		assert.is_false(policy:may_talk(nil, "alice", today));
		assert.is_false(policy:may_talk("alice", nil, today));
	end);

	it("counts both ends of the dates", function()
		assert.is_true(policy:valid("dora", "2026-06-30"));
		assert.is_false(policy:valid("dora", "2026-07-01"));
		assert.is_false(policy:valid("fred", "2026-07-01"));
		assert.is_true(policy:valid("fred", "2026-07-02"));
	end);

	it("lets groups talk that see each other", function()
		local wider = helper.policy(function(d)
			d.groups.staff.sees, d.groups.board.sees = { "board", "staff" }, { "board", "staff" };
		end);
		assert.is_true(wider:may_talk("alice", "carl", today));
		assert.is_true(wider:may_talk("carl", "alice", today));
		assert.is_false(wider:entitled("carl", "staff", today));
	end);

	it("opens rooms to their groups", function()
		assert.is_true(policy:entitled("alice", "staff", today));
		assert.is_true(policy:entitled("carl", "hall", today));
		assert.is_false(policy:entitled("carl", "staff", today));
		assert.is_false(policy:entitled("dora", "staff", today));
		assert.is_false(policy:entitled("alice", "none", today));
		assert.is_false(policy:entitled("alice", nil, today));
	end);
end);

-- SPDX-License-Identifier: GPL-3.0-or-later
local helper = dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "./") .. "helper.lua");
local contacts = helper.load("sallyport", "contacts");

-- A stand-in for a hash: equal texts, equal numbers.
local known = {};
local function digest(text)
	if not known[text] then
		known[#known + 1] = text;
		known[text] = #known;
	end
	return known[text];
end

local function lists(change, now) return contacts.new(helper.policy(change), now or helper.now, digest); end

local function names(list)
	local found = {};
	for address in pairs(list.items) do found[#found + 1] = address; end
	table.sort(found);
	return found;
end

describe("contact lists", function()
	it("hold the valid people that somebody sees", function()
		assert.same({ "alice@im.x", "bob@im.x" }, names(lists():list("alice")));
		assert.same({ "carl@im.x" }, names(lists():list("carl")));
	end);

	it("are empty for everybody else", function()
		for _, name in ipairs({ "dora", "fred", "ghost" }) do assert.same({}, names(lists():list(name))); end
		assert.same({}, names(contacts.new(nil, helper.now, digest):list("alice")));
	end);

	it("follow the time", function()
		assert.same({ "alice@im.x", "bob@im.x", "dora@im.x" }, names(lists(nil, "2026-06-30T23:59:59Z"):list("alice")));
		assert.same({ "alice@im.x", "bob@im.x", "fred@im.x" }, names(lists(nil, "2026-07-02T00:00:00Z"):list("alice")));
	end);

	it("carry names and only the titles that the reader sees", function()
		local function both(d) d.people.bob.groups = { "staff", "board" }; end
		local item = lists(both):list("alice").items["bob@im.x"];
		assert.same({ subscription = "both"; name = "Bob"; groups = { Staff = true } }, item);
		assert.same({ Board = true; Staff = true }, lists(both):list("bob").items["bob@im.x"].groups);
	end);

	it("are made once for people with the same groups", function()
		local made = lists();
		assert.equal(made:list("alice"), made:list("bob"));
	end);

	it("have a version that changes with the content and only then", function()
		local before = lists():list("alice").version;
		assert.equal(before, lists():list("bob").version);
		assert.equal(before, lists(function(d) d.people.carl.name = "X"; end):list("alice").version);
		assert.not_equal(before, lists(function(d) d.people.bob.name = "X"; end):list("alice").version);
		assert.not_equal(before, lists(function(d) d.groups.staff.title = "X"; end):list("alice").version);
	end);

	it("hold the contacts of one's own partners, under their names, while these last", function()
		local function external(now) return contacts.new(helper.external_policy(), now or helper.now, digest); end
		assert.same({ "carol@partner.x", "kim@whole.x" }, names(external():list("alice")));
		assert.same({ "kim@whole.x" }, names(external():list("bob")));
		assert.same({}, names(external():list("dora")));
		assert.same({ "probe-a@ext.x" }, names(external():list("probe-a")));
		assert.same({ subscription = "both"; name = "Carol Dahl"; groups = { ["Partner Ltd"] = true } },
			external():list("alice").items["carol@partner.x"]);
		assert.same({ "carol@next.x", "carol@partner.x", "kim@whole.x" }, names(external("2026-07-02T08:00:00Z"):list("alice")));
		assert.same({}, names(external("2026-08-01T00:00:00Z"):list("bob")));
	end);

	it("differ by what was added, changed and removed", function()
		local old = lists():list("alice");
		local new = lists(function(d)
			d.people.bob.name = "Robert";
			d.people.carl.groups = { "staff" };
			d.people.alice["until"] = "2020-01-01T00:00:00Z";
		end):list("bob");
		assert.same({ added = { "carl@im.x" }; changed = { "bob@im.x" }; removed = { "alice@im.x" } }, contacts.difference(old, new));
		local made = lists();
		assert.equal(made:step(old, new), made:step(old, new));
	end);
end);

-- SPDX-License-Identifier: GPL-3.0-or-later
-- What is bounded at the border: rates, open questions, knocks.
local helper = dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "./") .. "helper.lua");

-- A stand-in for prosody.util.cache: forgets what was used least.
local function cache(size)
	local held, order = {}, {};
	local function touch(key)
		for place, one in ipairs(order) do
			if one == key then table.remove(order, place); break; end
		end
		if held[key] ~= nil then order[#order + 1] = key; end
		if #order > size then held[table.remove(order, 1)] = nil; end
	end
	return {
		get = function(_, key) touch(key); return held[key]; end;
		set = function(_, key, value) held[key] = value; touch(key); end;
	};
end

local clock;
local function now() return clock; end
before_each(function() clock = 1000; end);

describe("the rate of a sender", function()
	local rates = helper.load("sallyport", "rates");
	local allowed = { messages_per_minute = 60; burst = 30 };
	local limits;
	before_each(function() limits = rates.new(cache, now); end);

	local function send(times, sender, known)
		local passed = 0;
		for _ = 1, times do
			if limits:may_send(sender or "carol@partner.x", "partner.x", known ~= false, allowed) then passed = passed + 1; end
		end
		return passed;
	end

	it("is a burst, and then so many a minute", function()
		assert.equal(30, send(100));
		clock = clock + 10;
		assert.equal(10, send(100));
		clock = clock + 3600;
		assert.equal(30, send(100));
	end);

	it("does not grow when the clock goes back", function()
		assert.equal(30, send(100));
		clock = clock - 500;
		assert.equal(0, send(100));
		clock = clock + 5;
		assert.equal(5, send(100));
	end);

	it("is each sender's own", function()
		assert.equal(30, send(10000, "dave@partner.x"));
		assert.equal(30, send(30, "carol@partner.x"));
	end);

	it("is ten times as much for a domain, strangers apart from contacts", function()
		local strangers = 0;
		for number = 1, 50 do strangers = strangers + send(30, ("s%d@partner.x"):format(number), false); end
		assert.equal(300, strangers);
		assert.equal(30, send(100, "carol@partner.x"));
		local contacts = 30;
		for number = 1, 50 do contacts = contacts + send(30, ("c%d@partner.x"):format(number)); end
		assert.equal(300, contacts);
	end);

	it("is answered once a second at most", function()
		assert.is_true(limits:may_answer("dave@partner.x"));
		assert.is_false(limits:may_answer("dave@partner.x"));
		assert.is_true(limits:may_answer("erin@partner.x"));
		clock = clock + 1;
		assert.is_true(limits:may_answer("dave@partner.x"));
	end);
end);

describe("an open question", function()
	local questions = helper.load("sallyport", "questions");
	local open;
	local alice, carol = "alice@ext.x/one", "carol@partner.x/two";
	before_each(function() open = questions.new(cache, now); end);

	it("is answered once, by whom it went to, to whom it came from", function()
		open:ask("iq", alice, carol, "q1");
		assert.is_false(open:take("iq", "dave@partner.x/two", alice, "q1"));
		assert.is_false(open:take("iq", carol, "alice@ext.x/other", "q1"));
		assert.is_false(open:take("iq", carol, alice, "q2"));
		assert.is_false(open:take("message", carol, alice, "q1"));
		assert.is_false(open:take("iq", alice, carol, "q1"));
		assert.is_true(open:take("iq", carol, alice, "q1"));
		assert.is_false(open:take("iq", carol, alice, "q1"));
	end);

	it("is a message too, for an error from any device of its reader", function()
		open:ask("message", alice, "carol@partner.x", "m1");
		assert.is_false(open:take("message", "dave@partner.x", alice, "m1"));
		assert.is_true(open:take("message", carol, "alice@ext.x", "m1"));
	end);

	it("is forgotten in the end", function()
		open:ask("iq", alice, carol, "q1");
		open:ask("message", alice, carol, "m1");
		clock = clock + 301;
		assert.is_false(open:take("iq", carol, alice, "q1"));
		assert.is_true(open:take("message", carol, alice, "m1"));
		open:ask("message", alice, carol, "m2");
		clock = clock + 3601;
		assert.is_false(open:take("message", carol, alice, "m2"));
	end);

	it("needs an id, and is of no other kind", function()
		open:ask("iq", alice, carol, nil);
		open:ask("presence", alice, carol, "p");
		assert.is_false(open:take("iq", carol, alice, nil));
		assert.is_false(open:take("presence", carol, alice, "p"));
	end);
end);

describe("knocks", function()
	local knocks = helper.load("sallyport", "knocks");
	local told, door;
	before_each(function()
		told = {};
		door = knocks.new(function(event) told[#told + 1] = event; end, now, 60);
	end);

	local function knock(times, place, from, rule)
		for _ = 1, times do
			door:happened(place or "10.0.0.1", {
				direction = "in"; type = "refused"; rule = rule or "foreign-domain"; from = from or "a.x"; to = "ext.x"; reason = "R";
			});
		end
	end

	local function counts()
		local list = {};
		for _, event in ipairs(told) do list[#list + 1] = event.count or 1; end
		return list;
	end

	it("are told one by one while they differ", function()
		knock(1);
		knock(1, "10.0.0.2");
		knock(1, nil, "b.x");
		knock(1, nil, nil, "certificate");
		assert.same({ 1, 1, 1, 1 }, counts());
		assert.is_nil(told[1].count);
	end);

	it("are summed within a minute when they repeat themselves", function()
		knock(500);
		assert.same({ 1 }, counts());
		clock = clock + 59;
		door:pass();
		assert.same({ 1 }, counts());
		clock = clock + 1;
		door:pass();
		assert.same({ 1, 499 }, counts());
		assert.equal("a.x", told[2].from);
		door:pass();
		knock(1);
		assert.same({ 1, 499, 1 }, counts());
	end);

	it("are summed when one address has ever new names", function()
		for number = 1, 5000 do knock(1, nil, ("x%d.x"):format(number)); end
		assert.equal(20, #told);
		door:pass(true);
		assert.equal(21, #told);
		assert.equal(4980, told[21].count);
		assert.equal("The last of many that differ: R", told[21].reason);
	end);

	it("are summed when they come from ever new addresses", function()
		for number = 1, 5000 do knock(1, "address " .. number); end
		assert.equal(600, #told);
		clock = clock + 60;
		door:pass();
		assert.equal(601, #told);
		assert.equal(4400, told[601].count);
		assert.equal("The last of many from many addresses: R", told[601].reason);
	end);

	it("do not change the event that was told", function()
		local event = { direction = "in"; type = "refused"; rule = "r"; reason = "R" };
		door:happened("p", event);
		door:happened("p", event);
		door:pass(true);
		assert.is_nil(event.count);
		assert.equal(1, told[2].count);
	end);
end);

describe("refusals of what comes from outside", function()
	local floods = helper.load("sallyport", "floods");
	local told, door;
	before_each(function()
		told = {};
		door = floods.new(function(event) told[#told + 1] = event; end, now, 60);
	end);

	local function refuse(times, from, rule, domain)
		for _ = 1, times do
			door:refused(domain or "p.x", { kind = "message"; rule = rule or "rate"; from = from or "dave@p.x/one"; reason = "R" });
		end
	end

	local function amount()
		local sum = 0;
		for _, event in ipairs(told) do sum = sum + (event.count or 1); end
		return sum;
	end

	it("are told one by one until there are very many, then counted; none is lost", function()
		refuse(10000);
		assert.equal(600, #told);
		assert.is_nil(told[600].count);
		clock = clock + 60;
		door:pass();
		assert.equal(601, #told);
		assert.equal(9400, told[601].count);
		assert.equal("The last of many: R", told[601].reason);
		assert.equal(10000, amount());
		refuse(600);
		door:pass(true);
		assert.equal(10600, amount());
		assert.equal(1201, #told);
	end);

	it("are counted by sender and rule", function()
		refuse(600);
		refuse(10, "dave@p.x/one", "stranger");
		refuse(20, "dave@p.x/two");
		refuse(30, "erin@p.x/one");
		door:pass(true);
		local counts = {};
		for number = 601, #told do counts[#counts + 1] = told[number].count; end
		table.sort(counts);
		assert.same({ 10, 20, 30 }, counts);
	end);

	it("are few, whoever sends", function()
		for number = 1, 5000 do refuse(1, ("s%d@p.x/one"):format(number)); end
		door:pass(true);
		assert.equal(701, #told);
		assert.equal(5000, amount());
	end);

	it("of one domain do not hide those of another", function()
		refuse(5000);
		refuse(5, "kim@q.x/one", "stranger", "q.x");
		assert.equal(605, #told);
	end);

	it("are told each when nothing is to be counted", function()
		door = floods.new(function(event) told[#told + 1] = event; end, now, 0);
		refuse(5000);
		assert.equal(5000, #told);
	end);
end);

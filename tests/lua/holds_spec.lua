-- SPDX-License-Identifier: GPL-3.0-or-later
local helper = dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "./") .. "helper.lua");
local holds = helper.load("sallyport_files", "holds");
local shelves = helper.load("sallyport_files", "shelf");

local ALICE, BOB, HALL = "alice@im.x", "bob@im.x", "hall@rooms.im.x";

-- "text" stands for JSON: it is looked up here.
local documents = {};
local means = {
	null = helper.null;
	decode = function(text)
		if documents[text] == nil then return nil, "bad"; end
		return documents[text];
	end;
	parse = tonumber;
	prepare = function(address) return address:find("@", 1, true) and address:lower() or nil; end;
};

local function hold(over)
	local made = { people = { ALICE }; rooms = {}; from = helper.null; ["until"] = helper.null };
	for key, value in pairs(over or {}) do made[key] = value; end
	return made;
end

local function read(...)
	documents.text = { format = 1; holds = { ... } };
	return holds.read("text", means);
end

local function known(parties, time, unsure)
	local found = { parties = {}; time = time; unsure = unsure or false };
	for _, address in ipairs(parties) do found.parties[address] = true; end
	return found;
end

describe("holds", function()
	it("cover who shared, fetched or was sent a file, and a room", function()
		local read_ones = assert(read(hold(), hold({ people = {}; rooms = { "Hall@rooms.im.x" } })));
		assert.is_true(holds.covers(read_ones, known({ BOB, ALICE }, 5)));
		assert.is_true(holds.covers(read_ones, known({ HALL }, 5)));
		assert.is_false(holds.covers(read_ones, known({ BOB }, 5)));
		assert.is_false(holds.covers(read_ones, known({}, 5)));
		assert.is_false(holds.covers({}, known({ ALICE }, 5)));
	end);

	it("go by the time of the upload, and what was there before may have been passed on", function()
		local span = assert(read(hold({ from = "10"; ["until"] = "20" })));
		for time, held in pairs({ [9] = true; [10] = true; [19] = true; [20] = false }) do
			assert.equal(held, holds.covers(span, known({ ALICE }, time)));
		end
		assert.is_true(holds.covers(span, known({ ALICE }, nil)));
	end);

	it("keep rather too much than too little", function()
		assert.is_true(holds.covers(nil, known({}, 5)));
		assert.is_true(holds.covers(assert(read(hold())), known({ BOB }, 5, true)));
		assert.is_false(holds.covers(assert(read()), known({ BOB }, 5, true)));
	end);

	it("are not known when one of them is not as it should be", function()
		for _, bad in ipairs({ hold({ people = "alice@im.x" }), hold({ people = { "alice" } }), hold({ people = { 1 } }),
			hold({ people = { x = ALICE } }), hold({ people = {} }), hold({ rooms = helper.null }), hold({ from = "soon" }),
			hold({ from = 5 }), hold({ ["until"] = false }), hold({ people = helper.null }), helper.null, "hold" }) do
			local found, why = read(hold(), bad);
			assert.is_nil(found);
			assert.truthy(why:find("hold 2", 1, true));
		end
		for _, bad in ipairs({ {}, { format = 2; holds = {} }, { format = 1 }, { format = 1; holds = { x = hold() } },
			{ format = 1; holds = helper.null }, helper.null, "text" }) do
			documents.text = bad;
			assert.is_nil((holds.read("text", means)));
		end
		assert.is_nil((holds.read("not there", means)));
	end);
end);

describe("what keeps files", function()
	local shelf, linked, text, fail, said, keeper, now, kept;

	before_each(function()
		local records = {
			hers = { state = "clean"; from = ALICE; time = 5 };
			fetched = { state = "clean"; from = BOB; time = 5; readers = { { address = "1.2.3.4" }, { person = ALICE } } };
			his = { state = "clean"; from = BOB; time = 5 };
		};
		now, kept = 0, {};
		shelf = shelves.new({
			get = function(_, slot) return records[slot]; end;
			set = function(_, slot, record) records[slot] = record; return true; end;
			users = function() return pairs(records); end;
		}, function() return now; end);
		linked, said, fail, text = {}, {}, nil, "one";
		documents.one, documents.none, documents.bad = { format = 1; holds = { hold() } }, { format = 1; holds = {} }, {};
		keeper = holds.keeper({
			shelf = shelf; kept = kept; decode = means.decode; null = means.null; parse = means.parse; prepare = means.prepare;
			read = function() return text, not text and "no such file" or nil; end;
			link = function(slot)
				if slot == fail then return nil, "no room"; end
				linked[slot] = true;
				return true;
			end;
			unlink = function(slot)
				if slot == fail then return false, "no leave"; end
				linked[slot] = nil;
				return true;
			end;
			said = function(level, words) said[#said + 1] = level .. ": " .. words; end;
		});
		shelf.changed = function(slot) keeper:check(slot); end;
	end);

	it("keeps the held ones until the release", function()
		keeper:look();
		assert.same({ hers = true; fetched = true }, linked);
		assert.same({ 1, 2 }, { keeper:count() });
		shelf:put("hers", { state = "held"; from = ALICE; time = 5 });
		assert.same({ 0, 2, 0, 0 }, { shelf:count("1") });
		assert.is_false(shelf:is_due("hers", "1"));
		text = "none";
		keeper:look();
		assert.same({}, linked);
		assert.is_nil(shelf:get("hers"));
		assert.is_table(shelf:get("fetched"));
		assert.same({ 0, 0 }, { keeper:count() });
	end);

	it("keeps at once what somebody held fetches or is sent", function()
		keeper:look();
		shelf:sent("his", { BOB, HALL });
		assert.is_nil(linked.his);
		shelf:sent("his", { BOB, ALICE });
		assert.is_true(linked.his);
		assert.is_false(shelf:sent("nowhere", { BOB, ALICE }));
		assert.is_false(shelf:sent("his", { nil, BOB }));
	end);

	it("keeps what somebody held was sent the address of before it was there", function()
		keeper:look();
		shelf:sent("next", { BOB, ALICE });
		shelf:sent("last", { BOB, ALICE });
		now = 6 * 3600;
		shelf:sent("other", { BOB, HALL });
		for _, slot in ipairs({ "next", "other" }) do shelf:put(slot, { state = "clean"; from = BOB; time = 5 }); end
		assert.is_true(linked.next);
		assert.is_nil(linked.other);
		now = 12 * 3600;
		shelf:sent("x", { BOB, HALL });
		shelf:put("last", { state = "clean"; from = BOB; time = 5 });
		assert.is_nil(linked.last);
	end);

	it("takes too many early addresses for anybody's", function()
		keeper:look();
		for number = 1, 10001 do shelf:sent("x" .. number, { BOB, HALL }); end
		shelf:put("x1", { state = "clean"; from = BOB; time = 5 });
		shelf:put("x10001", { state = "clean"; from = BOB; time = 5 });
		assert.is_true(linked.x1 and linked.x10001);
		now = 6 * 3600;
		shelf:put("later", { state = "clean"; from = BOB; time = 5 });
		assert.is_nil(linked.later);
	end);

	it("lists a thousand who were sent a file, and takes more for anybody", function()
		keeper:look();
		for number = 1, 1000 do assert.is_true(shelf:sent("his", { number .. "@im.x" })); end
		assert.is_nil(linked.his);
		assert.is_true(shelf:sent("his", { BOB .. "b" }));
		assert.is_true(linked.his);
		assert.is_nil(shelf:get("his").sent[BOB .. "b"]);
		assert.is_false(shelf:sent("his", { BOB .. "c" }));
	end);

	it("writes twenty records for a message, and counts nothing that it knew or that is not there", function()
		for number = 1, 25 do shelf:put("s" .. number, { state = "clean"; from = BOB; time = 5 }); end
		shelf:sent("s1", { BOB, HALL });
		local slots = { "nowhere", "his" };
		for number = 1, 25 do slots[#slots + 1] = "s" .. number; end
		shelf:all_sent(table.concat(slots, " "):gmatch("%S+"), { BOB, HALL }, error);
		local written = 0;
		for _, slot in ipairs(slots) do
			if (shelf:get(slot) or {}).sent then written = written + 1; end
		end
		assert.equal(21, written);
	end);

	it("looks at what is kept without a record", function()
		kept.lost, linked.lost = true, true;
		keeper:look();
		assert.is_true(linked.lost);
		text = "none";
		keeper:look();
		assert.same({}, linked);
	end);

	it("says what it cannot remove, and tries again", function()
		keeper:look();
		shelf:put("hers", { state = "held"; from = ALICE; time = 5 });
		text, fail = "none", "hers";
		keeper:look();
		assert.same({ hers = true }, linked);
		assert.is_table(shelf:get("hers"));
		assert.equal("error: hers is not held any more and cannot be removed: no leave", said[3]);
		fail = nil;
		keeper:look();
		assert.same({}, linked);
	end);

	it("keeps all while nobody knows, and says so once", function()
		for _, unknown in ipairs({ "bad", "not there", false }) do
			text = unknown or nil;
			keeper:look();
			keeper:look();
			assert.same({ hers = true; fetched = true; his = true }, linked);
			assert.is_nil((keeper:count()));
		end
		assert.equal(3, #said);
		text = "one";
		keeper:look();
		assert.same({ hers = true; fetched = true }, linked);
		assert.equal("info: 1 holds are in force", said[4]);
	end);

	it("tries again what it cannot keep", function()
		fail = "hers";
		keeper:look();
		assert.same({ fetched = true }, linked);
		assert.equal("error: hers is held and cannot be kept: no room", said[2]);
		fail = nil;
		keeper:look();
		assert.is_true(linked.hers);
	end);
end);

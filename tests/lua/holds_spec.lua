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

	it("go by the time of the upload", function()
		local span = assert(read(hold({ from = "10"; ["until"] = "20" })));
		for time, held in pairs({ [9] = false; [10] = true; [19] = true; [20] = false }) do
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
	local shelf, linked, text, fail, said, keeper;

	before_each(function()
		local records = {
			hers = { state = "clean"; from = ALICE; time = 5 };
			fetched = { state = "clean"; from = BOB; time = 5; readers = { { address = "1.2.3.4" }, { person = ALICE } } };
			his = { state = "clean"; from = BOB; time = 5 };
		};
		shelf = shelves.new({
			get = function(_, slot) return records[slot]; end;
			set = function(_, slot, record) records[slot] = record; return true; end;
			users = function() return pairs(records); end;
		});
		linked, said, fail, text = {}, {}, nil, "one";
		documents.one, documents.none, documents.bad = { format = 1; holds = { hold() } }, { format = 1; holds = {} }, {};
		keeper = holds.keeper({
			shelf = shelf; kept = {}; decode = means.decode; null = means.null; parse = means.parse; prepare = means.prepare;
			read = function() return text, not text and "no such file" or nil; end;
			link = function(slot)
				if slot == fail then return nil, "no room"; end
				linked[slot] = true;
				return true;
			end;
			unlink = function(slot) linked[slot] = nil; end;
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
		assert.is_true(shelf:sent("nowhere", { BOB, ALICE }));
		assert.is_true(shelf:sent("his", { nil, BOB }));
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

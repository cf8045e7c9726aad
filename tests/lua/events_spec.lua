-- SPDX-License-Identifier: GPL-3.0-or-later
local helper = dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "./") .. "helper.lua");
local events = helper.load("sallyport", "events");

describe("the event file", function()
	local files, clock, fail, identity, said;

	local function means()
		return {
			now = function() return clock; end; uuid = function() return "u"; end;
			valid_utf8 = function(text) return not text:find("\255", 1, true); end;
			encode = function(event) return event.kind .. event.reason .. event.time; end;
			identity = function() return identity; end;
			room = function() return said; end;
			open = function()
				if fail == "open" then return nil, "no permission"; end
				local file = { writes = {} };
				function file.setvbuf() end
				function file:close() self.closed = true; end
				function file:write(text)
					if fail == "write" then return nil, "disk full"; end
					self.writes[#self.writes + 1] = text;
					return self;
				end
				files[#files + 1] = file;
				return file;
			end;
		};
	end

	before_each(function() files, clock, fail, identity, said = {}, 1000, nil, "a", nil; end);

	it("gets one whole line by one write", function()
		local log = events.new("x", means());
		assert.is_true(log:write({ kind = "message"; reason = "" }));
		assert.same({ "message1970-01-01T00:16:40.000Z\n" }, files[1].writes);
	end);

	it("is opened again when it was moved away, at the latest after a second", function()
		local log = events.new("x", means());
		log:write({ kind = "k"; reason = "" });
		identity = "b";
		clock = clock + 0.5;
		log:write({ kind = "k"; reason = "" });
		assert.equal(1, #files);
		clock = clock + 0.6;
		log:write({ kind = "k"; reason = "" });
		assert.equal(2, #files);
		assert.is_true(files[1].closed);
		assert.equal(1, #files[2].writes);
	end);

	it("is never full where nobody asked to refuse", function()
		local never = means();
		never.room = nil;
		assert.is_false(events.new("x", never):full());
	end);

	it("is full unless it was said lately that there is room; it asks once a second", function()
		said = 0;
		assert.is_true(events.new("x", means()):full());
		said = clock;
		local log = events.new("x", means());
		assert.is_false(log:full());
		said = 0;
		clock = clock + 0.5;
		assert.is_false(log:full());
		clock = clock + 0.6;
		assert.is_true(log:full());
		said = clock;
		clock = clock + 299;
		assert.is_false(log:full());
		clock = clock + 2;
		assert.is_true(log:full());
		-- after the clock was set back
		said = clock + 301;
		clock = clock + 1;
		assert.is_false(log:full());
		clock = clock - 2;
		assert.is_true(log:full());
	end);

	it("says when it cannot be written", function()
		local log = events.new("x", means());
		fail = "open";
		assert.same({ nil, "no permission" }, { log:write({ kind = "k"; reason = "" }) });
		fail = nil;
		assert.is_true(log:write({ kind = "k"; reason = "" }));
		fail = "write";
		assert.same({ nil, "disk full" }, { log:write({ kind = "k"; reason = "" }) });
	end);

	it("starts a new line after a torn one", function()
		local log = events.new("x", means());
		fail = "write";
		log:write({ kind = "k"; reason = "" });
		fail = nil;
		log:write({ kind = "k"; reason = "" });
		assert.equal("\nk", files[2].writes[1]:sub(1, 2));
	end);

	it("holds no invalid text", function()
		local log = events.new("x", means());
		log:write({ kind = "k"; reason = "a\255b" });
		assert.equal("ka?b", files[1].writes[1]:sub(1, 4));
	end);

	it("cuts what is too long between two characters, in lists too", function()
		local log = events.new("x", means());
		local event = { kind = ("ü"):rep(2000); reason = ("x"):rep(3071); content = { ("y"):rep(4000) } };
		log:write(event);
		assert.equal(("ü"):rep(1535) .. "…" .. ("x"):rep(3071) .. "1970", files[1].writes[1]:sub(1, 3070 + 3 + 3071 + 4));
		assert.equal(("y"):rep(3071) .. "…", event.content[1]);
	end);

	it("has times in UTC with milliseconds", function()
		assert.equal("2026-01-01T00:00:00.250Z", events.timestamp(1767225600.25));
	end);
end);

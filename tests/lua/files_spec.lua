-- SPDX-License-Identifier: GPL-3.0-or-later
local helper = dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "./") .. "helper.lua");
local findings = helper.load("sallyport_files", "findings");
local clamd = helper.load("sallyport_files", "clamd");
local queues = helper.load("sallyport_files", "queue");
local shelves = helper.load("sallyport_files", "shelf");
local signatures = helper.load("sallyport_files", "signatures");

describe("what the scanner found", function()
	it("is a rule by the beginning of its name", function()
		for name, rule in pairs({
			["Sallyport.Kind.executable.elf.UNOFFICIAL"] = "kind-executable";
			["Sallyport.Kind.script.shell.UNOFFICIAL"] = "kind-script";
			["Heuristics.OLE2.ContainsMacros.VBA"] = "kind-macro";
			["Sallyport.Kind.unreadable.7z.UNOFFICIAL"] = "kind-unreadable";
			["Heuristics.Encrypted.Zip"] = "kind-encrypted";
			["Heuristics.Limits.Exceeded.MaxScanSize"] = "too-deep";
			["Win.Test.EICAR_HDB-1"] = "virus";
			["Mine.Sallyport.Kind.script."] = "virus";
			["SallyportXKindXscriptX"] = "virus";
		}) do
			assert.equal(rule, findings.rule(name));
			assert.is_string(findings.reason(rule, name));
		end
		assert.equal("the scanner found X.Y in it", findings.reason("virus", "X.Y"));
	end);

	it("is clean by one answer only", function()
		assert.equal("clean", findings.read("stream: OK"));
		assert.same({ "found", "A.B-1(x)" }, { findings.read("stream: A.B-1(x) FOUND") });
		for _, answer in ipairs({ "", "OK", "stream: OK ", "stream:OK", "stream: ok", "x stream: OK", "stream: OK\n", "stream:  FOUND",
			"INSTREAM size limit exceeded. ERROR", "stream: A B FOUND" }) do
			assert.equal("fault", (findings.read(answer)));
		end
	end);
end);

describe("a talk with the scanner", function()
	local listener, sent, destroyed, timers, results, pieces;

	local means = {
		connect = function(given)
			listener = given;
			return { write = function(_, data) sent[#sent + 1] = data; end; destroy = function() destroyed = true; end };
		end;
		timer = function(seconds, callback)
			local timer = { seconds = seconds; callback = callback };
			timers[#timers + 1] = timer;
			return function() timer.stopped = true; end;
		end;
	};

	local function source()
		local piece = table.remove(pieces, 1);
		if piece == false then return false, "gone"; end
		return piece;
	end

	local function done(...) results[#results + 1] = { ... }; end

	before_each(function() sent, destroyed, timers, results, pieces = {}, false, {}, {}, {}; end);

	it("sends everything, then the end, and hands on the answer once", function()
		pieces = { "abc", "de" };
		clamd.scan(means, source, 5, done);
		for _ = 1, 5 do listener.ondrain(); end
		assert.same({ "zINSTREAM\0", "\0\0\0\3abc", "\0\0\0\2de", "\0\0\0\0" }, sent);
		listener.onincoming(nil, "stream:");
		assert.same({}, results);
		listener.onincoming(nil, " OK\0");
		listener.ondisconnect(nil, "closed");
		timers[1].callback();
		assert.same({ { "stream: OK" } }, results);
		assert.is_true(destroyed);
		assert.is_true(timers[1].stopped);
	end);

	it("takes no answer before the end, and none with something behind it", function()
		pieces = { "abc" };
		clamd.scan(means, source, 5, done);
		listener.onincoming(nil, "stream: OK\0");
		assert.is_nil(results[1][1]);
		pieces = {};
		clamd.scan(means, source, 5, done);
		listener.ondrain();
		listener.onincoming(nil, "stream: OK\0stream: OK\0");
		assert.is_nil(results[2][1]);
	end);

	it("waits for more, and counts the time only when all is there", function()
		pieces = { "a", "" };
		local _, go_on = clamd.scan(means, source, nil, done);
		for _ = 1, 4 do listener.ondrain(); end
		assert.equal(0, #timers);
		pieces = { "b" };
		go_on(7);
		listener.ondrain();
		listener.onincoming(nil, "stream: OK\0");
		assert.equal(7, timers[1].seconds);
		assert.equal("\0\0\0\1b\0\0\0\0", table.concat(sent, "", #sent - 1));
		assert.same({ { "stream: OK" } }, results);
	end);

	it("ends late, broken, unreadable or cancelled without an answer", function()
		pieces = { "a" };
		clamd.scan(means, source, 5, done);
		timers[1].callback();
		assert.same({ nil, "the scanner did not answer within 5 seconds", true }, results[1]);
		clamd.scan(means, source, 5, done);
		listener.ondisconnect(nil, "closed");
		assert.is_nil(results[2][1]);
		pieces = { false };
		clamd.scan(means, source, 5, done);
		listener.ondrain();
		assert.same({ nil, "gone" }, results[3]);
		clamd.scan(means, source, 5, done)();
		assert.equal(3, #results);
		clamd.scan({ connect = function() return nil, "refused"; end }, source, 5, done);
		assert.same({ nil, "the scanner does not answer: refused" }, results[4]);
	end);
end);

describe("the queue", function()
	local running, timers, queue, finished;

	local function job(name)
		return { name = name; done = function(...) finished[#finished + 1] = { name, ... }; end };
	end

	local function names()
		local list = {};
		for name in pairs(running) do list[#list + 1] = name; end
		table.sort(list);
		return table.concat(list, " ");
	end

	before_each(function()
		running, timers, finished = {}, {}, {};
		queue = queues.new({ most = 2; waiting = 3; seconds = 9 }, {
			timer = function(_, callback)
				timers[#timers + 1] = callback;
				return function() end;
			end;
			scan = function(scanned, seconds, done)
				running[scanned.name] = { seconds = seconds; done = function(...) running[scanned.name] = nil; done(...); end };
				return function() running[scanned.name] = nil; end, function(limit) running[scanned.name].seconds = limit; end;
			end;
		});
	end);

	it("has so many at a time, and loses none", function()
		for _, name in ipairs({ "a", "b", "c", "d" }) do queue:submit(job(name)); end
		assert.equal("a b", names());
		running.a.done("A");
		assert.equal("b c", names());
		running.b.done("B");
		running.c.done("C");
		running.d.done("D");
		assert.same({ { "a", "A" }, { "b", "B" }, { "c", "C" }, { "d", "D" } }, finished);
		assert.equal(0, queue.count);
	end);

	it("turns away whom it cannot take, and who waited too long", function()
		for _, name in ipairs({ "a", "b", "c", "d", "e", "f" }) do queue:submit(job(name)); end
		assert.equal("f", finished[1][1]);
		assert.is_nil(finished[1][2]);
		timers[1]();
		assert.same({ "c", nil, "too many files wait for the scanner", true }, finished[2]);
		running.a.done("A");
		assert.equal("b d", names());
	end);

	it("scans along what arrives, until somebody who is complete needs the place", function()
		local slow, quick = job("slow"), job("quick");
		queue:offer(slow);
		queue:offer(quick);
		queue:offer(job("late"));
		assert.equal("quick slow", names());
		assert.is_nil(running.slow.seconds);
		queue:submit(quick);
		assert.equal(9, running.quick.seconds);
		queue:submit(job("whole"));
		assert.equal("quick whole", names());
		running.whole.done("W");
		queue:submit(slow);
		running.slow.done("S");
		assert.same({ { "whole", "W" }, { "slow", "S" } }, finished);
	end);

	it("takes no answer for what has not arrived whole", function()
		local growing = job("growing");
		queue:offer(growing);
		running.growing.done("stream: OK");
		assert.same({}, finished);
		queue:submit(growing);
		assert.equal(9, running.growing.seconds);
		running.growing.done("whole");
		assert.same({ { "growing", "whole" } }, finished);
	end);

	it("drops what is not wanted any more", function()
		local one, two = job("a"), job("c");
		queue:submit(one);
		queue:submit(job("b"));
		queue:submit(two);
		queue:drop(two);
		queue:drop(one);
		assert.equal("b", names());
		assert.same({}, finished);
		assert.equal(1, queue.count);
	end);
end);

describe("the shelf", function()
	local kept, fail, shelf;
	local store = {
		get = function(_, slot) return kept[slot]; end;
		set = function(_, slot, record)
			if fail then return nil, "disk full"; end
			kept[slot] = record;
			return true;
		end;
		users = function() return pairs(kept); end;
	};

	before_each(function()
		kept, fail = { old = { state = "quarantined" } }, false;
		shelf = shelves.new(store, function() return 0; end);
	end);

	it("knows what was there, and what is put there", function()
		assert.equal("quarantined", shelf:get("old").state);
		assert.is_nil(shelf:get("new"));
		shelf:put("new", { state = "clean"; set = "1" });
		assert.same({ 1, 0, 1, 0 }, { shelf:count("1") });
		assert.same({ 0, 1, 1, 0 }, { shelf:count("2") });
		shelf:put("new", nil);
		assert.is_nil(shelf:get("new"));
	end);

	it("says when it cannot keep something, and does not pretend", function()
		fail = true;
		assert.same({ nil, "disk full" }, { shelf:put("new", { state = "clean" }) });
		assert.is_nil(shelf:get("new"));
	end);

	it("counts nothing as scanned while nobody knows with what", function()
		shelf:put("new", { state = "clean" });
		shelf:put("marked", { state = "clean"; set = "" });
		assert.same({ 0, 2, 1, 0 }, { shelf:count(nil) });
	end);

	it("knows what cannot be scanned, and that it has to be", function()
		shelf:put("new", { state = "clean"; set = "1"; faults = 2 });
		assert.same({ 2, 0, 0 }, { shelf:faults("new"), shelf:faults("old"), shelf:faults("unknown") });
		shelf:put("new", { state = "withheld"; faults = 5 });
		assert.same({ 0, 0, 1, 1 }, { shelf:count("1") });
		assert.is_true(shelf:is_due("new", "1"));
	end);

	it("has to be scanned: what has no record, and what was scanned with another set", function()
		shelf:put("new", { state = "clean"; set = "1" });
		assert.is_true(shelf:is_due("unknown", "1"));
		assert.is_false(shelf:is_due("new", "1"));
		assert.is_true(shelf:is_due("new", "2"));
		assert.is_false(shelf:is_due("old", "2"));
	end);

	it("lists each reader once", function()
		local record = { state = "clean" };
		for _, reader in ipairs({ { "1", "a" }, { "1", "a" }, { "1", nil }, { "2", "a" } }) do
			assert.is_true(shelf:fetched("s", record, reader[1], reader[2], "t"));
		end
		assert.equal(3, #record.readers);
		assert.same({ address = "1"; person = "a"; first = "t"; last = "t"; times = 2 }, record.readers[1]);
		for number = 1, 1100 do shelf:fetched("s", record, "x" .. number, nil, "t"); end
		assert.equal(1000, #kept.s.readers);
		assert.equal(103, kept.s.more_readers);
	end);
end);

describe("the signatures", function()
	local files = { ["main.cvd"] = { size = 5; modification = 10 }, ["a.ndb"] = { size = 3; modification = 20 } };
	local function read(names, all)
		local index = 0;
		return signatures.read(function() return function() index = index + 1; return names[index]; end; end,
			function(name) return (all or files)[name]; end);
	end

	it("are another set when name, size or time of a file is another", function()
		local text, found = read({ ".", "..", "a.ndb", "main.cvd", "freshclam.dat", ".hidden.ndb", "tmp.folder" });
		assert.same({ files = 2; bytes = 8; newest = 20 }, found);
		assert.equal(text, (read({ "main.cvd", "a.ndb" })));
		assert.not_equal(text, (read({ "a.ndb" })));
		assert.not_equal(text, (read({ "main.cvd", "a.ndb" }, { ["main.cvd"] = files["main.cvd"]; ["a.ndb"] = { size = 3; modification = 21 } })));
		assert.same({ files = 0; bytes = 0 }, (select(2, read({}))));
	end);

	it("count when they rest for as long as the scanner needs to be told and to load them", function()
		local watch = signatures.watch("old", 70);
		assert.equal("", watch:mark("old"));
		assert.is_false(watch:look("old", 0, 0));
		assert.equal("old", watch:mark("old")); -- as before the restart
		assert.is_false(watch:look("old", 1000, 0));
		assert.equal("", watch:mark("new")); -- nobody has looked yet
		assert.is_false(watch:look("new", 1000, 0));
		assert.is_false(watch:look("newer", 1003, 0));
		assert.is_false(watch:look("newer", 1072, 0));
		assert.is_false(watch:look("newer", 1073, 300 * 1048576));
		assert.is_true(watch:look("newer", 1073, 0));
		assert.same({ "old", "" }, { watch.loaded, watch:mark("newer") }); -- nobody has asked the scanner yet
		watch:has();
		assert.same({ "newer", "newer", "" }, { watch.loaded, watch:mark("newer"), watch:mark("old") });
		assert.is_false(watch:look("newer", 2000, 0));
	end);

	it("do not count at once when they are as before again: the scanner may have loaded what was between", function()
		local watch = signatures.watch("all", 70);
		watch:look("all", 0, 0);
		watch:look("lost", 10, 0);
		assert.equal("", watch:mark("lost"));
		assert.is_false(watch:look("all", 20, 0));
		assert.equal("", watch:mark("all"));
		assert.is_false(watch:look("all", 89, 0));
		assert.is_true(watch:look("all", 90, 0));
	end);

	it("count after a while also when the clock was set back", function()
		local watch = signatures.watch(nil, 70);
		watch:look("all", 100000, 0);
		assert.is_false(watch:look("all", 10, 0));
		assert.is_true(watch:look("all", 80, 0));
	end);

	it("have the version of ClamAV's own", function()
		assert.equal("27500", signatures.version("ClamAV-VDB:14 Dec 2025 04-28 -0500:27500:2076:90:x:y:z:1"));
		assert.is_nil(signatures.version("words"));
		assert.is_nil(signatures.version(nil));
		assert.equal("27500", signatures.loaded("ClamAV 1.4.3/27500/Sun Dec 14 09:28:34 2025"));
		assert.is_nil(signatures.loaded("ClamAV 1.4.3"));
	end);
end);

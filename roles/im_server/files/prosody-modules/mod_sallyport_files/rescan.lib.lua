-- SPDX-License-Identifier: GPL-3.0-or-later
-- Scans the stored files again, one at a time, when the signatures changed; looks whether the scanner answers; and clears away
-- what is past its retention.

local datamanager = require "prosody.util.datamanager";
local hashes = require "prosody.util.hashes";
local hex = require "prosody.util.hex".encode;
local json = require "prosody.util.json";
local lfs = require "lfs";

local signatures = module:require "signatures";

local directory = module:get_option_string("sallyport_signatures", "/var/lib/clamav");
local look_seconds = module:get_option_integer("sallyport_signatures_look", 60, 1);
local state_path = module:get_option_string("sallyport_signatures_state", "/var/lib/sallyport-signatures/state.json");
-- the watch of the role antivirus makes the scanner load them within a minute
local wait_seconds = module:get_option_integer("sallyport_signatures_wait", 70, 1);
local AGAIN, PING, SWEEP = 10, 10, 3600; -- seconds: what still changes; is the scanner there; what is past its retention
local WITHHELD = 3600; -- seconds until it is tried again: a file may be one that the scanner dies of

local M = {};

local kept = module:open_store("sallyport_signatures");
local watch = signatures.watch((kept:get(nil) or {}).set, wait_seconds);
local seen = { files = 0; bytes = 0 };
local scanner, since = "unknown", os.time();

local function names()
	if lfs.attributes(directory, "mode") ~= "directory" then return function() end; end
	return lfs.dir(directory);
end

-- What the watch says that the scanner has loaded, "" when it does not say. Nothing is made of it but that it changed:
-- it may have had a set loaded long after that came.
local told = "";
local function read_told()
	local file = io.open(state_path, "rb");
	local state = file and json.decode(file:read("*a") or "");
	if file then file:close(); end
	if type(state) == "table" and type(state.loaded) == "string" then told = state.loaded; end
	return told;
end

local function read_set()
	local text, found = signatures.read(names, function(name)
		local attributes = lfs.attributes(directory .. "/" .. name);
		return attributes and attributes.mode == "file" and attributes or nil;
	end);
	return hashes.sha256(text .. "\n\n" .. read_told(), true):sub(1, 32), found;
end

--- What a file is marked with that is scanned now, see signatures.lib.lua.
-- @param begun what this returned when the scan began, at its end
function M.mark(begun)
	local mark = watch:mark((read_set()));
	return (begun == nil or begun == mark) and mark or "";
end

-- The version of ClamAV's own daily set on the disk, nil when there is none.
local function version_on_disk()
	for _, name in ipairs({ "daily.cld", "daily.cvd" }) do
		local file = io.open(directory .. "/" .. name, "rb");
		local head = file and file:read(512);
		if file then file:close(); end
		if signatures.version(head) then return signatures.version(head); end
	end
	return nil;
end

--- Begins to watch.
-- @param means { shelf, scan, ask, quarantine, cleared, unscanned, found_file, gone, place, busy, result_of, timed, digest }, see
-- mod_sallyport_files.lua
-- @return an object with state() and stop()
function M.start(means)
	local shelf, stopped, passing, stops, later = means.shelf, false, false, {}, {};

	local function repeatedly(seconds, callback)
		local stop;
		local function once()
			if stopped then return; end
			local ok, wanted = pcall(callback);
			if not ok then module:log("error", "Watching the files: %s", wanted); end
			stop = means.timed(ok and wanted or seconds, once);
			stops[callback] = stop;
		end
		stops[callback] = means.timed(0, once);
	end

	-- The slots whose files lie here.
	local function stored()
		local list, folder = {}, means.place("x", nil, true):match("^(.*)/");
		for name in lfs.dir(folder) do
			local encoded = name:match("^(.+)%.bin$");
			if encoded then list[#list + 1] = datamanager.path_decode(encoded); end
		end
		return list;
	end

	-- The scan of a file came to nothing. Is it the file? Then the others go on without it.
	local function fault(slot, known, job, why, late, next_one)
		module:log("warn", "%s is not scanned again yet: %s", slot, why);
		if not lfs.attributes(means.place(slot), "mode") then return next_one(); end
		means.ask("PING", function(answer)
			if stopped then return; end
			-- where the scanner ended in the middle of it, and is gone, it may have died of it
			if (answer == "PONG" and job.sent) or ((job.sent or 0) > 0 and not late) then
				if means.unscanned(slot, known, why) then later[slot] = os.time() + WITHHELD; end
			end
			if answer == "PONG" and job.sent then return next_one(); end
			passing = false; -- at the next look
		end);
	end

	local function scan_one(slot, next_one)
		local known = shelf:get(slot) or means.found_file(slot);
		local size = lfs.attributes(means.place(slot), "size");
		if not known or size ~= known.size or means.busy[slot] then return next_one(); end
		local job = { path = means.place(slot), size = size, available = size, digest = not known.sha256 and means.digest() or nil };
		function job.done(answer, why, late)
			local result, name = means.result_of(job, answer, why);
			if stopped then return; end
			known = shelf:get(slot) or known; -- somebody may have fetched it meanwhile
			if result == "fault" then return fault(slot, known, job, name, late, next_one); end
			if job.digest then known.sha256 = hex(job.digest:final()); end
			if result == "found" then
				means.quarantine(slot, known, name);
			elseif result == "clean" then
				means.cleared(slot, known, M.mark(job.mark));
			end
			next_one();
		end
		means.scan(job);
	end

	local function pass()
		if passing then return; end
		local due, now = {}, os.time();
		for _, slot in ipairs(stored()) do
			if shelf:is_due(slot, watch.loaded) and (later[slot] or 0) <= now then due[#due + 1] = slot; end
		end
		if #due == 0 then return; end
		table.sort(due, function(one, other) return shelf:faults(one) < shelf:faults(other); end);
		passing = true;
		local index = 0;
		local function next_one()
			index = index + 1;
			if stopped then return; end
			if index > #due or not watch.sure then
				passing = false;
				return;
			end
			local slot = due[index];
			-- by a timer: the people's turn comes in between
			means.timed(0.01, function() scan_one(slot, next_one); end);
		end
		next_one();
	end

	local function loaded()
		watch:has();
		later = {};
		kept:set(nil, { set = watch.loaded });
		module:log("info", "The scanner has loaded new signatures; the stored files are scanned again");
		pass();
	end

	local function look()
		local was_sure, set, found = watch.sure, read_set();
		seen = found;
		if watch:look(set, os.time(), seen.bytes) then
			local version = version_on_disk();
			means.ask("VERSION", function(answer)
				if answer and set == watch.seen and (not version or signatures.loaded(answer) == version) then loaded(); end
			end);
		end
		if was_sure and not watch.sure then kept:set(nil, nil); end -- nor after a restart
		if watch.sure then
			pass();
		else
			return math.min(look_seconds, AGAIN);
		end
	end

	local function turned(state)
		if state ~= scanner then
			scanner, since = state, os.time();
			module:log(state == "ready" and "info" or "error", "The scanner is %s", state);
		end
	end

	local function ping()
		means.ask("PING", function(answer, _, late) turned(answer == "PONG" and "ready" or late and "hung" or "down"); end);
	end

	local function sweep()
		local over = os.time();
		for slot, known in pairs(shelf.index) do
			local path = means.place(slot, known.state == "quarantined" and "sallyport_quarantine" or nil);
			if known.state == "quarantined" and known.over and known.over < over then os.remove(path); end
			if not means.busy[slot] and not lfs.attributes(path, "mode") then means.gone(slot); end
		end
	end

	repeatedly(look_seconds, look);
	repeatedly(PING, ping);
	repeatedly(SWEEP, sweep);

	return {
		stop = function()
			stopped = true;
			for _, stop in pairs(stops) do stop(); end
		end;
		state = function()
			local scanned, pending, quarantined, withheld = shelf:count(watch.loaded);
			return {
				scanner = scanner; since = os.date("!%Y-%m-%dT%H:%M:%SZ", since);
				scanned = scanned; pending = pending; quarantined = quarantined; withheld = withheld;
				signatures = {
					files = seen.files; loaded = watch.sure;
					age_seconds = seen.newest and math.max(0, os.time() - seen.newest) or nil;
				};
			};
		end;
	};
end

return M;

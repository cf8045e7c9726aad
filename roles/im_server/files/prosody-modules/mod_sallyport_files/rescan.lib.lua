-- SPDX-License-Identifier: GPL-3.0-or-later
-- Scans the stored files again, one at a time, when the signatures changed; looks whether the scanner answers; and clears away
-- what is past its retention.

local datamanager = require "prosody.util.datamanager";
local hashes = require "prosody.util.hashes";
local hex = require "prosody.util.hex".encode;
local lfs = require "lfs";

local signatures = module:require "signatures";

local directory = module:get_option_string("sallyport_signatures", "/var/lib/clamav");
local look_seconds = module:get_option_integer("sallyport_signatures_look", 60, 1);
local AGAIN, PING, SWEEP = 10, 10, 3600; -- seconds: what still changes; is the scanner there; what is past its retention

local M = {};

local kept = module:open_store("sallyport_signatures");
local watch = signatures.watch((kept:get(nil) or {}).set);
local seen = { files = 0; bytes = 0 };
local scanner, since = "unknown", os.time();

--- @return what the scanner surely has loaded; "" when that is not known yet
function M.set()
	return watch.loaded or "";
end

local function names()
	if lfs.attributes(directory, "mode") ~= "directory" then return function() end; end
	return lfs.dir(directory);
end

local function read_set()
	local text, found = signatures.read(names, function(name)
		local attributes = lfs.attributes(directory .. "/" .. name);
		return attributes and attributes.mode == "file" and attributes or nil;
	end);
	seen = found;
	return hashes.sha256(text, true):sub(1, 32);
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
-- @param means { shelf, scan, ask, quarantine, found_file, place, busy, result_of, timed, digest }, see mod_sallyport_files.lua
-- @return an object with state() and stop()
function M.start(means)
	local shelf, stopped, passing, stops = means.shelf, false, false, {};

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

	local function scan_one(slot, next_one)
		local known = shelf:get(slot) or means.found_file(slot);
		local size = lfs.attributes(means.place(slot), "size");
		if not known or size ~= known.size or means.busy[slot] then return next_one(); end
		local set = M.set();
		local job = { path = means.place(slot), size = size, available = size, digest = not known.sha256 and means.digest() or nil };
		function job.done(...)
			local result, name = means.result_of(job, ...);
			if stopped then return; end
			known = shelf:get(slot) or known; -- somebody may have fetched it meanwhile
			if job.digest then known.sha256 = hex(job.digest:final()); end
			if result == "found" then
				means.quarantine(slot, known, name);
			elseif result == "clean" then
				known.set = set;
				shelf:put(slot, known);
			else
				module:log("warn", "%s is not scanned again yet: %s", slot, name);
				passing = false; -- at the next look
				return;
			end
			next_one();
		end
		means.scan(job);
	end

	local function pass()
		if passing then return; end
		local due, list = {}, stored();
		for _, slot in ipairs(list) do
			if shelf:is_due(slot, M.set()) then due[#due + 1] = slot; end
		end
		if #due == 0 then return; end
		passing = true;
		local index = 0;
		local function next_one()
			index = index + 1;
			if stopped then return; end
			if index > #due then
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
		kept:set(nil, { set = watch.loaded });
		module:log("info", "The scanner has loaded new signatures; the stored files are scanned again");
		pass();
	end

	local function look()
		local set, at = read_set(), os.time();
		local wanted = watch:look(set, at, seen.bytes);
		if wanted == "reload" then
			means.ask("RELOAD", function(answer) if answer == "RELOADING" then watch:told(os.time()); end end);
			return math.min(look_seconds, signatures.patience(seen.bytes) + 1);
		elseif wanted == "check" then
			local version = version_on_disk();
			means.ask("VERSION", function(answer)
				if answer and set == watch.seen and (not version or signatures.loaded(answer) == version) then loaded(); end
			end);
		elseif set ~= watch.loaded then
			return math.min(look_seconds, AGAIN);
		else
			pass();
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
			if not means.busy[slot] and not lfs.attributes(path, "mode") then shelf:put(slot, nil); end
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
			local scanned, pending, quarantined = shelf:count(M.set());
			return {
				scanner = scanner; since = os.date("!%Y-%m-%dT%H:%M:%SZ", since);
				scanned = scanned; pending = pending; quarantined = quarantined;
				signatures = {
					files = seen.files; loaded = watch.seen ~= nil and watch.loaded == watch.seen;
					age_seconds = seen.newest and math.max(0, os.time() - seen.newest) or nil;
				};
			};
		end;
	};
end

return M;

-- SPDX-License-Identifier: GPL-3.0-or-later
-- File sharing (XEP-0363) in which nobody can fetch a file before the scanner has cleared it. mod_http_file_share does the
-- work: slots, leave, size, quota, retention. This module holds the doors: its component is this module, so that without
-- it there is no file sharing at all. docs/decision-point.md describes it under "Files".

local array = require "prosody.util.array";
local datamanager = require "prosody.util.datamanager";
local datetime = require "prosody.util.datetime";
local digests = require "openssl.digest";
local hex = require "prosody.util.hex".encode;
local jid = require "prosody.util.jid";
local json = require "prosody.util.json";
local lfs = require "lfs";
local promise = require "prosody.util.promise";
local server = require "prosody.net.server";
local http_server = require "prosody.net.http.server";
local st = require "prosody.util.stanza";
local timer = require "prosody.util.timer";
local unix = require "socket.unix";
local uuid = require "prosody.util.uuid".generate;

local clamd = module:require "clamd";
local findings = module:require "findings";
local holds = module:require "holds";
local queues = module:require "queue";
local shelves = module:require "shelf";
local rescans = module:require "rescan";

local core = module:shared("/*/sallyport/core");

local socket_path = module:get_option_string("sallyport_scanner", "/run/clamav/clamd.ctl");
local most_scans = module:get_option_integer("sallyport_scans", 4, 1);
local most_waiting = module:get_option_integer("sallyport_scans_waiting", 500, 1);
local scan_seconds = module:get_option_integer("sallyport_scan_seconds", 60, 1);
local size_limit = module:get_option_integer("http_file_share_size_limit", 10 * 1024 * 1024, 0); -- as mod_http_file_share has it
local expiry = module:get_option_period("http_file_share_expires_after", "1w");

local holds_path = module:get_option_string("sallyport_holds", "/etc/sallyport/holds.json");
local holds_look = module:get_option_integer("sallyport_holds_look", 60, 1);

local CHUNK = 65536;
-- seconds: clamd's own MaxScanTime is scan_seconds, and its answer says more than none
local GRACE = 5;
local MOST_FAULTS = 5; -- in a row, of a stored file that cannot be scanned again

local shelf = shelves.new(module:open_store("sallyport_files"), os.time);
local metadata = module:open_store("uploads", "archive");
local busy = {}; -- slot -> what is being sent to it
local served = {}; -- slot -> connections that fetch it now

local function instant()
	return os.date("!%Y-%m-%dT%H:%M:%SZ");
end

local function place(slot, store, create)
	return datamanager.getpath(slot, module.host, store or "http_file_share", "bin", create);
end

local function timed(seconds, callback)
	local task = timer.add_task(seconds, callback);
	return function() timer.stop(task); end;
end

-- The doors ----------------------------------------------------------------------------------------------------------

local share = module:depends("http_file_share");
local put, get; -- below
local base_path; -- of the addresses of files

-- The routes of mod_http_file_share are taken from it first of all: whatever becomes of this module, it serves nothing by itself.
local taken = 0;
for name, handlers in pairs(prosody.hosts[module.host].modules.http.apps.file_share) do
	local method, base = name:match("^(%S+) [^/]+(/.*)%*$");
	if method == "PUT" or method == "GET" then
		taken = taken + 1;
		base_path = base;
		http_server.remove_handler(name, handlers.main);
		module:hook_object_event(http_server, name, function(event)
			local handler = method == "PUT" and put or get;
			return handler(event, event.request.path:sub(#base + 1));
		end);
	end
end
if taken ~= 2 then
	require "prosody.core.modulemanager".unload(module.host, "http_file_share");
	error("mod_http_file_share has other routes than the one that was tested: there is no file sharing");
end

-- The scanner --------------------------------------------------------------------------------------------------------

local function connect(listener)
	local socket = (type(unix) == "table" and unix.stream or unix)();
	socket:settimeout(0);
	local ok, err = socket:connect(socket_path);
	if not ok then
		socket:close();
		return nil, err;
	end
	return server.wrapclient(socket, "unix", 0, listener, "*a");
end

local means = { connect = connect; timer = timed };

-- Reads a file as far as it is there; job: path, size, available.
local function reader(job)
	local file, position = nil, 0;
	return function()
		if not file then
			local err;
			file, err = io.open(job.path, "rb");
			if not file then return false, err; end
		end
		local length = math.min(CHUNK, job.available - position);
		if length == 0 and position < job.size then return ""; end
		local data = length > 0 and file:read(length) or "";
		if #data ~= length then return false, "the file is not there whole"; end
		position = position + length;
		job.sent = position;
		if job.digest and length > 0 then job.digest:update(data); end
		if length > 0 then return data; end
		file:close();
		return nil;
	end;
end

local queue = queues.new({ most = most_scans; waiting = most_waiting; seconds = scan_seconds + GRACE }, {
	timer = timed;
	scan = function(job, seconds, done)
		job.sent, job.mark = 0, rescans.mark();
		return clamd.scan(means, reader(job), seconds, done);
	end;
});

--- @return "clean"; or "found" and the name; or "fault" and why
local function result_of(job, answer, why)
	if not answer then return "fault", why; end
	if job.sent ~= job.size then return "fault", "not all of it was scanned"; end
	return findings.read(answer);
end

-- Events and words ---------------------------------------------------------------------------------------------------

local function person_of(address)
	local name, host = jid.split(address);
	return host == core.host and name or nil;
end

local function is_current(address)
	local name = person_of(address);
	return name ~= nil and core.policy ~= nil and core.policy:valid(name, core.now());
end

-- A refusal is an event, but floods of them fill no disk.
local function record(event, address)
	event.kind, event.to = "file", module.host;
	event.reason = event.reason or "";
	if not core.active then return nil; end
	if not address then return core.record(event); end
	event.address, event.server = address, core.host;
	core.refusals:refused(address, event);
	return true;
end

local function plain(status, text, retry)
	return { status_code = status; body = text .. "\n"; headers = {
		content_type = "text/plain; charset=utf-8"; cache_control = "no-store"; retry_after = retry;
		x_content_type_options = "nosniff";
	} };
end

local STATUS = {
	scanner = 503; log = 503; ["no-policy"] = 503; sender = 403; slot = 400; taken = 409; -- anything else: 422, it is what the file is
};

local function refusal(rule, name)
	local text = ("The file was not shared: %s."):format(findings.reason(rule, name));
	return plain(STATUS[rule] or 422, text, STATUS[rule] == 503 and "60" or nil), text;
end

-- Clients show little of an HTTP answer: the person is told by message as well.
local function tell(address, filename, rule, name)
	module:send(st.message({ from = module.host; to = address; type = "chat"; id = uuid() })
		:body(("“%s” was not shared: %s."):format(filename, findings.reason(rule, name))));
end

-- Upload -------------------------------------------------------------------------------------------------------------

local function upload_event(upload, verdict, rule, name, reason)
	local info = upload.info;
	if upload.finished and not upload.sha256 then upload.sha256 = hex(upload.sum:final()); end
	return {
		type = "upload"; from = info.sub; address = upload.address; slot = upload.slot; bytes = upload.got;
		file = info.filename; media_type = info.filetype; sha256 = upload.sha256; signature = name;
		verdict = verdict; rule = rule; reason = reason;
	};
end

-- Nothing of it remains.
local function discard(upload)
	queue:drop(upload);
	if io.type(upload.file) == "file" then upload.file:close(); end
	if busy[upload.slot] == upload then
		os.remove(upload.path);
		busy[upload.slot] = nil;
	end
end

local function refuse(upload, rule, name, why)
	local answer, text = refusal(rule, name);
	record(upload_event(upload, "refused", rule, name, why and text .. " " .. why or text));
	discard(upload);
	if rule ~= "sender" and rule ~= "no-policy" then tell(upload.info.sub, upload.info.filename, rule, name); end
	return answer;
end

local NOT_STORED = "The file was not shared: the server cannot store it.";

-- The one place where a new file becomes one that can be fetched.
local function publish(event, upload)
	local info = upload.info;
	local entry = upload_event(upload, "allowed", "clean");
	local kept = shelf:put(upload.slot, {
		state = "clean"; set = rescans.mark(upload.mark); size = upload.got; sha256 = upload.sha256; name = info.filename;
		media_type = info.filetype; from = info.sub; time = os.time(); over = info.expires; readers = {};
	});
	if not (kept and record(entry)) then
		shelf:put(upload.slot, nil);
		return refuse(upload, "log");
	end
	event.request.body_sink, event.request.body = upload.file, nil;
	local ok, status = pcall(share.handle_upload, event, upload.request_path);
	if not (ok and status == 201) then
		module:log("error", "%s was cleared and could not be stored: %s", upload.slot, status);
		shelf:put(upload.slot, nil);
		-- the event that it was shared stands already: none may be there without one
		record(upload_event(upload, "refused", "storage", nil, NOT_STORED));
		discard(upload);
		module:send(st.message({ from = module.host; to = info.sub; type = "chat"; id = uuid() })
			:body(("“%s” was not shared: the server cannot store it."):format(info.filename)));
		return plain(500, NOT_STORED);
	end
	busy[upload.slot] = nil;
	return 201;
end

local function judged(event, upload, ...)
	if busy[upload.slot] ~= upload then return 500; end -- the sender went away
	local result, name = result_of(upload, ...);
	if not core.active or not core.policy then return refuse(upload, "no-policy"); end
	if not is_current(upload.info.sub) then return refuse(upload, "sender"); end
	if result == "found" then return refuse(upload, findings.rule(name), name); end
	if result ~= "clean" then
		module:log("error", "%s is not published: %s", upload.slot, name);
		return refuse(upload, "scanner", nil, "(" .. tostring(name) .. ")");
	end
	return publish(event, upload);
end

-- All of the request is there.
local function complete(event, upload)
	local response = event.response;
	if busy[upload.slot] ~= upload then return 500; end
	if upload.got ~= upload.info.filesize then
		local answer = refuse(upload, "slot");
		answer.status_code = 413;
		return answer;
	end
	upload.finished = true;
	if not upload.file:flush() then return refuse(upload, "log"); end
	upload.available = upload.got;
	function response:on_destroy() discard(upload); end -- luacheck: ignore 212/self
	return promise.new(function(resolve)
		function upload.done(...)
			local ok, answer = pcall(judged, event, upload, ...);
			if not ok then
				module:log("error", "%s is not published: %s", upload.slot, answer);
				discard(upload);
			end
			response.on_destroy = nil;
			resolve(ok and answer or 500);
		end
		queue:submit(upload);
	end);
end

local function write(upload, data)
	if upload.got + #data > upload.info.filesize then return nil, "too much"; end
	local ok, err = upload.file:write(data);
	if not ok then return nil, err; end
	upload.sum:update(data);
	upload.got = upload.got + #data;
	if upload.growing and upload.got - upload.available >= CHUNK and upload.file:flush() then
		upload.available = upload.got;
		queue:grown(upload);
	end
	return true;
end

local function refuse_early(event, slot, rule, info)
	local answer, text = refusal(rule);
	record({ type = "upload"; from = info and info.sub; slot = slot; file = info and info.filename;
		verdict = "refused"; rule = rule; reason = text }, event.request.ip);
	return answer;
end

-- mod_http_file_share looks at the leave and opens its hidden file, which this module fills.
local function begin(event, path)
	local request = event.request;
	local slot, body = path:match("^[^/]+"), request.body;
	if not (core.active and core.policy) then return refuse_early(event, slot, "no-policy"); end
	if not slot then return 404; end
	if request.headers.content_range then return refuse_early(event, slot, "slot"); end
	if busy[slot] or shelf:get(slot) then return refuse_early(event, slot, "taken"); end
	request.body = false;
	if body then request.headers.expect = nil; end
	local result = share.handle_upload(event, path);
	local info = request.http_file_share_upload_info;
	if result ~= true then
		record({ type = "upload"; from = info and info.sub; slot = slot; verdict = "refused"; rule = "slot";
			reason = ("Answered %s"):format(type(result) == "table" and result.code or result) }, request.ip);
		return result;
	end
	local upload = {
		slot = slot; info = info; request_path = path; address = request.ip; path = place(slot) .. "~";
		file = request.body_sink; sum = digests.new("sha256"); size = info.filesize; got = 0; available = 0;
	};
	busy[slot], request.sallyport_upload = upload, upload;
	upload.file:setvbuf("full", CHUNK);
	if not is_current(info.sub) then
		request.body_sink = nil;
		return refuse(upload, "sender");
	end
	if body then
		request.body_sink = nil;
		local ok, err = write(upload, body);
		if not ok and err ~= "too much" then return refuse(upload, "log"); end
		if not ok then upload.got = upload.got + #body; end
		return complete(event, upload);
	end
	function event.response:on_destroy() discard(upload); end -- luacheck: ignore 212/self
	request.body_sink = { write = function(_, data) return write(upload, data); end };
	request.conn:set_mode(CHUNK); -- Prosody reads 4 KiB at a time, with a pause after every second time
	queue:offer(upload);
	return true;
end

local function nothing()
	return true;
end

-- Who is refused at once and still sends would see a broken connection instead of the reason: the rest is let by first.
function put(event, path)
	local request = event.request;
	if request.sallyport_answer then return request.sallyport_answer; end
	if request.sallyport_upload then return complete(event, request.sallyport_upload); end
	local answer = begin(event, path);
	local coming = tonumber(request.headers.content_length);
	if answer ~= true and request.partial and not request.headers.expect and coming and coming <= size_limit then
		request.sallyport_answer, request.body_sink = answer, { write = nothing };
		return true;
	end
	return answer;
end

-- Download -----------------------------------------------------------------------------------------------------------

-- Who is signed in from this address, when it is one person only.
local function signed_in_from(address)
	local host, found = prosody.hosts[core.host], nil;
	for name, user in pairs(host and host.sessions or {}) do
		for _, session in pairs(user.sessions) do
			if session.ip == address then
				if found and found ~= name then return nil; end
				found = name;
			end
		end
	end
	return found and found .. "@" .. core.host;
end

local GONE = {
	unknown = { 404, "There is no such file here." };
	gone = { 410, "This file is no longer here." };
	quarantined = { 410, "This file was taken away: the scanner found something in it after it was shared." };
	unscanned = { 404, "The scanner cannot look at this file again: it is not here until it can." };
};

local function download_event(event, slot, known, verdict, rule, reason)
	local address = event.request.ip;
	return {
		type = "download"; from = signed_in_from(address); address = address; slot = slot; bytes = known and known.size;
		file = known and known.name; sha256 = known and known.sha256; verdict = verdict; rule = rule; reason = reason;
	};
end

local function no_download(event, slot, known, rule)
	record(download_event(event, slot, known, "refused", rule, GONE[rule][2]), event.request.ip);
	return plain(GONE[rule][1], GONE[rule][2]);
end

function get(event, path)
	local request, response = event.request, event.response;
	if not (core.active and core.policy) then return plain(503, "The server's decision point is not ready."); end
	local slot = path:match("^[^/]+");
	local known = slot and shelf:get(slot);
	if not known then return no_download(event, slot, nil, "unknown"); end
	if known.state == "withheld" then return no_download(event, slot, known, "unscanned"); end
	if known.state == "quarantined" then return no_download(event, slot, known, "quarantined"); end
	if known.state ~= "clean" or lfs.attributes(place(slot), "size") ~= known.size then return no_download(event, slot, known, "gone"); end
	if request.method == "HEAD" then return share.handle_download(event, path); end
	local entry = download_event(event, slot, known, "allowed", "clean");
	if not (record(entry) and shelf:fetched(slot, known, entry.address, signed_in_from(entry.address), instant())) then
		return plain(503, "The file cannot be fetched now: the server cannot record it.");
	end
	local result = share.handle_download(event, path);
	if result == true and not response.finished then
		served[slot] = served[slot] or {};
		served[slot][response.conn] = true;
		function response:on_destroy() -- luacheck: ignore 212/self
			if served[slot] then served[slot][response.conn] = nil; end
			if served[slot] and not next(served[slot]) then served[slot] = nil; end
		end
	end
	return result;
end

-- What turned out bad ------------------------------------------------------------------------------------------------

local MOST_LISTED = 100; -- of those who fetched it, in the event; the record has them all

local function quarantine(slot, known, name)
	local rule = findings.rule(name);
	known.state, known.signature = "quarantined", name;
	local kept, err = shelf:put(slot, known);
	if not kept then module:log("error", "The record of %s could not be kept: %s", slot, err); end
	os.rename(place(slot), place(slot, "sallyport_quarantine", true));
	for connection in pairs(served[slot] or {}) do connection:close(); end
	local readers = array(); -- an empty list must not become an object
	for index, one in ipairs(known.readers or {}) do
		if index > MOST_LISTED then break; end
		readers[index] = {};
		for key, value in pairs(one) do readers[index][key] = value; end
	end
	record({
		type = "quarantine"; from = known.from; slot = slot; bytes = known.size; file = known.name; sha256 = known.sha256;
		media_type = known.media_type; signature = name; verdict = "refused"; rule = rule; readers = readers;
		readers_total = #(known.readers or {}) + (known.more_readers or 0);
		reason = ("A stored file was taken away: %s."):format(findings.reason(rule, name));
	});
	if known.from then tell(known.from, known.name, rule, name); end
end

local function about(slot, known, kind, verdict, rule, reason)
	return {
		type = kind; from = known.from; slot = slot; bytes = known.size; file = known.name; sha256 = known.sha256;
		media_type = known.media_type; verdict = verdict; rule = rule; reason = reason;
	};
end

-- It could not be scanned again, although the scanner answers. @return whether it is withheld
local function unscanned(slot, known, why)
	local recorded = shelf:get(slot);
	known = recorded or known; -- somebody may have fetched it meanwhile
	known.faults = (known.faults or 0) + 1;
	-- one without a record was never served
	if known.faults >= MOST_FAULTS or not recorded then known.state, known.set = "withheld", nil; end
	local kept, err = shelf:put(slot, known);
	if not kept then module:log("error", "The record of %s could not be kept: %s", slot, err); end
	if known.faults == MOST_FAULTS then
		module:log("error", "%s cannot be scanned again and is not served until it can: %s", slot, why);
		record(about(slot, known, "withhold", "refused", "unscanned",
			("A stored file is not served until it can be scanned (%s)."):format(tostring(why):gsub("[^%g ]", "?"):sub(1, 200))));
	end
	return known.faults >= MOST_FAULTS;
end

-- It was scanned again, with these signatures.
local function cleared(slot, known, set)
	local back = known.state == "withheld" and (known.faults or 0) >= MOST_FAULTS;
	known.state, known.set, known.faults = "clean", set, nil;
	if back and not record(about(slot, known, "release", "allowed", "clean", "It could be scanned.")) then return; end
	shelf:put(slot, known);
end

local releasing = {};

-- Publishes a quarantined file again, when it is clean by now. @return true and words, or nil and why not
local function released(slot, job, ...)
	releasing[slot] = nil;
	local known = shelf:get(slot);
	if not (core.active and known and known.state == "quarantined") then return nil, "It is not quarantined any more"; end
	local result, name = result_of(job, ...);
	if result == "clean" and hex(job.digest:final()) ~= known.sha256 then result, name = "fault", "it is not the file that was shared"; end
	if result == "found" then
		local rule = findings.rule(name);
		local event = about(slot, known, "release", "refused", rule, ("It stays in quarantine: %s."):format(findings.reason(rule, name)));
		event.signature = name;
		record(event);
		return nil, event.reason;
	elseif result ~= "clean" then
		record(about(slot, known, "release", "refused", "scanner", "It stays in quarantine: the scanner cannot look at it."));
		return nil, "It stays in quarantine: " .. tostring(name);
	end
	if not record(about(slot, known, "release", "allowed", "clean", "It was in quarantine; somebody who runs the server released it.")) then
		return nil, "It stays in quarantine: the server cannot record it";
	end
	known.state, known.signature, known.set = "clean", nil, rescans.mark(job.mark);
	local moved, why = os.rename(job.path, place(slot));
	local kept = moved;
	if moved then kept, why = shelf:put(slot, known); end
	if kept then return true, "It can be fetched again"; end
	if moved then os.rename(place(slot), job.path); end
	record(about(slot, known, "release", "refused", "storage", "It stays in quarantine: the server cannot store it."));
	return nil, "It stays in quarantine: " .. tostring(why);
end

local function release(slot)
	local known = type(slot) == "string" and shelf:get(slot);
	if not known or known.state ~= "quarantined" then return nil, "No file with this id is in quarantine"; end
	local path = place(slot, "sallyport_quarantine");
	local size = lfs.attributes(path, "size");
	if size ~= known.size or known.over and known.over < os.time() then return nil, "The file is no longer here"; end
	if releasing[slot] then return nil, "It is being scanned"; end
	releasing[slot] = true;
	return promise.new(function(resolve, reject)
		local job = { path = path; size = size; available = size; digest = digests.new("sha256") };
		function job.done(...)
			local called, ok, words = pcall(released, slot, job, ...);
			if called and ok then resolve(words); else reject(called and words or tostring(ok)); end
		end
		queue:submit(job);
	end);
end

-- The record of a file that lies here without one: of an earlier version, or of a server that died.
local function found_file(slot)
	local size, request, when, from = lfs.attributes(place(slot), "size"), metadata:get(nil, slot);
	if not (size and request) or tonumber(request.attr.size) ~= size then return nil; end
	return {
		state = "clean"; size = size; name = request.attr.filename; media_type = request.attr["content-type"]; from = from;
		time = when; over = expiry < math.huge and when + expiry or nil; readers = {};
	};
end

-- Legal holds --------------------------------------------------------------------------------------------------------

local function read_holds()
	local file, err = io.open(holds_path, "rb");
	local text = file and file:read("*a");
	if file then file:close(); end
	return text, not text and (err or holds_path .. " cannot be read") or nil;
end

-- The slots of the files in a folder.
local function files_in(store)
	local slots = {};
	for name in lfs.dir(place("x", store, true):match("^(.*)/")) do
		local encoded = name:match("^(.+)%.bin$");
		if encoded then slots[datamanager.path_decode(encoded)] = true; end
	end
	return slots;
end

local keeper = holds.keeper({
	shelf = shelf; read = read_holds; kept = files_in("sallyport_held");
	decode = json.decode; null = json.null; parse = datetime.parse; prepare = jid.prep;
	said = function(level, words) module:log(level, "%s", words); end;
	link = function(slot, known)
		local path = place(slot, known.state == "quarantined" and "sallyport_quarantine" or nil);
		if not lfs.attributes(path, "mode") then return nil; end
		return lfs.link(path, place(slot, "sallyport_held", true));
	end;
	unlink = function(slot)
		local path = place(slot, "sallyport_held");
		local ok, why = os.remove(path);
		return ok or not lfs.attributes(path, "mode"), why;
	end;
});

function shelf.changed(slot) keeper:check(slot); end

local stop_keeping;
local function keep()
	local ok, err = pcall(keeper.look, keeper);
	if not ok then module:log("error", "Looking after what is held: %s", err); end
	stop_keeping = timed(holds_look, keep);
end
keep();

--- Notes who sends the addresses of files to whom, see people_host.lib.lua.
-- @param person name of the one behind a nickname in a room, or nil
function core.addresses_sent(stanza, person)
	local parties = { jid.bare(stanza.attr.from), jid.bare(stanza.attr.to) };
	if person then parties[#parties + 1] = person .. "@" .. core.host; end
	shelf:all_sent(tostring(stanza):gmatch(base_path:gsub("%p", "%%%0") .. "([%w_-]+)"), parties, function(slot, err)
		module:log("error", "Who was sent %s could not be kept: %s", slot, err);
	end);
end

-- Its retention is over.
local function gone(slot)
	local known = keeper.kept[slot] and shelf:get(slot);
	if not known then
		shelf:put(slot, nil);
	elseif known.state ~= "held" then
		known.state, known.set = "held", nil;
		shelf:put(slot, known);
	end
end

local watch = rescans.start({
	shelf = shelf; quarantine = quarantine; cleared = cleared; unscanned = unscanned; found_file = found_file; gone = gone;
	place = place; busy = busy; result_of = result_of; timed = timed;
	scan = function(job) queue:submit(job); end;
	ask = function(command, done) clamd.ask(means, command, 10, done); end;
	digest = function() return digests.new("sha256"); end;
});

-- What `sallyport files` shows, see people_host.lib.lua.
function core.files()
	local state = watch.state();
	state.scanning, state.waiting = queue.count, #queue.waiting;
	local count, kept = keeper:count();
	state.holds, state.held = count or json.null, kept;
	return state;
end

core.release_file = release;

-- What was being sent when the server ended is nobody's.
for name in lfs.dir(place("x", nil, true):match("^(.*)/")) do
	if name:find("%.bin~$") then os.remove(place("x"):match("^(.*)/") .. "/" .. name); end
end

function module.unload()
	core.files, core.release_file, core.addresses_sent = nil, nil, nil;
	watch.stop();
	stop_keeping();
	for _, upload in pairs(busy) do discard(upload); end
end

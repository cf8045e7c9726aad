-- SPDX-License-Identifier: GPL-3.0-or-later
-- The decision point on the host of the people: holds the policy, judges stanzas, records events.

local array = require "prosody.util.array";
local cache = require "prosody.util.cache".new;
local encodings = require "prosody.util.encodings";
local filters = require "prosody.util.filters";
local hashes = require "prosody.util.hashes";
local jid = require "prosody.util.jid";
local json = require "prosody.util.json";
local lfs = require "lfs";
local now = require "prosody.util.time".now;
local pposix = require "prosody.util.pposix";
local st = require "prosody.util.stanza";
local uuid = require "prosody.util.uuid".generate;

local documents = module:require "document";
local policies = module:require "policy";
local verdicts = module:require "verdict";
local facts = module:require "facts";
local events = module:require "events";
local contacts = module:require "contacts";
local rosters = module:require "rosters";
local accounts = module:require "accounts";
local administration = module:require "administration";
local border = module:require "border";
local bounds = module:require "bounds";
local certificates = module:require "certificates";
local federation = module:require "federation";
local floods = module:require "floods";
local links = module:require "links";
local notice = module:require "notice";
local questions = module:require "questions";
local rebuilt = module:require "rebuilt";
local rules = module:require "rules";
local texts = module:require "texts";

-- Before everything that stores, copies or routes: archive, carbons, offline messages (0), blocking (100).
local FIRST = 1000;

local policy_path = module:get_option_string("sallyport_policy", "/etc/sallyport/policy.json");
local list_folder = module:get_option_string("sallyport_lists", "/etc/sallyport/lists");
local key_path = module:get_option_string("sallyport_event_key", "/etc/sallyport/secrets/event-key");
local SHORTEST_KEY = 32; -- bytes
local event_path = module:get_option_string("sallyport_events", "/var/log/prosody/im-events.jsonl");
local log_room = module:get_option_string("sallyport_log_room");

-- What the components and the authentication share with this host. Emptied on unload: then nothing is let through.
local core = module:shared("/*/sallyport/core");

-- The time as the policy writes it.
local function instant()
	return os.date("!%Y-%m-%dT%H:%M:%SZ");
end

local function version_of(text)
	return tonumber(hashes.sha256(text, true):sub(1, 12), 16);
end

-- Who reads events reads who talks to whom: the file is for Prosody and its group only, whatever the umask.
local function open_private(path, mode)
	local usual = pposix.umask("027");
	local file, err = io.open(path, mode);
	pposix.umask(usual);
	return file, err;
end

local log_file = events.new(event_path, {
	open = open_private; now = now; uuid = uuid; valid_utf8 = encodings.utf8.valid; encode = json.encode_ordered;
	identity = function(path)
		local found = lfs.attributes(path);
		return found and found.dev .. ":" .. found.ino;
	end;
	room = log_room and function() return lfs.attributes(log_room, "modification") or 0; end;
});

--- Records one event. @return true, or nil when it could not be written: then the stanza must not pass (R9)
local function record(event)
	event.server = module.host;
	for _, field in ipairs({ "from", "to", "room", "type", "stanza_id", "bytes" }) do
		if event[field] == nil then event[field] = json.null; end
	end
	-- an empty list must not become an object
	for _, field in ipairs({ "content", "matched" }) do
		if event[field] then event[field] = array(event[field]); end
	end
	local ok, err = log_file:write(event);
	if not ok then module:log("error", "Cannot write to %s: %s; what cannot be recorded is refused", event_path, err); end
	return ok;
end

-- The person behind a nickname in a room, for private messages.
local function occupant(address)
	local node, host = jid.split(address);
	local policy = core.policy;
	if not (policy and node and host == policy.rooms_domain and policy.rooms[node]) then return nil; end
	local rooms = prosody.hosts[host] and prosody.hosts[host].modules.muc;
	local room = rooms and rooms.get_room_from_jid(node .. "@" .. host);
	local found = room and room:get_occupant_by_nick(address);
	local name, home = jid.split(found and found.bare_jid);
	return home == module.host and name or nil;
end

local function is_partner(domain)
	return core.policy ~= nil and core.policy:partner(domain, instant()) ~= nil;
end

local function has_link(stanza, domain)
	local policy = core.policy;
	return policy.partner_links ~= "permit" and links.found(stanza, policy.partners[domain].names, encodings.idna.to_ascii);
end

local function places()
	local policy = core.policy;
	return {
		domain = module.host; occupant = occupant; partner = is_partner; link = has_link;
		encryption = policy and policy.encryption; rooms_domain = policy and policy.rooms_domain; files_domain = policy and policy.files_domain;
	};
end

-- Never an error in answer to an error or a result (RFC 6120, 8.3.1); nor to the server's own sessions.
local function answer(origin, stanza, verdict)
	local kind = stanza.attr.type;
	if kind == "error" or (stanza.name == "iq" and kind == "result") then return; end
	if origin.type == "local" or not origin.send then return; end
	origin.send(st.error_reply(stanza, verdict.error_type, verdict.condition, verdict.reason, module.host));
end

local RECORDED = { message = true; invitation = true; subscription = true; roster = true; account = true };

local refusals = floods.new(record, now, module:get_option_period("sallyport_stream_events", 60));
core.refusals = refusals;

-- What this module sends itself, as the presence of somebody who left a contact list.
local own = setmetatable({}, { __mode = "k" });

-- What the site's own rules say of something that may pass: the last question, since they look through all of its text.
local function by_rules(stanza, seen, verdict)
	if verdict.verdict == "refused" or not seen.look or seen.answer or not core.rules then return verdict; end
	local hits = core.rules:met(stanza, seen, instant());
	if #hits == 0 then return verdict; end
	local gravest = rules.gravest(hits);
	if gravest.action == "refuse" then
		verdict = verdicts.refuse("content");
		verdict.reason = gravest.reason;
	end
	verdict.matched, verdict.action, verdict.warning = {}, gravest.action, gravest.action == "warn" and gravest.reason or nil;
	for at, rule in ipairs(hits) do verdict.matched[at] = rule.id; end
	return verdict;
end

-- A person of the site is told: the sender, on the device with which it was sent; of something from outside its reader.
local function warn(event, seen, verdict)
	if not verdict.warning or verdict.verdict == "refused" then return; end
	local stanza = event.stanza;
	local to = seen.direction == "in" and jid.bare(stanza.attr.to) or stanza.attr.from;
	local text = seen.direction == "in" and ("About what %s sends you: %s"):format(jid.bare(stanza.attr.from), verdict.warning)
		or verdict.warning;
	local message = st.message({ type = "headline"; from = module.host; to = to }, text);
	own[message] = true;
	module:send(message);
end

-- Who may not write here at all does not write into the log either.
local UNHEARD = { rate = true; stranger = true; ["foreign-domain"] = true; ["no-policy"] = true };

local function is_encrypted(seen)
	for _, what in ipairs(seen.content or {}) do
		if what == "encrypted" then return true; end
	end
	return seen.carries == "encrypted";
end

-- An invitation lets its reader set a password.
local function without_invitations(text)
	return (text:gsub("(/invitation%?)[%w_-]+", "%1…"));
end

-- What was written, or its digest, as the site says; nothing of what nobody on the way can read.
local function with_words(described, stanza, seen, verdict)
	local wanted = core.policy and core.policy.body;
	if not wanted or wanted == "none" or seen.monstrous or is_encrypted(seen) then return described; end
	if seen.direction == "in" and verdict.verdict == "refused" and UNHEARD[verdict.rule] then return described; end
	if stanza.name ~= "message" and not seen.words then return described; end
	local text, subject = texts.shown(stanza);
	for name, words in pairs({ body = text, subject = subject }) do
		if wanted == "hash" then
			described[name .. "_hash"] = hashes.hmac_sha256(core.event_key, words, true);
		else
			described[name] = without_invitations(words);
		end
	end
	return described;
end

-- One event at most. @return the verdict that stands: what cannot be recorded is refused
local function judge(event, seen, verdict, where)
	verdict = by_rules(event.stanza, seen, verdict);
	-- it could be recorded here, and would wait too long for the log host
	if verdict.verdict == "allowed" and RECORDED[seen.kind] and log_file:full() then verdict = verdicts.refuse("log"); end
	local function described()
		return with_words(facts.event(event.stanza, seen, verdict, where), event.stanza, seen, verdict);
	end
	if verdict.verdict == "refused" and seen.direction == "in" then
		refusals:refused(jid.host(event.stanza.attr.from) or "", described());
	elseif verdict.verdict == "refused" or RECORDED[seen.kind] or seen.words or seen.moves or seen.archive_query or verdict.matched then
		if not record(described()) and verdict.verdict == "allowed" then
			return verdicts.refuse("log");
		end
	end
	warn(event, seen, verdict);
	return verdict;
end

-- What devices were asked, by other devices, rooms and the server: only an answer to it goes on, and only once.
local asked = questions.new(cache, now);

-- Presence without an address goes to the contact list, and comes back here once for each contact.
local function outbound(event)
	local stanza = event.stanza;
	local where = places();
	local seen = facts.read(stanza, where);
	border.before_outbound(stanza, seen);
	if seen.answer and seen.device then seen.asked = asked:take(stanza.name, stanza.attr.from, stanza.attr.to, stanza.attr.id); end
	local verdict = judge(event, seen, verdicts.outbound(core.policy, instant(), seen), where);
	if verdict.verdict == "refused" then
		answer(event.origin, stanza, verdict);
		return true;
	end
	if seen.source == "person" then
		rebuilt.message(stanza);
		rebuilt.without(stanza, seen.unknown);
		-- an error may bring back what it is about, and more
		if seen.type == "error" and not seen.direction then rebuilt.answer(stanza); end
	end
	border.after_outbound(stanza, seen);
	if core.addresses_sent and seen.stanza == "message" then core.addresses_sent(stanza, seen.occupant); end
	return nil;
end

local function inbound(event)
	local stanza = event.stanza;
	if own[stanza] or not stanza.attr.to then return nil; end
	local where = places();
	local seen = facts.read(stanza, where, true);
	if seen.direction == "in" then return border.inbound(event, seen, where); end
	local verdict = verdicts.inbound(core.policy, instant(), seen);
	if verdict.verdict == "allowed" then
		if seen.stanza == "iq" and seen.device and not seen.answer then
			asked:ask(stanza.name, stanza.attr.from, stanza.attr.to, stanza.attr.id);
		end
		-- Subscriptions were judged on the way out; what the server makes of its own must not change a contact list.
		return seen.subscription and true or nil;
	end
	judge(event, seen, verdict, where);
	return true;
end

for _, stanza in ipairs({ "message", "presence", "iq" }) do
	for _, target in ipairs({ "bare", "full", "host" }) do
		module:hook("pre-" .. stanza .. "/" .. target, outbound, FIRST);
		module:hook(stanza .. "/" .. target, inbound, FIRST);
	end
end

-- Policy ---------------------------------------------------------------------------------------------------------

local function read_file(path)
	local file, err = io.open(path, "rb");
	if not file then return nil, err; end
	local text, why = file:read("*a");
	file:close();
	if not text then return nil, ("%s: %s"):format(path, why); end
	return text;
end

-- A list is taken only when it is the very one that the policy was made with.
-- @return name -> { lines }, or nil and what is wrong
local function read_lists(digests)
	local lists = {};
	for name, digest in pairs(digests) do
		local path = ("%s/%s.txt"):format(list_folder, name);
		local text, err = read_file(path);
		if not text then return nil, err; end
		if hashes.sha256(text, true) ~= digest then return nil, ("%s is not the list that the policy names"):format(path); end
		local lines = {};
		for line in text:gmatch("[^\n]+") do lines[#lines + 1] = line; end
		lists[name] = { lines = lines };
	end
	return lists;
end

local MEANS = {
	ascii = encodings.idna.to_ascii; unicode = encodings.idna.to_unicode; cache = cache; now = now; null = json.null;
};

local function load_policy()
	local text, err = read_file(policy_path);
	if not text then return nil, err; end
	local data, why = json.decode(text);
	if data == nil then return nil, ("%s is not JSON: %s"):format(policy_path, why or "unknown fault"); end
	local faults = documents.faults(data, module.host, json.null, certificates.readable);
	if #faults > 0 then
		return nil, ("%s has %d fault(s): %s"):format(policy_path, #faults, table.concat(faults, "; "));
	end
	local lists, missing = read_lists(data.lists);
	if not lists then return nil, missing; end
	local key = data.body == "hash" and read_file(key_path) or nil;
	if data.body == "hash" and #(key or "") < SHORTEST_KEY then return nil, ("%s holds no key that can be used"):format(key_path); end
	return policies.compile(data, json.null, encodings.idna.to_unicode), hashes.sha256(text, true), rules.new(data, lists, MEANS), key;
end

local function refresh()
	core.as_of = instant();
	core.due = core.policy and core.policy:next_change(core.as_of);
	federation.follow();
	core.contacts = contacts.new(core.policy, core.as_of, version_of);
	rosters.refresh();
	prosody.events.fire_event("sallyport-policy-changed");
end

--- Reads the policy file again. A bad file leaves the old policy in force.
-- @return true, or nil and what is wrong
local function reload()
	local policy, digest, compiled, key = load_policy();
	if not policy then
		core.fault = digest;
		module:log("error", "Policy not loaded, %s: %s", core.policy and "the old one stays in force" or "nothing is delivered", digest);
		module:set_status("error", "Policy not loaded: " .. digest);
		return nil, digest;
	end
	if digest ~= core.digest or not core.policy then
		core.event_key = key; -- before anything is judged by it
		core.policy, core.digest, core.loaded, core.rules = policy, digest, events.timestamp(now()), compiled;
		refresh();
	end
	core.fault, core.event_key = nil, key;
	module:log("info", "Policy in force: sha256 %s, loaded %s", core.digest, core.loaded);
	module:set_status("info", "Policy in force since " .. core.loaded);
	return true;
end

local function status()
	local policy, at = core.policy, instant();
	local people, rooms, partners = 0, 0, {};
	for _ in pairs(policy and policy.people or {}) do people = people + 1; end
	for _ in pairs(policy and policy.rooms or {}) do rooms = rooms + 1; end
	for domain in pairs(policy and policy.partners or {}) do
		if policy:partner(domain, at) then partners[#partners + 1] = domain; end
	end
	table.sort(partners);
	local text = read_file(policy_path);
	return json.encode_ordered({
		state = core.policy and "in-force" or "no-policy"; domain = module.host;
		sha256 = core.digest or json.null; loaded = core.loaded or json.null;
		file_sha256 = text and hashes.sha256(text, true) or json.null; error = core.fault or json.null;
		people = people; rooms = rooms; partners = array(partners); streams = federation.count(); pending = rosters.pending();
		next_change = policy and policy:next_change(at) or json.null;
	});
end

for name, command in pairs({
	status = { "Show the policy in force", function() return true, status(); end };
	reload = { "Read the policy file again", function()
		local ok, err = reload();
		return ok, ok and status() or err;
	end };
	files = { "Show the scanner and the shared files", function()
		if not core.files then return nil, "There is no file sharing on this server"; end
		return true, json.encode_ordered(core.files());
	end };
	release = { "Scan a file that is in quarantine, and share it again if it is clean", function(_, _, slot)
		if not core.release_file then return nil, "There is no file sharing on this server"; end
		return core.release_file(slot);
	end; { name = "slot"; type = "string" } };
}) do
	module:add_item("shell-command", {
		section = "sallyport"; section_desc = "The decision point"; name = name; desc = command[1];
		args = { { name = "host"; type = "string" }, command[3] }; host_selector = "host";
		handler = command[2];
	});
end

-- Start ----------------------------------------------------------------------------------------------------------

core.policy, core.digest, core.loaded, core.fault, core.rules = nil, nil, nil, nil, nil;
core.host, core.now, core.record, core.places = module.host, instant, record, places;
core.judge = judge;
core.quietly = administration.quietly;
administration.start(core);
accounts.start(core);
border.start(core, own);
notice.start(core, own);
federation.start(core, border.is_unfit);
rosters.start(core, own, accounts.follow, border.list_changed);
reload();
core.contacts = core.contacts or contacts.new(nil, instant(), version_of);
core.active = true;
local writable, why = log_file:ready();
if not writable then
	module:log("error", "Cannot write to %s: %s; what cannot be recorded is refused", event_path, why);
	module:set_status("error", "Events cannot be written");
end

module:hook_global("config-reloaded", reload);
module:hook_global("reopen-log-files", function() log_file:close(); end);

-- The time counts at each verdict; contact lists, rooms, sessions and accounts follow within a second, also when the
-- clock was set. A fault must not end the timer.
local function follow_time()
	local at = instant();
	if not core.policy or at >= core.as_of and not (core.due and core.due <= at) then return; end
	local ok, err = pcall(refresh);
	if not ok then module:log("error", "Contact lists, rooms and accounts could not follow the time: %s", err); end
end

module:add_timer(0.5, function()
	follow_time();
	federation.pass();
	refusals:pass();
	return 0.5;
end);

-- Streams --------------------------------------------------------------------------------------------------------

local bound = setmetatable({}, { __mode = "k" });

-- Before a single byte of it is read: who sends it may be anybody.
local function bind(data, session)
	local stream = session.stream;
	if stream and not bound[stream] then
		bound[stream] = true;
		-- 10,000 holds where Prosody sets nothing, which is for servers that have proven nothing
		bounds.bind(stream, session.stanza_size_limit or 10000);
	end
	return data;
end

-- Clients and other servers; called for each session as it begins.
local function bind_session(session)
	if session.type:find("^[cs]2s") then filters.add_filter(session, "bytes/in", bind, FIRST); end
end

filters.add_filter_hook(bind_session);

-- An account has so many devices at a time: Prosody itself knows no bound, and each session costs memory.
-- Those that wait for their device to come back (XEP-0198) make room, the oldest first.
local most_sessions = module:get_option_integer("sallyport_sessions", 20, 1);

module:hook("pre-resource-bind", function(event)
	-- Signed in, and out of the policy before the session had an address: it would be missed when sessions are ended.
	if not (core.policy and core.policy:valid(event.session.username, instant())) then
		local verdict = verdicts.refuse(core.policy and "sender" or "no-policy");
		event.error = { type = verdict.error_type; condition = verdict.condition; text = verdict.reason };
		return false;
	end
	if event.session.sallyport_unrecorded then
		local verdict = verdicts.refuse("log");
		event.error = { type = verdict.error_type; condition = verdict.condition; text = verdict.reason };
		return false;
	end
	local user = prosody.hosts[module.host].sessions[event.session.username];
	local count, waiting = 0, nil;
	for _, session in pairs(user and user.sessions or {}) do
		count = count + 1;
		if session.hibernating and (not waiting or session.hibernating < waiting.hibernating) then waiting = session; end
	end
	if count < most_sessions then return nil; end
	if waiting then
		waiting:close();
		return nil;
	end
	event.error = { type = "wait"; condition = "resource-constraint"; text = "Too many devices are signed in to this account." };
	return false;
end);

function module.unload()
	filters.remove_filter_hook(bind_session);
	federation.stop();
	refusals:pass(true);
	core.active, core.policy, core.rules = false, nil, nil;
	log_file:close();
end

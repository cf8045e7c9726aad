-- SPDX-License-Identifier: GPL-3.0-or-later
-- Reads from a stanza what the verdict and the event need to know, and nothing of its text.

local jid = require "prosody.util.jid";

local links = module:require "links";
local payloads = module:require "payloads";
local transfers = module:require "transfers";

local MUC = "http://jabber.org/protocol/muc";
local MUC_USER = "http://jabber.org/protocol/muc#user";

local SUBSCRIPTIONS = { subscribe = true; subscribed = true; unsubscribe = true; unsubscribed = true };

-- What a message carries, by the namespace of its children; for the event's `content`.
local CONTENTS = {
	["http://jabber.org/protocol/chatstates"] = "chat-state";
	["urn:xmpp:receipts"] = "receipt";
	["urn:xmpp:chat-markers:0"] = "marker";
	["urn:xmpp:message-correct:0"] = "correction";
	["urn:xmpp:message-retract:0"] = "retraction";
	["urn:xmpp:message-retract:1"] = "retraction";
	["urn:xmpp:fasten:0"] = "retraction";
	["urn:xmpp:reactions:0"] = "reaction";
	["urn:xmpp:reply:0"] = "reply";
	["jabber:x:oob"] = "link";
	["jabber:x:conference"] = "invitation";
	["urn:xmpp:forward:0"] = "forwarded";
	["eu.siacs.conversations.axolotl"] = "encrypted";
	["urn:xmpp:omemo:2"] = "encrypted";
	["urn:xmpp:openpgp:0"] = "encrypted";
	["jabber:x:encrypted"] = "encrypted";
	["http://jabber.org/protocol/ibb"] = "in-band-bytes";
};

-- Questions that cross the border to a partner (name of the child): is somebody there, and what can the program do.
local QUESTIONS = { ["urn:xmpp:ping"] = "ping"; ["http://jabber.org/protocol/disco#info"] = "query" };

local IQ_TYPES = { get = 1; set = 1; result = 0; error = 0 }; -- and how many children there are at least
local LONGEST = 256; -- bytes, of what a question across the border names
local MESSAGE_TYPES = { chat = true; error = true; groupchat = true; headline = true; normal = true };
local PRESENCE_TYPES = { unavailable = true; probe = true; error = true };

local M = {};

local looked = setmetatable({}, { __mode = "k" }); -- presence whose content may pass

local is_call, begins = transfers.is_call, transfers.begins;

-- Only the server makes copies for other devices (XEP-0280) and answers of the archive (XEP-0313). A client that
-- takes them from somebody else shows words that nobody wrote (CVE-2017-5589 and its like).
local function is_forged(child)
	local xmlns = child.attr.xmlns;
	if not xmlns then return false; end
	return begins(xmlns, "urn:xmpp:carbons:") and (child.name == "sent" or child.name == "received")
		or begins(xmlns, "urn:xmpp:mam:");
end

-- Sorts an address: class, then the person's or the room's name, then the nickname in the room.
local function classify(address, places)
	local node, host, resource = jid.split(address);
	if host == places.domain then
		return node and "person" or "server", node, resource;
	elseif host and host == places.rooms_domain then
		if not node then return "rooms"; end
		return resource and "occupant" or "room", node, resource;
	elseif host and host == places.files_domain then
		return "files", node;
	elseif host and places.partner(host) then
		return "partner", node, host;
	end
	return "foreign";
end

local function person_of(address, places)
	local class, name = classify(jid.prep(address), places);
	return class == "person" and name or nil;
end

local function room_of(address, places)
	local class, name = classify(jid.prep(address), places);
	return class == "room" and name or nil;
end

-- Mediated (XEP-0045, 7.8.2, also their refusals) and direct ones (XEP-0249). An invitation whose room or invitee
-- cannot be told is listed with a hole, which the verdict refuses.
local function invitations(stanza, facts, places)
	local found = {};
	for x in stanza:childtags("x", MUC_USER) do
		for child in x:childtags() do
			if child.name == "invite" or child.name == "decline" then
				local person = person_of(child.attr.to, places);
				if not person and child.name == "decline" then person = places.occupant(child.attr.to); end
				found[#found + 1] = { person = person; room = facts.target == "room" and facts.to or nil };
			end
		end
	end
	for x in stanza:childtags("x", "jabber:x:conference") do
		local person = facts.occupant or (facts.target == "person" and facts.to) or (facts.target == "self" and facts.from);
		found[#found + 1] = { person = person or nil; room = room_of(x.attr.jid, places) };
	end
	return found;
end

local function read_message(stanza, facts, places)
	facts.kind, facts.content = "message", {};
	facts.malformed = facts.type ~= nil and not MESSAGE_TYPES[facts.type];
	local listed = {};
	local function list(what)
		if not listed[what] then
			listed[what] = true;
			facts.content[#facts.content + 1] = what;
		end
	end
	for _, child in ipairs(stanza.tags) do
		local xmlns = child.attr.xmlns;
		if is_forged(child) then facts.forged = true; end
		if is_call(xmlns) then
			facts.call = true;
			list(CONTENTS[xmlns] or "call");
		elseif CONTENTS[xmlns] then
			list(CONTENTS[xmlns]);
		elseif xmlns == nil and (child.name == "body" or child.name == "subject") then
			list(child.name);
		end
	end
	if facts.answer then return; end
	if facts.look and transfers.is_encrypted(stanza) then list("encrypted"); end
	-- to Prosody any such message changes the subject, whatever else is in it
	facts.subject_change = facts.type == "groupchat" and stanza:get_child("subject") ~= nil;
	if facts.direction then
		facts.carries = transfers.crossing(stanza, facts.bytes);
		facts.has_data = function() return links.embeds(stanza); end;
	elseif facts.look then
		facts.carries, facts.unknown = transfers.message(stanza, facts.bytes, places.files_domain, places.encryption);
	end
	if facts.domain then
		facts.within = not payloads.permitted(stanza);
		facts.has_link = facts.source == "partner" and function() return places.link(stanza, facts.domain); end;
	end
	facts.invites = invitations(stanza, facts, places);
	if #facts.invites > 0 then
		facts.kind = "invitation";
		list("invitation");
	end
end

local function read_presence(stanza, facts)
	facts.subscription = SUBSCRIPTIONS[stanza.attr.type] or false;
	facts.kind = facts.subscription and "subscription" or "presence";
	facts.malformed = facts.type ~= nil and not facts.subscription and not PRESENCE_TYPES[facts.type];
	-- what somebody outside tells with presence is recorded like a message
	facts.words = facts.direction == "in" and stanza:get_child("status") ~= nil;
	-- coming into a room and leaving it; other presence in it is presence
	if facts.target == "occupant" and facts.source == "person" then
		local what = facts.type == "unavailable" and "leave" or not facts.type and stanza:get_child("x", MUC) and "join" or nil;
		facts.content, facts.moves = what and { what } or nil, what ~= nil;
	end
	-- one presence goes to each of many contacts in turn
	if not facts.look or facts.answer or facts.direction then return; end
	facts.carries, facts.unknown = transfers.presence(stanza, facts.bytes);
	looked[stanza] = not facts.carries or nil;
end

-- A question that crosses the border carries nothing but its name, and which part of the program is meant.
local function is_question(payload)
	if QUESTIONS[payload.attr.xmlns or ""] ~= payload.name or #payload > 0 then return false; end
	for name, value in pairs(payload.attr) do
		if name ~= "xmlns" and not (name == "node" and payload.name == "query" and #value <= LONGEST) then return false; end
	end
	return true;
end

-- Members of a room ask it and search its archive; whatever else sets something is a change of the room.
local function changes_room(stanza, xmlns)
	if stanza.attr.type ~= "set" then return xmlns == "http://jabber.org/protocol/muc#owner"; end
	return not (xmlns and begins(xmlns, "urn:xmpp:mam:"));
end

-- Prosody looks at the name of the first child only, whatever its namespace.
local function asks_removal(payload)
	for _, child in ipairs(payload.tags) do
		if child.name == "remove" then return true; end
	end
	return false;
end

local function read_iq(stanza, facts, places)
	local payload = stanza.tags[1];
	local xmlns = payload and payload.attr.xmlns;
	facts.kind, facts.content = "iq", { xmlns };
	local least = IQ_TYPES[facts.type or ""];
	local id = stanza.attr.id;
	facts.malformed = not least or not id or #id > LONGEST or #stanza.tags < least or facts.type ~= "error" and #stanza.tags > 1;
	if facts.answer then
		local from_device = facts.look and facts.device and not facts.direction;
		if from_device and facts.type == "result" then facts.carries = transfers.result(stanza, facts.bytes); end
		return;
	end
	if not payload then return; end
	facts.call = is_call(xmlns);
	if facts.direction then
		facts.carries = transfers.crossing(stanza, facts.bytes);
	elseif facts.look then
		facts.carries = transfers.question(stanza, facts.bytes, facts.device, places.encryption);
	end
	facts.question = facts.type == "get" and is_question(payload);
	facts.archive_query = facts.type == "set" and payload.name == "query" and xmlns ~= nil and begins(xmlns, "urn:xmpp:mam:");
	-- A roster push comes from one's own server only (RFC 6121, 2.1.6); clients were fooled by others (CVE-2015-8688).
	facts.roster_push = stanza.attr.type == "set" and xmlns == "jabber:iq:roster";
	if facts.target == "room" then
		facts.room_change = changes_room(stanza, xmlns);
	elseif facts.target == "self" or facts.target == "server" then
		local set = stanza.attr.type == "set";
		if facts.roster_push then
			facts.kind, facts.roster_change = "roster", true;
		elseif set and xmlns == "jabber:iq:register" and asks_removal(payload) then
			facts.kind, facts.account_removal = "account", true;
		elseif set and payload.name == "prefs" and xmlns and begins(xmlns, "urn:xmpp:mam:") then
			facts.archive_change = true;
		end
	end
end

-- Clients are not built for every shape that XML can have: what is deeper or broader than any message may end them.
local DEEPEST, MOST_ELEMENTS, MOST_ATTRIBUTES = 32, 1000, 64;

local function is_monstrous(stanza)
	local elements = 0;
	local function look(element, depth)
		elements = elements + 1;
		if depth > DEEPEST or elements > MOST_ELEMENTS then return true; end
		local attributes = 0;
		for _ in pairs(element.attr) do attributes = attributes + 1; end
		if attributes > MOST_ATTRIBUTES then return true; end
		for _, child in ipairs(element.tags) do
			if look(child, depth + 1) then return true; end
		end
		return false;
	end
	return look(stanza, 1);
end

local readers = { message = read_message; presence = read_presence; iq = read_iq };

--- Reads a stanza.
-- @param stanza  the stanza, addresses prepared by the router
-- @param places  { domain, rooms_domain, files_domain, occupant = function(address) -> name of the person behind it or nil,
--                  partner = function(domain) -> whether it is that of a current partner,
--                  encryption = whether messages may be encrypted from end to end,
--                  link = function(stanza, domain) -> whether it carries a link to a file of this partner }
-- @param arrives it is on its way to its reader: among the site's own, its content was looked at when it was sent
-- @return facts: stanza, kind, type, source ("person", "server", "service", "partner", "foreign"), from (name of the person),
--         target ("self", "person", "server", "rooms", "room", "occupant", "files", "partner", "foreign"), to (name),
--         contact and domain (of an address at a partner), direction ("in", "out"; across the border), answer,
--         device (it is delivered to one), carries (the rule by which its content is refused), unknown (what of its content is
--         taken off), has_link and has_data (functions, which look through all of its text: for what may else pass), …
function M.read(stanza, places, arrives)
	local attr = stanza.attr;
	local facts = { stanza = stanza.name; type = attr.type };
	facts.answer = attr.type == "error" or (stanza.name == "iq" and attr.type == "result");

	local source, from, home = classify(attr.from or places.domain, places);
	facts.source = (source == "rooms" or source == "room" or source == "occupant" or source == "files") and "service" or source;
	facts.from = source == "person" and from or nil;
	if source == "partner" then facts.contact, facts.domain = from, home; end
	if source == "partner" or source == "foreign" then facts.direction = "in"; end

	if not attr.to then
		facts.target, facts.to = "self", facts.from;
	else
		local target, to, place = classify(attr.to, places);
		facts.target, facts.to = target, to;
		if target == "person" and to == facts.from then facts.target = "self"; end
		if target == "occupant" then facts.occupant = places.occupant(attr.to); end
		if target == "partner" then facts.contact, facts.domain, facts.to = to, place, nil; end
		if target == "partner" or target == "foreign" then facts.direction = facts.direction or "out"; end
		-- the server itself answers what is asked of a person; of a device, the device
		facts.device = target == "occupant" or target == "person" and place ~= nil;
	end
	facts.look = facts.direction ~= nil or facts.source == "person" and not arrives and not looked[stanza];
	if facts.look then
		if is_monstrous(stanza) then
			-- not read any further
			facts.kind, facts.content, facts.malformed, facts.monstrous = stanza.name, {}, true, true;
			return facts;
		end
		facts.bytes = #tostring(stanza);
	end
	readers[stanza.name](stanza, facts, places);
	return facts;
end

--- The event of a stanza and its verdict, without any text of it.
function M.event(stanza, facts, verdict, places)
	local attr = stanza.attr;
	local to = attr.to or jid.bare(attr.from);
	local room = (facts.target == "room" or facts.target == "occupant") and jid.bare(to)
		or (facts.invites and facts.invites[1] and facts.invites[1].room and facts.invites[1].room .. "@" .. places.rooms_domain)
		or nil;
	local default_type = { message = "normal"; presence = "available" };
	return {
		kind = facts.kind; from = attr.from; to = to; room = room;
		-- behind a nickname, which says nothing of who it is
		person = facts.occupant and facts.occupant .. "@" .. places.domain;
		type = attr.type or default_type[stanza.name]; stanza_id = attr.id;
		bytes = facts.bytes or #tostring(stanza); content = facts.content;
		direction = facts.direction; verdict = verdict.verdict; rule = verdict.rule; reason = verdict.reason;
		matched = verdict.matched; action = verdict.action;
	};
end

return M;

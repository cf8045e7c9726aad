-- SPDX-License-Identifier: GPL-3.0-or-later
-- What a stanza may carry on its way to colleagues, own devices, rooms and the server: what could take a file past the
-- scanner is refused, what is not known is taken off. docs/decision-point.md, "What carries a file". Pure.

local links = module:require "links";
local payloads = module:require "payloads";
local published = module:require "published";

local names = payloads.names;

local M = {};

-- Bytes of a whole stanza; what is longer is a file in disguise, and can be shared as one.
local LONGEST = { message = 16384; presence = 4096; iq = 32768 };
-- Bytes of something unknown that is taken off in silence; what is larger is refused, so that its sender knows.
local SMALL = 256;

local DISCO_INFO, DISCO_ITEMS = "http://jabber.org/protocol/disco#info", "http://jabber.org/protocol/disco#items";
local FORM, MUC, MUC_USER = "jabber:x:data", "http://jabber.org/protocol/muc", "http://jabber.org/protocol/muc#user";
local SHARED, METADATA, URL_DATA = "urn:xmpp:sfs:0", "urn:xmpp:file:metadata:0", "http://jabber.org/protocol/url-data";
local THUMBNAILS, REFERENCE, OOB, UPDATE = "urn:xmpp:thumbs:1", "urn:xmpp:reference:0", "jabber:x:oob", "vcard-temp:x:update";

-- These carry files from device to device, whole or in pieces, or say where a device has one.
local TRANSFERS = {
	["http://jabber.org/protocol/si"] = true; -- XEP-0095, 0096
	["http://jabber.org/protocol/ibb"] = true; -- XEP-0047
	["http://jabber.org/protocol/bytestreams"] = true; -- XEP-0065
	["http://jabber.org/protocol/sipub"] = true; -- XEP-0137
	["jabber:iq:oob"] = true; -- XEP-0066: fetch this from my machine (in a message, jabber:x:oob, it is a link)
	["urn:xmpp:bob"] = true; -- XEP-0231
};

-- And in these stands something that a file can be part of.
local CARRIERS = {
	["urn:xmpp:media-element"] = true; -- XEP-0221
	["urn:xmpp:sims:1"] = true; -- XEP-0385
	["urn:xmpp:esfs:0"] = true; -- XEP-0448
	["urn:xmpp:avatar:data"] = true; -- XEP-0084
	["vcard-temp"] = true; -- XEP-0054
	["urn:ietf:params:xml:ns:vcard-4.0"] = true; -- XEP-0292
	["http://jabber.org/protocol/pubsub"] = true; -- XEP-0060
	["http://jabber.org/protocol/pubsub#event"] = true;
	["urn:xmpp:forward:0"] = true; -- XEP-0297: whatever there is
};

-- Nobody on the way can look into what is encrypted from end to end, nor into the files that it has the keys of.
local ENCRYPTED = {
	["eu.siacs.conversations.axolotl"] = true; ["urn:xmpp:omemo:1"] = true; ["urn:xmpp:omemo:2"] = true; -- XEP-0384
	["urn:xmpp:openpgp:0"] = true; ["jabber:x:encrypted"] = true; -- XEP-0373, 0027
	["urn:xmpp:eme:0"] = true; -- XEP-0380: names any other method
};

-- What a call is made of (XEP-0167 and its like): sound and pictures, no file (XEP-0234) and no channel for data (XEP-0343).
local CALL = {
	["urn:xmpp:jingle:1"] = true; ["urn:xmpp:jingle:errors:1"] = true;
	["urn:xmpp:jingle:apps:rtp:1"] = true; ["urn:xmpp:jingle:apps:rtp:info:1"] = true; ["urn:xmpp:jingle:apps:rtp:errors:1"] = true;
	["urn:xmpp:jingle:apps:rtp:rtcp-fb:0"] = true; ["urn:xmpp:jingle:apps:rtp:rtp-hdrext:0"] = true;
	["urn:xmpp:jingle:apps:rtp:ssma:0"] = true; ["urn:xmpp:jingle:apps:rtp:zrtp:1"] = true;
	["urn:xmpp:jingle:apps:dtls:0"] = true; ["urn:xmpp:jingle:apps:grouping:0"] = true;
	["urn:xmpp:jingle:transports:ice-udp:1"] = true; ["urn:xmpp:jingle:transports:raw-udp:1"] = true;
	["http://gultsch.de/xmpp/drafts/jingle/transports/ice-udp/option"] = true; -- by Conversations and Dino
	["urn:xmpp:jingle-message:0"] = true; ["urn:xmpp:call-message:1"] = true; ["urn:xmpp:call-invites:0"] = true;
};
local MEDIA = { audio = true; video = true };

local function copied(permitted)
	local copy = {};
	for xmlns, elements in pairs(permitted) do copy[xmlns] = elements; end
	return copy;
end

-- What clients add to messages among colleagues, beside what crosses the border.
local MESSAGE = copied(payloads.PERMITTED);
MESSAGE[MUC_USER] = names("x", { -- XEP-0045: invitations; private messages have it empty
	[MUC_USER] = names("invite decline password", { [MUC_USER] = names("reason continue") });
});
MESSAGE["jabber:x:conference"] = names("x"); -- XEP-0249
MESSAGE[payloads.XHTML_IM] = payloads.formatted("img"); -- XEP-0071
MESSAGE["urn:xmpp:carbons:2"] = names("private"); -- XEP-0280
MESSAGE["jabber:x:delay"] = names("x");
MESSAGE["jabber:x:event"] = names("x", { ["jabber:x:event"] = names("composing delivered displayed offline id") }); -- XEP-0022
MESSAGE["urn:xmpp:styling:0"] = names("unstyled"); -- XEP-0393
MESSAGE["urn:xmpp:spoiler:0"] = names("spoiler"); -- XEP-0382
MESSAGE["urn:xmpp:occupant-id:0"] = names("occupant-id"); -- XEP-0421
MESSAGE[REFERENCE] = names("reference"); -- XEP-0372
MESSAGE[SHARED] = names("file-sharing", { -- XEP-0447
	[METADATA] = names("file", {
		[METADATA] = names("name media-type size desc date width height length");
		["urn:xmpp:hashes:2"] = names("hash hash-used");
		[THUMBNAILS] = names("thumbnail"); -- XEP-0264, a picture in itself: taken off (rebuilt.lib.lua)
	});
	[SHARED] = names("sources", { [URL_DATA] = names("url-data") });
});

-- And where the site permits encryption between devices: nobody can tell what is in it.
local MESSAGE_OR_ENCRYPTED = copied(MESSAGE);
local ANY_NAME = setmetatable({}, { __index = function() return payloads.ANYTHING; end });
for xmlns in pairs(ENCRYPTED) do MESSAGE_OR_ENCRYPTED[xmlns] = ANY_NAME; end

local PRESENCE = {
	[""] = names("show status priority");
	["http://jabber.org/protocol/caps"] = names("c"); -- XEP-0115
	["urn:xmpp:caps"] = names("c", { ["urn:xmpp:hashes:2"] = names("hash") }); -- XEP-0390
	[UPDATE] = names("x", { [UPDATE] = names("photo") }); -- XEP-0153: a hash
	["http://jabber.org/protocol/nick"] = names("nick"); -- XEP-0172
	["urn:xmpp:idle:1"] = names("idle"); -- XEP-0319
	["jabber:iq:last"] = names("query"); -- XEP-0256
	["urn:xmpp:delay"] = names("delay"); ["jabber:x:delay"] = names("x");
	[MUC] = names("x", { [MUC] = names("history password") }); -- XEP-0045
};

-- What one device may ask another, always an empty element; and what the answer is made of.
local QUESTIONS = {
	["urn:xmpp:ping"] = "ping"; [DISCO_INFO] = "query"; [DISCO_ITEMS] = "query"; -- XEP-0199, 0030
	["jabber:iq:version"] = "query"; ["jabber:iq:last"] = "query"; ["urn:xmpp:time"] = "time"; -- XEP-0092, 0012, 0202
	["vcard-temp"] = "vCard"; -- of an occupant: the server answers
};
local ANSWERS = {
	[DISCO_INFO] = names("query", {
		[DISCO_INFO] = names("identity feature");
		[FORM] = names("x", { [FORM] = names("field title instructions", { [FORM] = names("value") }) }); -- XEP-0128
	});
	[DISCO_ITEMS] = names("query", { [DISCO_ITEMS] = names("item") });
	["jabber:iq:version"] = names("query", { ["jabber:iq:version"] = names("name version os") });
	["jabber:iq:last"] = names("query");
	["urn:xmpp:time"] = names("time", { ["urn:xmpp:time"] = names("tzo utc") });
	["urn:xmpp:ping"] = names("ping");
};
local MOST_OF_AN_ANSWER = 8192; -- bytes

-- Whatever the length of the text: one that stands at each of many elements would else be searched at each.
function M.begins(text, start)
	return text:sub(1, #start) == start;
end

local begins = M.begins;

--- Is this a call, or something else that is arranged like one (Jingle)?
function M.is_call(xmlns)
	return xmlns ~= nil and (begins(xmlns, "urn:xmpp:jingle") or begins(xmlns, "urn:xmpp:call-"));
end

-- Does an element, or one in it, carry a file?
local function carries(element)
	local xmlns = element.attr.xmlns;
	if TRANSFERS[xmlns or ""] or CARRIERS[xmlns or ""] then return true; end
	if M.is_call(xmlns) then
		if not CALL[xmlns] then return true; end
		if element.name == "description" and not (xmlns == "urn:xmpp:jingle:apps:rtp:1" and MEDIA[element.attr.media]) then return true; end
	end
	for _, child in ipairs(element.tags) do
		if carries(child) then return true; end
	end
	return false;
end

-- Are all of a call's elements such as calls are made of?
local function is_whole_call(element, inherited)
	local xmlns = element.attr.xmlns or inherited;
	if not CALL[xmlns or ""] then return false; end
	for _, child in ipairs(element.tags) do
		if not is_whole_call(child, xmlns) then return false; end
	end
	return true;
end

--- Is this the address of a file at the site's own files service?
function M.is_own_file(url, domain)
	if not (url and domain) then return false; end
	local host, behind = url:match("^%s*https://([%w.-]*)()");
	if not host or host:lower() ~= domain then return false; end
	return url:find("^/[^%s\\#@]*%s*$", url:match("^:%d+()", behind) or behind) ~= nil;
end

-- What the reader's program fetches by itself must lie where the scanner has seen it.
local function fetches_elsewhere(element, domain)
	local xmlns = element.attr.xmlns;
	local place;
	if xmlns == OOB and element.name == "url" then
		place = element:get_text() or "";
	elseif xmlns == URL_DATA then
		place = element.attr.target or "";
	elseif xmlns == REFERENCE and element.attr.uri and not element.attr.uri:find("^xmpp:") then
		place = element.attr.uri;
	elseif element.name == "img" then
		place = element.attr.src or "";
	elseif element.attr.style and not element.attr.style:find("^[%w%s#%%.,:;!'+-]*$") then
		return true; -- only plain values: anything with brackets or marks may name a picture
	end
	if place and not M.is_own_file(place, domain) then return true; end
	for _, child in ipairs(element.tags) do
		if fetches_elsewhere(child, domain) then return true; end
	end
	return false;
end

-- Sorts the children: those that may stay, those that are taken off; or says that one of them must not be sent.
-- What is not known may be a call, which a rule of its own refuses where the site does.
local function sift(stanza, permitted, may_call)
	local unknown;
	for _, child in ipairs(stanza.tags) do
		if not payloads.is_part(child, "", permitted) then
			if carries(child) or not child.attr.xmlns then return "transfer"; end
			if not (may_call and is_whole_call(child)) then
				if #tostring(child) > SMALL then return "transfer"; end
				unknown = unknown or {};
				unknown[child] = true;
			end
		end
	end
	return nil, unknown;
end

--- Is this message encrypted from end to end?
function M.is_encrypted(stanza)
	for _, child in ipairs(stanza.tags) do
		if ENCRYPTED[child.attr.xmlns or ""] then return true; end
		local text = child.name == "body" and child:get_text();
		-- OTR, and what OpenPGP makes of a text
		if text and (text:find("^%s*%?OTR") or text:find("-----BEGIN PGP MESSAGE-----", 1, true)) then return true; end
	end
	return false;
end

--- @param stanza a message to a colleague, a room, an own device
-- @param bytes  its size as text
-- @param domain that of the site's files service, or nil
-- @param encrypted whether it may be encrypted from end to end
-- @return the rule by which it must not be sent, or nil; then the children that are taken off, as a set, or nil
function M.message(stanza, bytes, domain, encrypted)
	if bytes > LONGEST.message then return "length"; end
	if not encrypted and M.is_encrypted(stanza) then return "encrypted"; end
	local rule, unknown = sift(stanza, encrypted and MESSAGE_OR_ENCRYPTED or MESSAGE, true);
	if rule or fetches_elsewhere(stanza, domain) or links.embeds(stanza, true, THUMBNAILS) then return "transfer"; end
	return nil, unknown;
end

--- The same for presence.
function M.presence(stanza, bytes)
	if bytes > LONGEST.presence then return "length"; end
	local rule, unknown = sift(stanza, PRESENCE);
	local update = stanza:get_child("x", UPDATE);
	local hash = update and update:get_child_text("photo") or "";
	if rule or #hash > 128 or hash:find("%X") or links.embeds(stanza, true) then return "transfer"; end
	return nil, unknown;
end

local function is_empty_question(payload)
	return QUESTIONS[payload.attr.xmlns or ""] == payload.name and #payload == 0 and #tostring(payload) <= SMALL;
end

--- The same for a question; nothing is ever taken off.
-- @param to_device whether it is delivered to a device, and not answered by the server
-- @param keys      whether keys for encryption between devices may be published
function M.question(stanza, bytes, to_device, keys)
	if bytes > LONGEST.iq then return "length"; end
	local payload = stanza.tags[1];
	if not payload then return nil; end
	local xmlns, asks = payload.attr.xmlns, stanza.attr.type ~= "set";
	if M.is_call(xmlns) then return (carries(payload) or not is_whole_call(payload)) and "transfer" or nil; end
	if to_device then return not (asks and is_empty_question(payload)) and "transfer" or nil; end
	-- the server answers, and keeps nothing of the question
	if asks then return TRANSFERS[xmlns or ""] and "transfer" or nil; end
	return published.refused(payload, keys) or links.embeds(payload, true) and "transfer" or nil;
end

--- The same for what a device answers another one.
function M.result(stanza, bytes)
	if bytes > MOST_OF_AN_ANSWER then return "transfer"; end
	local fits = payloads.fits(stanza, "", ANSWERS) and #stanza == #stanza.tags;
	return (not fits or links.embeds(stanza, true)) and "transfer" or nil;
end

--- The same at the border, where all that is not named in payloads.lib.lua is refused by rules of its own.
function M.crossing(stanza, bytes)
	if bytes > LONGEST[stanza.name] then return "length"; end
	for _, child in ipairs(stanza.tags) do
		if TRANSFERS[child.attr.xmlns or ""] or M.is_call(child.attr.xmlns) and carries(child) then return "transfer"; end
	end
	return nil;
end

return M;

-- SPDX-License-Identifier: GPL-3.0-or-later
-- What people may leave at the server for others and for their own devices: what they publish (XEP-0163), cards, private
-- storage. Text of known kinds and of bounded size; no pictures, no keys, nothing else. Pure.

local payloads = module:require "payloads";

local ANYTHING, names = payloads.ANYTHING, payloads.names;

local M = {};

local PUBSUB, OWNER = "http://jabber.org/protocol/pubsub", "http://jabber.org/protocol/pubsub#owner";
local BOOKMARKS, OLD_BOOKMARKS, NICK = "urn:xmpp:bookmarks:1", "storage:bookmarks", "http://jabber.org/protocol/nick";
local MOOD, ACTIVITY, TUNE = "http://jabber.org/protocol/mood", "http://jabber.org/protocol/activity", "http://jabber.org/protocol/tune";
local DISPLAYED, AVATAR = "urn:xmpp:mds:displayed:0", "urn:xmpp:avatar:metadata";
local CARD, OLD_CARD = "urn:ietf:params:xml:ns:vcard-4.0", "vcard-temp";

-- The text elements of a card, in each other; not photo, logo, sound, key.
local TEXTS = {};
TEXTS[CARD] = names("fn n surname given additional prefix suffix nickname text uri date date-time bday anniversary gender sex identity "
	.. "adr pobox ext street locality region code country tel email impp lang language-tag tz geo title role org note url rev uid "
	.. "categories parameters type pref kind prodid group", TEXTS);
local OLD_TEXTS = {};
OLD_TEXTS[OLD_CARD] = names("VERSION FN N FAMILY GIVEN MIDDLE PREFIX SUFFIX NICKNAME BDAY ADR LABEL LINE POBOX EXTADD EXTADR STREET "
	.. "LOCALITY REGION PCODE CTRY TEL NUMBER EMAIL USERID JABBERID MAILER TZ GEO LAT LON TITLE ROLE ORG ORGNAME ORGUNIT CATEGORIES "
	.. "KEYWORD NOTE PRODID REV SORT-STRING UID URL CLASS PUBLIC PRIVATE CONFIDENTIAL DESC HOME WORK POSTAL PARCEL DOM INTL PREF "
	.. "VOICE FAX PAGER MSG CELL VIDEO BBS MODEM ISDN PCS INTERNET X400", OLD_TEXTS);

local CARDS = { [CARD] = names("vcard", TEXTS); [OLD_CARD] = names("vCard", OLD_TEXTS) };
local MOST_OF_A_CARD = 8192; -- bytes

local function with(set, name, within)
	set[name] = within;
	return set;
end

local CONFERENCE = with(names("nick password"), "extensions", ANYTHING);

-- Node -> the most bytes of one item, and what it may be.
local NODES = {
	[BOOKMARKS] = { 2048, { [BOOKMARKS] = names("conference", { [BOOKMARKS] = CONFERENCE }) } }; -- XEP-0402
	[OLD_BOOKMARKS] = { 32768, { [OLD_BOOKMARKS] = names("storage", { -- XEP-0048
		[OLD_BOOKMARKS] = names("conference url", { [OLD_BOOKMARKS] = names("nick password") });
	}) } };
	[DISPLAYED] = { 1024, { [DISPLAYED] = names("displayed", { ["urn:xmpp:sid:0"] = names("stanza-id") }) } }; -- XEP-0490
	[NICK] = { 512, { [NICK] = names("nick") } }; -- XEP-0172
	[MOOD] = { 1024, { [MOOD] = names("mood", ANYTHING) } }; -- XEP-0107: feelings and deeds are names of elements
	[ACTIVITY] = { 1024, { [ACTIVITY] = names("activity", ANYTHING) } }; -- XEP-0108
	[TUNE] = { 1024, { [TUNE] = names("tune", { [TUNE] = names("artist length rating source title track uri") }) } }; -- XEP-0118
	["urn:xmpp:vcard4"] = { MOST_OF_A_CARD, CARDS }; -- XEP-0292
	[AVATAR] = { 256, { [AVATAR] = names("metadata") } }; -- XEP-0084: empty, which says that there is no picture (any more)
};

-- Keys for messages that nobody on the way can look into.
local KEYS = { "^eu%.siacs%.conversations%.axolotl", "^urn:xmpp:omemo:", "^urn:xmpp:openpgp:" };

local function is_for_keys(node)
	for _, pattern in ipairs(KEYS) do
		if node:find(pattern) then return true; end
	end
	return false;
end

local MOST_OF_A_KEY = 16384; -- bytes: a hundred keys of a device

-- Where the site permits them: keys of the kinds of their nodes, and nothing beside them.
local function refused_keys(publish)
	for _, item in ipairs(publish.tags) do
		if item.name ~= "item" or #tostring(item) > MOST_OF_A_KEY then return "transfer"; end
		for _, child in ipairs(item.tags) do
			if not is_for_keys(child.attr.xmlns or "") then return "transfer"; end
		end
	end
	return nil;
end

local function refused_items(publish, keys)
	local node = publish.attr.node or "";
	if is_for_keys(node) then
		if keys then return refused_keys(publish); end
		return "encrypted";
	end
	local kind = NODES[node];
	if not kind then return "transfer"; end
	for _, item in ipairs(publish.tags) do
		if item.name ~= "item" or #tostring(item) > kind[1] or not payloads.fits(item, item.attr.xmlns, kind[2]) then return "transfer"; end
	end
	return nil;
end

local MOST_OF_A_REQUEST = 2048; -- bytes: names and settings of nodes

local REQUESTS = {
	["publish-options"] = true; retract = true; items = true; subscribe = true; unsubscribe = true; subscriptions = true;
	affiliations = true; create = true; configure = true; options = true; delete = true; purge = true; default = true;
};

local function refused_request(pubsub, keys)
	for _, child in ipairs(pubsub.tags) do
		local rule;
		if child.name == "publish" then
			rule = refused_items(child, keys);
		elseif child.name == "create" and is_for_keys(child.attr.node or "") then
			rule = not keys and "encrypted" or nil;
		elseif not REQUESTS[child.name] or #tostring(child) > MOST_OF_A_REQUEST then
			rule = "transfer";
		elseif child.name == "create" and not NODES[child.attr.node or ""] then
			rule = "transfer";
		end
		if rule then return rule; end
	end
	return nil;
end

-- Private storage (XEP-0049) is for the own devices; it holds what these programs keep there, and nothing else.
local PRIVATE = {
	[OLD_BOOKMARKS] = NODES[OLD_BOOKMARKS][2][OLD_BOOKMARKS];
	["storage:rosternotes"] = names("storage", { ["storage:rosternotes"] = names("note") }); -- XEP-0145
	["storage:metacontacts"] = names("storage", { ["storage:metacontacts"] = names("meta") }); -- XEP-0209
	["roster:delimiter"] = names("roster"); -- XEP-0083
};

local function whether(refused) return refused and "transfer" or nil; end

local function refused_card(card)
	return whether(#tostring(card) > MOST_OF_A_CARD or not payloads.is_part(card, nil, CARDS));
end

local function refused_if_long(query)
	return whether(#tostring(query) > MOST_OF_A_REQUEST);
end

local function never() end -- bounded by the size of the stanza, and nothing of it goes to anybody

local CHANGES = {
	[PUBSUB] = refused_request; [OWNER] = refused_request;
	[CARD] = refused_card; [OLD_CARD] = refused_card;
	["jabber:iq:private"] = function(query) return whether(not payloads.fits(query, nil, PRIVATE)); end;
	["jabber:iq:register"] = refused_if_long; -- a new password
	["jabber:iq:roster"] = never; -- a rule of its own refuses it
	["urn:xmpp:blocking"] = never; -- XEP-0191
	["urn:xmpp:carbons:2"] = never; -- XEP-0280
	["urn:ietf:params:xml:ns:xmpp-session"] = never;
};

--- @param payload what a person asks the server to keep or to do, in her name (the child of an IQ of type set)
-- @param keys    whether keys for encryption between devices may be left
-- @return the rule by which it is refused, or nil
function M.refused(payload, keys)
	local xmlns = payload.attr.xmlns or "";
	if xmlns:find("^urn:xmpp:mam:") then return nil; end -- a search of the archive
	local change = CHANGES[xmlns];
	if not change then return "transfer"; end
	return change(payload, keys);
end

return M;

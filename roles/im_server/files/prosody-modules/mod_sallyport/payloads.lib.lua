-- SPDX-License-Identifier: GPL-3.0-or-later
-- What a message that crosses the border may carry, at all depths; whatever is not named here is not exchanged. And the
-- means to write down what may be in other stanzas (transfers.lib.lua, published.lib.lua). Pure.

local M = {};

local NOTHING = {};
M.ANYTHING = {}; -- stands for whatever there is, where its size is bounded

-- Elements of these names, with these elements in them: namespace -> name -> what may be in it.
local function names(list, within)
	local set = {};
	for name in list:gmatch("%S+") do set[name] = within or NOTHING; end
	return set;
end

local REACTIONS, FALLBACK, OOB = "urn:xmpp:reactions:0", "urn:xmpp:fallback:0", "jabber:x:oob";
local XHTML_IM, XHTML = "http://jabber.org/protocol/xhtml-im", "http://www.w3.org/1999/xhtml";

-- The text elements of XEP-0071, in each other, and others beside them.
local function formatted(others)
	local marked = {};
	marked[XHTML] = names("a blockquote br cite code div em h1 h2 h3 h4 h5 h6 li ol p pre q span strong ul " .. others, marked);
	return names("html", { [XHTML] = names("body", marked) });
end

local PERMITTED = {
	[""] = names("body subject thread"); -- what has no namespace of its own is the stream's
	["http://jabber.org/protocol/chatstates"] = names("active composing paused inactive gone"); -- XEP-0085
	["urn:xmpp:receipts"] = names("request received"); -- XEP-0184
	["urn:xmpp:chat-markers:0"] = names("markable received displayed acknowledged"); -- XEP-0333
	["urn:xmpp:message-correct:0"] = names("replace"); -- XEP-0308
	["urn:xmpp:message-retract:1"] = names("retract"); -- XEP-0424, and as it was before:
	["urn:xmpp:message-retract:0"] = names("retract");
	["urn:xmpp:fasten:0"] = names("apply-to", { ["urn:xmpp:message-retract:0"] = names("retract") });
	[REACTIONS] = names("reactions", { [REACTIONS] = names("reaction") }); -- XEP-0444
	["urn:xmpp:delay"] = names("delay"); -- XEP-0203
	["urn:xmpp:sid:0"] = names("origin-id stanza-id"); -- XEP-0359; the second one is taken off
	["urn:xmpp:hints"] = names("store no-store no-permanent-store no-copy"); -- XEP-0334; all but the first are taken off
	["urn:xmpp:reply:0"] = names("reply"); -- XEP-0461
	[FALLBACK] = names("fallback", { [FALLBACK] = names("body subject") }); -- XEP-0428
	["urn:xmpp:attention:0"] = names("attention"); -- XEP-0224
	["http://jabber.org/protocol/nick"] = names("nick"); -- XEP-0172
	-- and those that the rule for links looks at
	[OOB] = names("x", { [OOB] = names("url desc") }); -- XEP-0066
	[XHTML_IM] = formatted(""); -- XEP-0071; no picture, which the reader's program would fetch from anywhere
};

local fits;

-- Is this element one of those, with nothing in it but what may be?
local function is_part(element, inherited, permitted)
	local xmlns = element.attr.xmlns or inherited;
	local within = (permitted[xmlns] or NOTHING)[element.name];
	return within ~= nil and fits(element, xmlns, within);
end

function fits(element, inherited, permitted)
	if permitted == M.ANYTHING then return true; end
	for _, child in ipairs(element.tags) do
		if not is_part(child, inherited, permitted) then return false; end
	end
	return true;
end

local function set(list)
	local made = {};
	for name in list:gmatch("%S+") do made[name] = true; end
	return made;
end

-- Attributes of formatted text: those that stay, and those that many programs write and that are taken off (rebuilt.lib.lua).
local KEPT, TAKEN_OFF = set("xmlns xml:lang title href"), set("style class id dir rel target type");
local SCHEMES = set("http https mailto xmpp");

-- An address as a browser reads it: without spaces and what is no mark at all.
local function is_fit_address(href)
	return SCHEMES[href:gsub("[%s%c]+", ""):lower():match("^(%a[%w+.-]*):") or ""] == true;
end

-- Is there nothing in the attributes of formatted text but what may be? A script is no address, and an event's name no attribute.
local function is_harmless(element)
	for name, value in pairs(element.attr) do
		if not (KEPT[name] or TAKEN_OFF[name]) or name == "href" and not (element.name == "a" and is_fit_address(value)) then return false; end
	end
	for _, child in ipairs(element.tags) do
		if not is_harmless(child) then return false; end
	end
	return true;
end

--- Is there nothing in this message but what may cross the border?
-- @param stanza element: name, attr, and tags; not deeper than facts.lib.lua lets pass
function M.permitted(stanza)
	if not fits(stanza, "", PERMITTED) then return false; end
	for _, child in ipairs(stanza.tags) do
		if child.attr.xmlns == XHTML_IM and not is_harmless(child) then return false; end
	end
	return true;
end

M.PERMITTED, M.names, M.fits, M.is_part, M.formatted = PERMITTED, names, fits, is_part, formatted;
M.XHTML_IM, M.TAKEN_OFF = XHTML_IM, TAKEN_OFF;

return M;

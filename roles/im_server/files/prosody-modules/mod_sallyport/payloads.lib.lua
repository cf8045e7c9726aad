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

local MARKED = {}; -- the text elements of XEP-0071, in each other
MARKED[XHTML] = names("a blockquote br cite code div em h1 h2 h3 h4 h5 h6 img li ol p pre q span strong ul", MARKED);

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
	[XHTML_IM] = names("html", { [XHTML] = names("body", MARKED) }); -- XEP-0071
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

--- Is there nothing in this message but what may cross the border?
-- @param stanza element: name, attr, and tags; not deeper than facts.lib.lua lets pass
function M.permitted(stanza)
	return fits(stanza, "", PERMITTED);
end

M.PERMITTED, M.names, M.fits, M.is_part = PERMITTED, names, fits, is_part;

return M;

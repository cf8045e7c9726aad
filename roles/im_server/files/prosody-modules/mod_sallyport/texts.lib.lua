-- SPDX-License-Identifier: GPL-3.0-or-later
-- All words of a stanza that somebody may read: texts at any depth, attributes, links, names of files. Pure.

local M = {};

local XHTML_IM = "http://jabber.org/protocol/xhtml-im";

-- What programs make and nobody reads; an id of digits must not look like a number of something.
local SKIPPED = {
	["urn:xmpp:sid:0"] = true; ["urn:xmpp:hashes:2"] = true; ["urn:xmpp:occupant-id:0"] = true; ["urn:xmpp:delay"] = true;
	["urn:xmpp:receipts"] = true; ["urn:xmpp:chat-markers:0"] = true; ["http://jabber.org/protocol/caps"] = true;
};
local MACHINE = {};
for name in ([[
	xmlns id from to by jid type xml:lang stamp style node sid hash algo ver begin end size width height action var
]]):gmatch("%S+") do
	MACHINE[name] = true;
end

local function percent_decoded(text)
	if not text:find("%", 1, true) then return text; end
	return (text:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)); end));
end

local function text_of(element, between, parts)
	for _, child in ipairs(element) do
		if type(child) ~= "table" then
			parts[#parts + 1] = child;
		else
			text_of(child, between, parts);
			parts[#parts + 1] = between;
		end
	end
	return parts;
end

local function anchors_of(element, anchors)
	for _, child in ipairs(element.tags) do
		if child.name == "a" and child.attr.href then
			anchors[#anchors + 1] = { href = child.attr.href; text = table.concat(text_of(child, "", {})) };
		end
		anchors_of(child, anchors);
	end
end

local function read_attributes(element, pieces)
	for name, value in pairs(element.attr) do
		if not MACHINE[name] and value ~= "" then pieces[#pieces + 1] = percent_decoded(value); end
	end
end

-- A word may be in pieces, and a break of a line stand between two words.
local function read_formatted(element, pieces)
	local close, apart = table.concat(text_of(element, "", {})), table.concat(text_of(element, " ", {}));
	pieces[#pieces + 1] = close;
	if apart:sub(1, #close) ~= close or apart:find("%S", #close + 1) then pieces[#pieces + 1] = apart; end
	local function each(child)
		read_attributes(child, pieces);
		for _, below in ipairs(child.tags) do each(below); end
	end
	each(element);
end

local function read(element, pieces)
	local texts = {};
	if element.attr.xmlns == XHTML_IM then return read_formatted(element, pieces); end
	read_attributes(element, pieces);
	for _, child in ipairs(element) do
		if type(child) ~= "table" then
			texts[#texts + 1] = child;
		elseif not SKIPPED[child.attr.xmlns or ""] and not (child.name == "thread" and not child.attr.xmlns) then
			read(child, pieces);
		end
	end
	local text = table.concat(texts);
	if text:find("%S") then pieces[#pieces + 1] = text; end
	if text:find("%%%x%x") then pieces[#pieces + 1] = percent_decoded(text); end
end

--- Reads a stanza.
-- @return { pieces = list of texts, anchors = list of { href, text } }
function M.read(stanza)
	local found = { pieces = {}; anchors = {} };
	read(stanza, found.pieces);
	for _, child in ipairs(stanza.tags) do
		if child.attr.xmlns == XHTML_IM then
			anchors_of(child, found.anchors);
		end
	end
	-- joining a room, its address ends in the name by which others see the person
	local nick = stanza.name == "presence" and stanza.attr.to and stanza.attr.to:match("^[^/]*/(.*)$");
	if nick then found.pieces[#found.pieces + 1] = nick; end
	return found;
end

--- The words of a message as its reader has them: its bodies, else its subject, else the formatted text.
-- @param is_subject it changes the subject of a room, and is nothing else
-- @return text, or nil when there are none
function M.body(stanza, is_subject)
	for _, name in ipairs(is_subject and { "subject" } or { "body", "subject" }) do
		local parts, seen = {}, {};
		for _, child in ipairs(stanza.tags) do
			local text = child.name == name and child.attr.xmlns == nil and table.concat(text_of(child, "", {})) or "";
			if text ~= "" and not seen[text] then
				parts[#parts + 1], seen[text] = text, true;
			end
		end
		if #parts > 0 then return table.concat(parts, "\n"); end
	end
	for _, child in ipairs(stanza.tags) do
		if child.attr.xmlns == XHTML_IM then return table.concat(text_of(child, " ", {})); end
	end
	return nil;
end

return M;

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

-- Elements of formatted text that begin a line of their own; all others stand within one, and may within a word.
local LINES = {};
for name in ("address blockquote body br dd div dl dt h1 h2 h3 h4 h5 h6 hr li ol p pre table td th tr ul"):gmatch("%S+") do
	LINES[name] = true;
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

-- The text with a blank only where a line begins or ends.
local function lines_of(element, parts)
	for _, child in ipairs(element) do
		if type(child) ~= "table" then
			parts[#parts + 1] = child;
		else
			local line = LINES[child.name] and " " or "";
			parts[#parts + 1] = line;
			lines_of(child, parts);
			parts[#parts + 1] = line;
		end
	end
	return parts;
end

-- As it is the same to a reader, who does not see how many spaces there are.
local function squeezed(text)
	return text:gsub("%s+", " "):match("^ ?(.-) ?$");
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
		if not MACHINE[name] and value ~= "" then
			pieces[#pieces + 1] = percent_decoded(value);
			-- browsers take breaks of lines out of an address (WHATWG URL, 4.4)
			if value:find("[\t\r\n]") then pieces[#pieces + 1] = percent_decoded(value:gsub("[\t\r\n]", "")); end
		end
	end
end

-- A word may be in pieces, a break of a line stand between two words, and both be in one text.
local function read_formatted(element, pieces)
	local known = {};
	for _, parts in ipairs({ text_of(element, "", {}), text_of(element, " ", {}), lines_of(element, {}) }) do
		local text = table.concat(parts);
		local words = squeezed(text);
		if not known[words] then pieces[#pieces + 1], known[words] = text, true; end
	end
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
	-- an address, as in an attribute
	if element.name == "url" and text:find("[\t\r\n]") then pieces[#pieces + 1] = percent_decoded(text:gsub("[\t\r\n]", "")); end
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

local ATTRIBUTES, BESIDE = { "href", "src", "title", "alt" }, {};
-- What programs show beside the text, by name of the element: links, files, invitations, reactions.
for name in ("desc name reaction reason spoiler url"):gmatch("%S+") do BESIDE[name] = true; end

-- Formatted text as it is shown, with where its links lead unless it says that itself.
local function formatted(element, parts)
	local first = #parts + 1;
	local line = LINES[element.name] and "\n" or "";
	parts[first] = line;
	for _, child in ipairs(element) do
		if type(child) == "table" then formatted(child, parts); else parts[#parts + 1] = child; end
	end
	for _, name in ipairs(ATTRIBUTES) do
		local value = element.attr[name];
		if value and not table.concat(parts, "", first):find(value, 1, true) then parts[#parts + 1] = " <" .. value .. ">"; end
	end
	parts[#parts + 1] = line;
	return parts;
end

-- What stands within such an element is part of its text already.
local function beside(element, add, within)
	for _, child in ipairs(element.tags) do
		if BESIDE[child.name] and not within then add(table.concat(text_of(child, "", {}))); end
		if child.attr.reason then add(child.attr.reason); end
		beside(child, add, within or BESIDE[child.name]);
	end
end

-- Without empty lines, and without blanks at its ends.
local function trimmed(text)
	local first = text:find("%S");
	return first and text:sub(first):match("^.*%S"):gsub("\n%s*\n", "\n") or "";
end

-- Bytes of what is recorded: a message of the greatest length, with the same words formatted, is whole. What is longer was refused.
local MOST = 32768;

local function cut(text)
	if #text <= MOST then return text; end
	local stop = MOST;
	while stop > 0 and text:find("^[\128-\191]", stop + 1) do stop = stop - 1; end
	return text:sub(1, stop) .. "…";
end

-- Texts in lines, each of them once: what differs in its spaces only is the same to a reader.
local function lines()
	local parts, known = {}, { [""] = true };
	return function(text)
		local words = squeezed(text);
		if not known[words] then parts[#parts + 1], known[words] = text, true; end
	end, function() return parts[1] and cut(table.concat(parts, "\n")); end;
end

--- The words of a message or of presence as its reader has them.
-- @return the text: in all its languages, then formatted, then what is shown beside it, of each what was not there before;
--         and the subject. What has a subject alone has it as text. Nil for what there is none of.
function M.shown(stanza)
	local add, text = lines();
	local add_subject, subject = lines();
	for _, child in ipairs(stanza.tags) do
		if not child.attr.xmlns then
			local words = table.concat(text_of(child, "", {}));
			if child.name == "body" or child.name == "status" then add(words); end
			if child.name == "subject" then add_subject(words); end
		end
	end
	for _, child in ipairs(stanza.tags) do
		if child.attr.xmlns == XHTML_IM then add(trimmed(table.concat(formatted(child, {})))); end
	end
	beside(stanza, add);
	if text() then return text(), subject(); end
	return subject();
end

return M;

-- SPDX-License-Identifier: GPL-3.0-or-later
-- Presence and answers that cross the border are not passed on, but built again from what is known in them.

local payloads = module:require "payloads";

local M = {};

local DISCO = "http://jabber.org/protocol/disco#info";
local THUMBNAILS = "urn:xmpp:thumbs:1"; -- XEP-0264
local STANZA_ERRORS = "urn:ietf:params:xml:ns:xmpp-stanzas";

local LONGEST_STATUS, MOST_STATUSES = 256, 8; -- characters; one for each language
local LONGEST_ATTRIBUTE, MOST_CAPABILITIES = 256, 200; -- bytes

local ADDRESSING = { from = true; to = true; id = true; type = true; ["xml:lang"] = true };
local SHOWS = { away = true; chat = true; dnd = true; xa = true };
local ERROR_TYPES = { auth = true; cancel = true; continue = true; modify = true; wait = true };

-- Takes everything out of a stanza, and returns the elements that were in it.
local function emptied(stanza)
	local tags = {};
	for index, tag in ipairs(stanza.tags) do tags[index] = tag; end
	for index = #stanza, 1, -1 do stanza[index] = nil; end
	for index = #stanza.tags, 1, -1 do stanza.tags[index] = nil; end
	return tags;
end

-- So many characters; cut between them, never within one.
local function cut(text, longest)
	local over = #text > longest and utf8.offset(text, longest + 1);
	return over and text:sub(1, over - 1) or text;
end

local function language(tag)
	local value = tag.attr["xml:lang"];
	return value and #value <= 35 and value:find("^[%w-]+$") and value or nil;
end

--- What of presence is for others to see: availability and words. Anything else would only lead to questions that are refused.
-- @param stanza changed in place
-- @param has_link function(words) -> whether they must not pass, or nil
function M.presence(stanza, has_link)
	local names = {};
	for name in pairs(stanza.attr) do names[#names + 1] = name; end
	for _, name in ipairs(names) do
		if not ADDRESSING[name] then stanza.attr[name] = nil; end
	end
	local show, priority, statuses = nil, nil, 0;
	for _, tag in ipairs(emptied(stanza)) do
		local text = tag:get_text() or "";
		if tag.attr.xmlns then -- luacheck: ignore 542
			-- foreign
		elseif tag.name == "show" and not show and SHOWS[text] then
			show = text;
			stanza:text_tag("show", show);
		elseif tag.name == "priority" and not priority and text:find("^[+-]?%d%d?%d?$") and tonumber(text) >= -128 and tonumber(text) <= 127 then
			priority = text;
			stanza:text_tag("priority", priority);
		elseif tag.name == "status" and text ~= "" and statuses < MOST_STATUSES then
			local words = cut(text, LONGEST_STATUS);
			if not (has_link and has_link(words)) then
				statuses = statuses + 1;
				stanza:text_tag("status", words, { ["xml:lang"] = language(tag) });
			end
		end
	end
	return stanza;
end

-- The attributes of these names, without those that are too long.
local function some(attr, names)
	local made = {};
	for name in names:gmatch("%S+") do
		if attr[name] and #attr[name] <= LONGEST_ATTRIBUTE then made[name] = attr[name]; end
	end
	return made;
end

-- What a program can do (XEP-0030).
local function add_capabilities(stanza, query)
	local count, node = 0, some(query.attr, "node").node;
	stanza:tag("query", { xmlns = DISCO; node = node });
	for _, tag in ipairs(query.tags) do
		if count == MOST_CAPABILITIES then break; end
		local attr;
		if (tag.attr.xmlns or DISCO) ~= DISCO then -- luacheck: ignore 542
			-- foreign
		elseif tag.name == "identity" then
			attr = some(tag.attr, "category type name xml:lang");
			if not (attr.category and attr.type) then attr = nil; end
		elseif tag.name == "feature" then
			attr = some(tag.attr, "var");
			if not attr.var then attr = nil; end
		end
		if attr then
			count = count + 1;
			stanza:tag(tag.name, attr):up();
		end
	end
	stanza:reset();
end

--- An answer keeps what answers, and nothing that could ride on it.
-- @param stanza a result or an error, changed in place
function M.answer(stanza)
	if stanza.attr.type == "result" then
		local query = stanza:get_child("query", DISCO);
		emptied(stanza);
		if query then add_capabilities(stanza, query); end
		return stanza;
	end
	local kind, condition = stanza:get_error();
	emptied(stanza);
	if not condition or not condition:find("^%l[%l-]+$") or #condition > 40 then condition = "undefined-condition"; end
	stanza:tag("error", { type = ERROR_TYPES[kind or ""] and kind or "cancel" })
		:tag(condition, { xmlns = STANZA_ERRORS }):reset();
	return stanza;
end

--- Takes elements off a stanza.
-- @param unknown set of children, or nil
function M.without(stanza, unknown)
	if unknown then stanza:maptags(function(tag) return not unknown[tag] and tag or nil; end); end
end

-- The small pictures that some programs put into the message itself, beside the file that they share.
local function without_thumbnails(element)
	element:maptags(function(tag)
		if tag.attr.xmlns == THUMBNAILS then return nil; end
		return without_thumbnails(tag);
	end);
	return element;
end

-- How formatted text looks is the reader's business (XEP-0071): a style may name a picture, or hide what is written.
local function without_looks(element)
	for name in pairs(payloads.TAKEN_OFF) do element.attr[name] = nil; end
	for _, child in ipairs(element.tags) do without_looks(child); end
end

--- What crosses the border as formatted text, without what makes it look like something else.
-- @param stanza changed in place
function M.formatted(stanza)
	for html in stanza:childtags("html", payloads.XHTML_IM) do without_looks(html); end
end

--- A delay is what a server tells of its own (XEP-0203): no partner's may tell when something came to ours.
-- @param stanza changed in place
-- @param domain that of the partner
function M.delays(stanza, domain)
	stanza:maptags(function(tag)
		return not (tag.name == "delay" and tag.attr.xmlns == "urn:xmpp:delay" and tag.attr.from ~= domain) and tag or nil;
	end);
end

local AGAINST = { ["no-store"] = true; ["no-permanent-store"] = true; ["no-copy"] = true };

-- The id in an archive is given by that archive (XEP-0359): Prosody takes off those in its own name, and delivers a copy that
-- it made before, so that the reader would have two.
local function is_the_sites(tag)
	local xmlns = tag.attr.xmlns;
	return xmlns == "urn:xmpp:hints" and AGAINST[tag.name] or xmlns == "urn:xmpp:sid:0" and tag.name == "stanza-id";
end

--- What is archived and copied to a person's devices is the site's to say, not the writer's (XEP-0334), and so is the id in
-- the archive; and a message with words is no headline, which no archive keeps.
-- @param stanza changed in place
function M.message(stanza)
	if stanza.name ~= "message" then return; end
	stanza:maptags(function(tag) return not is_the_sites(tag) and tag or nil; end);
	for shared in stanza:childtags("file-sharing", "urn:xmpp:sfs:0") do without_thumbnails(shared); end
	if stanza.attr.type == "headline" and stanza:get_child("body") then stanza.attr.type = "normal"; end
end

return M;

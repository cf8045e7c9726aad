-- SPDX-License-Identifier: GPL-3.0-or-later
-- Finds links to files in a message from a partner: to files on the partner's own servers, and those whose kind says that
-- a file is meant. Looks at all text and all attributes, however deep. Pure.

local M = {};

-- These elements are links to files, whatever they point to.
local FILES = {
	["jabber:x:oob"] = true; -- XEP-0066
	["urn:xmpp:sims:1"] = true; -- XEP-0385
	["urn:xmpp:sfs:0"] = true; -- XEP-0447
	["urn:xmpp:esfs:0"] = true; -- XEP-0448
	["http://jabber.org/protocol/url-data"] = true; -- XEP-0103
};

-- What a reader does not see, but a program that looks for a name would stumble over.
local UNSEEN = {
	"\194\173", -- soft hyphen
	"\216\156", -- Arabic letter mark
	"\225\160\142", -- Mongolian vowel separator
	"\226\128[\139-\143]", -- zero width, directions
	"\226\128[\168-\174]", -- separators, directions
	"\226\129[\160-\175]", -- joiners, isolates
	"\239\184[\128-\143]", -- variation selectors
	"\239\187\191", -- byte order mark
};

-- Other full stops that count as one in a name (RFC 3490, 3.1), and the wide forms of the marks in a link.
local ALIKE = {
	["\227\128\130"] = "."; ["\239\188\142"] = "."; ["\239\189\161"] = ".";
	["\239\188\154"] = ":"; ["\239\188\143"] = "/";
};

-- A text as it is compared: small letters, one kind of full stop, and `instead` for each mark that is not seen.
local function plain(text, instead)
	for _, pattern in ipairs(UNSEEN) do text = text:gsub(pattern, instead); end
	for mark, usual in pairs(ALIKE) do text = text:gsub(mark, usual); end
	return text:lower();
end

-- Marks of other scripts that end a name, like those of ASCII do.
local ENDS = { "\194[\128-\191].*", "\226[\128\129].*", "\227\128.*", "\239\188[\129-\143].*" };

-- The host of what follows the slashes in a link: without user, port, and what cannot be part of a name.
local function host_of(rest)
	local host = rest:match("^[^/\\?#%s]*"):gsub("^.*@", ""):match("^[^\"'<>()%[%]{}|:]*");
	host = host:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)); end);
	host = plain(host, "");
	for _, pattern in ipairs(ENDS) do host = host:gsub(pattern, ""); end
	return (host:gsub("[.,;!]+$", ""));
end

local function is_below(host, domain)
	return host == domain or host:sub(-#domain - 1) == "." .. domain;
end

-- A file in the text itself (RFC 2397); "data: 5" is none.
local function is_data(text)
	return text:find("data:[%w.+-]+/[%w.+-]+[;,]") ~= nil or text:find("data:[;,]") ~= nil;
end

-- Addresses that work without slashes; "xmpp:somebody@partner.example" is a person.
local WEB = { "https?$", "ftps?$", "sftp$" };

local function is_web(scheme)
	for _, ending in ipairs(WEB) do
		if scheme:find(ending) then return true; end
	end
	return false;
end

-- What programs make a link of though it has no scheme: a name with a path, or one that begins with www. What an address
-- with a scheme goes on with is no name of its own.
local function is_bare_link(text, is_theirs)
	text = text:gsub("%a[%w+.-]*:[/\\]+[^%s\"'<>()%[%]{}|,;]*", " ");
	for host, place in text:gmatch("([%w.%%\128-\255-]+)()") do
		local path = text:find("^:?%d*[/\\]", place) ~= nil;
		if (path or host:find("^www%.")) and is_theirs(host_of(host)) then return true; end
		-- words and marks of another script may stand beside it without a space
		for name in host:gmatch("[%w.%%-]+") do
			if (path or name:find("^www%.")) and is_theirs(host_of(name)) then return true; end
		end
	end
	return false;
end

-- Attributes that hold addresses of pages and files; others hold addresses of people, too.
local ADDRESSES = { href = true; src = true; cite = true };

-- Calls look(text, name of the attribute or nil) for all text and all attributes; @return whether one call returned true.
-- With a list of what is still to be looked at, and not a function that calls itself: a stanza may be very deep.
local function anywhere(stanza, look, is_file, skipped)
	local open = { stanza };
	while #open > 0 do
		local element = table.remove(open);
		if is_file and is_file(element) then return true; end
		for name, value in pairs(element.attr) do
			-- browsers take the spaces out of an address
			if name ~= "xmlns" and look((value:gsub("%s+", "")), name) then return true; end
		end
		local texts = {};
		for _, child in ipairs(element) do
			if type(child) ~= "table" then
				texts[#texts + 1] = child;
			elseif not (skipped and child.attr.xmlns == skipped) then
				open[#open + 1] = child;
			end
		end
		if #texts > 0 and look(table.concat(texts)) then return true; end
	end
	return false;
end

local function is_file(element)
	-- a picture is fetched by the reader's program, wherever it lies
	return FILES[element.attr.xmlns or ""] or element.name == "img";
end

--- Does this stanza carry a link to a file, as the partner's servers could hold it?
-- @param stanza element: name, attr, and children or texts as a list
-- @param names  the names that are the partner's, with all below them: its domain as addresses have it, its servers
-- @param ascii  function(domain) -> its xn-- form, or nil
function M.found(stanza, names, ascii)
	local wanted = {};
	for index, name in ipairs(names) do wanted[index] = ascii(name) or name; end
	local function is_theirs(host)
		local plain_host = ascii(host) or host;
		for index, name in ipairs(names) do
			if is_below(host, name) or is_below(plain_host, wanted[index]) then return true; end
		end
		return false;
	end
	local function holds_link(text, bare)
		if text:find("aesgcm:", 1, true) or is_data(text) then return true; end
		for scheme, slashes, place in text:gmatch("(%a[%w+.-]*):([/\\]*)()") do
			if slashes ~= "" or is_web(scheme) then
				if is_theirs(host_of(text:sub(place, place + 1024))) then return true; end
			end
		end
		return bare and is_bare_link(text, is_theirs);
	end
	-- A mark that is not seen may end a name or stand in it, as the reader's program likes.
	return anywhere(stanza, function(text, attribute)
		local bare = not attribute or ADDRESSES[attribute];
		return holds_link(plain(text, ""), bare) or holds_link(plain(text, " "), bare);
	end, is_file);
end

-- Nothing can have a scheme without one of these: most texts need not be looked at any closer.
local function has_colon(text)
	return text:find(":", 1, true) or text:find("\239\188\154", 1, true);
end

--- Does this stanza carry a file in its text or in an attribute (RFC 2397)?
-- @param encrypted whether the address of a file that nobody on its way can look into counts as well
-- @param skipped   namespace of elements that are not looked at
function M.embeds(stanza, encrypted, skipped)
	return anywhere(stanza, function(text)
		if not has_colon(text) then return false; end
		local whole = plain(text, "");
		return is_data(whole) or encrypted and whole:find("aesgcm:", 1, true) ~= nil;
	end, nil, skipped);
end

return M;

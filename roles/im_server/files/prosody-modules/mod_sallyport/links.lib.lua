-- SPDX-License-Identifier: GPL-3.0-or-later
-- Finds links to files in a message from a partner: to files on the partner's own servers, and those whose kind says that
-- a file is meant. Looks at all text and all attributes, however deep. Pure.

local folding = module:require "folding";

local plain, WITHOUT, APART = folding.plain, folding.WITHOUT, folding.APART;

local M = {};

-- These elements are links to files, whatever they point to.
local FILES = {
	["jabber:x:oob"] = true; -- XEP-0066
	["urn:xmpp:sims:1"] = true; -- XEP-0385
	["urn:xmpp:sfs:0"] = true; -- XEP-0447
	["urn:xmpp:esfs:0"] = true; -- XEP-0448
	["http://jabber.org/protocol/url-data"] = true; -- XEP-0103
};

-- Whatever is looked for in the words of others takes time in proportion to their length: a pattern here is anchored, or
-- takes a whole run of a class and wants nothing after it, or works on a piece of bounded length.

-- Marks of other scripts that end a name, like those of ASCII do.
local ENDS = { "\194[\128-\191]", "\226[\128\129]", "\227\128", "\239\188[\129-\143]" };

-- A name is at most 255 bytes long, and each of them may be written as three.
local LONGEST = 1024;

-- The host at the beginning of this text: without port, and what cannot be part of a name.
local function host_of(text)
	local host = text:sub(1, LONGEST):match("^[^/\\?#%s\"'<>()%[%]{}|:]*");
	host = plain(host:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)); end), WITHOUT);
	for _, pattern in ipairs(ENDS) do
		local place = host:find(pattern);
		if place then host = host:sub(1, place - 1); end
	end
	return host:match("^.*[^.,;!]") or "";
end

local function is_below(host, domain)
	return host == domain or host:sub(-#domain - 1) == "." .. domain;
end

-- An address of IPv4, in any form that browsers take: 127.0.0.1, 127.1, 2130706433, 0x7f.1 (a name never ends in a number).
local function is_number(host)
	local last = host:match("^.*%.(.*)$") or host;
	return last:find("^%d+$") ~= nil or last:find("^0x%x*$") ~= nil;
end

local function is_four_numbers(host)
	return host:find("^%d%d?%d?%.%d%d?%d?%.%d%d?%d?%.%d%d?%d?$") ~= nil;
end

-- A file in the text itself (RFC 2397); "data: 5" is none.
local function is_data(text)
	return text:find("data:[%w.+-]+/[%w.+-]+[;,]") ~= nil or text:find("data:[;,]") ~= nil;
end

-- Addresses that work without slashes; "xmpp:somebody@partner.example" is a person.
local WEB = { "http", "https", "ftp", "ftps", "sftp" };

local function is_web(scheme)
	for _, ending in ipairs(WEB) do
		if scheme:sub(-#ending) == ending then return true; end
	end
	return false;
end

-- Where the host of an address begins, behind a user if there is one. Many addresses in one piece without a slash have the
-- same end and the same user: it is looked for once.
local function hosts_in(text)
	local stop, user = 0, 0;
	return function(place)
		if place > stop then
			stop = text:match("^[^/\\?#%s]*()", place);
			user = place + #(text:sub(place, stop - 1):match("^.*@") or "");
		end
		return math.max(place, user);
	end;
end

-- Calls look(text from the host on, whether it is one for a browser, where that is) for each address with a scheme, until it
-- returns true.
-- @return whether it did; then the text without the addresses that have slashes: what they go on with is no name of its own
local function with_scheme(text, look)
	local rest, over, host_at, looked = {}, 1, hosts_in(text), 0;
	for first, word, colon in text:gmatch("()([%w+.-]+)()") do
		if text:byte(colon) == 58 and word:find("%a") then
			local place = text:match("^[/\\]*()", colon + 1);
			local slashes, web = place - colon - 1, is_web(word);
			local begin = (slashes > 0 or web) and host_at(place) or looked;
			if begin ~= looked then
				looked = begin;
				if look(text:sub(begin, begin + LONGEST), web or slashes > 1, begin) then return true; end
			end
			if slashes > 0 and first >= over then
				rest[#rest + 1] = text:sub(over, first - 1);
				over = text:match("^[^%s\"'<>()%[%]{}|,;]*()", place);
			end
		end
	end
	rest[#rest + 1] = text:sub(over);
	return false, table.concat(rest, " ");
end

-- What programs make a link of though it has no scheme: a name with a path, or one that begins with www.
local function is_bare_link(text, is_theirs)
	for host, place in text:gmatch("([%w.%%\128-\255-]+)()") do
		local path = text:find("^:?%d*[/\\]", place) ~= nil;
		-- 10.0.0.0/8 is a network
		if path and is_four_numbers(host) and not text:find("^/%d%d?%.?%f[^%w./]", place) then return true; end
		host = host:sub(-LONGEST);
		if (path or host:sub(1, 4) == "www.") and is_theirs(host_of(host)) then return true; end
		-- words and marks of another script may stand beside it without a space
		for name in host:gmatch("[%w.%%-]+") do
			if name ~= host and (path or name:sub(1, 4) == "www.") and is_theirs(host_of(name)) then return true; end
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
	return FILES[element.attr.xmlns or ""];
end

--- Does this stanza carry a link to a file, as the partner's servers could hold it?
-- @param stanza element: name, attr, and children or texts as a list
-- @param names  the names that are the partner's, with all below them: its domain as addresses have it, its servers
-- @param ascii  function(domain) -> its xn-- form, or nil
function M.found(stanza, names, ascii)
	local wanted = {};
	for index, name in ipairs(names) do wanted[index] = ascii(name) or name; end
	-- @return whether it is the partner's; then its form in ASCII
	local function is_theirs(host)
		local plain_host = host:find("[\128-\255]") and ascii(host) or host;
		for index, name in ipairs(names) do
			if is_below(host, name) or is_below(plain_host, wanted[index]) then return true; end
		end
		return false, plain_host;
	end
	-- what has no name is nobody's, and may be the partner's
	local function is_file_there(address, web)
		if web and address:find("^%[%x*:") then return true; end
		local theirs, host = is_theirs(host_of(address));
		return theirs or web and is_number(host);
	end
	local function holds_link(text, bare)
		if text:find("aesgcm:", 1, true) or is_data(text) then return true; end
		local found, rest = with_scheme(text, is_file_there);
		return found or bare and is_bare_link(rest, is_theirs) or false;
	end
	-- A mark that is not seen may end a name or stand in it, as the reader's program likes.
	return anywhere(stanza, function(text, attribute)
		local bare = not attribute or ADDRESSES[attribute];
		local whole, apart = plain(text, WITHOUT), plain(text, APART);
		return holds_link(whole, bare) or whole ~= apart and holds_link(apart, bare);
	end, is_file);
end

-- Nothing can have a scheme without one of these: most texts need not be looked at any closer.
local function has_colon(text)
	return text:find(":", 1, true) or text:find("\239\188\154", 1, true);
end

M.host_of, M.is_below, M.is_number, M.with_scheme = host_of, is_below, is_number, with_scheme;

--- Does this stanza carry a file in its text or in an attribute (RFC 2397)?
-- @param encrypted whether the address of a file that nobody on its way can look into counts as well
-- @param skipped   namespace of elements that are not looked at
function M.embeds(stanza, encrypted, skipped)
	return anywhere(stanza, function(text)
		if not has_colon(text) then return false; end
		local whole = plain(text, WITHOUT);
		return is_data(whole) or encrypted and whole:find("aesgcm:", 1, true) ~= nil;
	end, nil, skipped);
end

return M;

-- SPDX-License-Identifier: GPL-3.0-or-later
-- Finds the names of computers in a text, and says which of them are blocked, look like another one, or are not what the text
-- of a link shows. What a name costs does not depend on how many are blocked. Pure.

local alike = module:require "alike";
local folding = module:require "folding";
local links = module:require "links";

local M = {};

local LONGEST_NAME = 1024; -- bytes as they are written: a name has at most 255, and each may be written as three
local LONGEST_PATH, MOST_OF_PATHS = 2048, 16384; -- bytes as they are written, of one and of all in a message
local SHORTEST = 6; -- letters of a name for which one letter more or less is an imitation and no coincidence

local function percent_decoded(text)
	return (text:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)); end));
end

local function number_of(part)
	if part:find("^0x%x*$") then return tonumber("0" .. part:sub(3), 16); end
	return part:find("^0[0-7]*$") and tonumber(part, 8) or part:find("^[1-9]%d*$") and tonumber(part) or nil;
end

-- 127.1, 2130706433, 0x7f.0.0.1 are all the same address (WHATWG URL, "IPv4 parser").
local function dotted(host)
	local sum, count, last = 0, 0, 0;
	for part in (host .. "."):gmatch("([^.]*)%.") do
		local value = number_of(part);
		if not value or value < 0 or last > 255 or count == 4 then return host; end
		sum, count, last = sum + last * 256 ^ (4 - count), count + 1, value;
	end
	if last >= 256 ^ (5 - count) then return host; end
	sum = sum + last;
	return ("%d.%d.%d.%d"):format(math.floor(sum / 16777216), math.floor(sum / 65536) % 256, math.floor(sum / 256) % 256, sum % 256);
end

-- A path as a browser asks for it and a server reads it: in small letters, without steps that lead nowhere.
-- @return the parts of it
local function parts_of(path)
	local parts = {};
	for part in folding.plain(percent_decoded(path), folding.WITHOUT):gmatch("[^/\\]+") do
		if part == ".." then parts[#parts] = nil; elseif part ~= "." then parts[#parts + 1] = part; end
	end
	return parts;
end

-- What stands before the first mark that is hardly a part of an address: one beyond ASCII, a word of a script without blanks,
-- or one of these. Nil when there is none.
local function before_mark(part)
	local stop = part:find("[`|;&]");
	for at, mark in part:gmatch("()(" .. folding.ONE .. ")") do
		if stop and at > stop then break; end
		if folding.fold(mark):find("^[^%w\128-\223\225\226\238-\255]") then stop = at; break; end
	end
	return stop and part:sub(1, stop - 1);
end

-- The path behind a name, with its slash, as it is written.
local function path_at(text, behind)
	local first = text:match("^:?%d*()[/\\]", behind);
	return first and text:sub(first, first + LONGEST_PATH):match("^[^%s\"'<>?#]*") or "";
end

local function blanks(text) return (" "):rep(#text); end

local function may_be_name(run) return run:find("%.[^.]") or run:find("%%%x%x"); end

-- Calls call(part, position behind it) for each part of such letters in a run.
local function each_part(run, behind, letters, call)
	for part, stop in run:gmatch("(" .. letters .. "+)()") do
		if may_be_name(part) then call(part, behind - #run + stop - 1); end
	end
end

--- The names in a text: wherever there is a dot in a run of letters, and numbers where an address has its host.
-- @param text  as it was written
-- @param means { ascii = function(name) -> its xn-- form or nil, unicode = function(name) -> the other way round }
-- @return list of { host, ascii, found (this list), text, places (where a path may begin), paths (what was read there),
--         written (the name as it stands there), linked (does what stands before it make it a link?), parts (others that are
--         a part of this one), whole (another of which this is a part) }, each name once
function M.found(text, means)
	local found, known = {}, {};
	-- the dot at the end of a sentence makes no address, one in brackets may
	if not text:find("[/:%%\227\239]") and not text:find("%.[%w\128-\255)%]}-]") then return found; end
	text = folding.plain(text, folding.WITHOUT):gsub("[%[({]%.[%])}]", "."); -- as people write it so that it is no link
	local function add(name, behind, whole, linked)
		if #name > LONGEST_NAME then
			-- whatever it is, a name is at one of its ends or is a part of it
			add(name:sub(1, LONGEST_NAME), behind - #name + LONGEST_NAME, nil, linked);
			add(name:sub(-LONGEST_NAME), behind);
			return nil;
		end
		local address = known[name];
		if address == nil then
			local host = links.host_of(name):gsub("^[.-]+", "");
			local number = folding.fold(host);
			if links.is_number(number) then host = dotted(number); end
			address = host:find(".", 1, true) and {
				host = host; ascii = means.ascii(host) or host; found = found; text = text; places = {}; paths = {};
				written = name; parts = {}; whole = whole;
			} or false;
			known[name], found[#found + 1] = address, address or nil;
		end
		if not address then return whole; end
		address.linked = address.linked or linked;
		table.insert(address.places, behind);
		if not whole then
			address.whole = nil;
		elseif not whole.parts[address] then
			whole.parts[address] = true;
			table.insert(whole.parts, address);
		end
		return address;
	end
	links.with_scheme(text, function(address, web, at)
		local name = address:match("^[%w.%%\128-\255-]+");
		local high, low, close = address:match("^%[[0:]*:ffff:(%x%x?%x?%x?):(%x%x?%x?%x?)()%]");
		if high then
			add(("%d"):format(tonumber(high, 16) * 65536 + tonumber(low, 16)), at + close, nil, web); -- RFC 4291, 2.5.5.2
		elseif name and not name:find("%.[^.]") then
			add(name, at + #name, nil, web);
		end
	end);
	for first, run, behind in text:gmatch("()([%w.%%\128-\255-]+)()") do
		if may_be_name(run) then
			-- my_bad.example is another name than bad.example; all that matters of what stands before is that there is something
			if text:find("^%w_", math.max(1, first - 2)) then run = "x_" .. run; end
			local whole = add(run, behind, nil, text:sub(math.max(1, first - 8), first - 1):find("https?:[/\\]*$") ~= nil);
			if run:find("[\128-\255]") or run:find("..", 1, true) then
				-- words of another script, and marks, may stand beside it without a blank
				local apart = run:gsub("[\224\226-\244][\128-\191]+", blanks):gsub("%.%.+", blanks);
				each_part(apart, behind, "[%w_.%%\128-\255-]", function(part, stop)
					local within = part == run and whole or add(part, stop, whole);
					each_part(part, stop, "[%w_.%%-]", function(name, last)
						if name ~= part then add(name, last, within); end
					end);
				end);
			end
		end
	end
	return found;
end

-- Blocked addresses -------------------------------------------------------------------------------------------------------

--- Prepares a list: names, with all below them, and names with a path, with all below that. An entry is a key as it stands
-- unless its path wants reading: most do not, and a list of a hundred thousand must not keep the server from its work.
function M.blocklist(entries)
	local list = { names = {}; hosts = {}; pages = {}; longest = 0 };
	for _, entry in ipairs(entries) do
		local slash = entry:find("/", 1, true);
		if slash and (entry:find("[%%\\\128-\255]", slash) or entry:find("/[./]", slash)) then
			local parts = parts_of(entry:sub(slash));
			table.insert(parts, 1, entry:sub(1, slash - 1));
			entry = table.concat(parts, "/");
			slash = entry:find("/", 1, true);
		end
		if slash then
			list.hosts[entry:sub(1, slash - 1)], list.pages[entry] = true, true;
			list.longest = math.max(list.longest, #entry);
		else
			list.names[entry] = true;
		end
	end
	return list;
end

local function has_name(set, name)
	while name do
		if set[name] then return true; end
		name = name:match("^[^.]*%.(.*)$");
	end
	return false;
end

-- The parts of the path at one of the places, read once for all lists; false when there is too much to be read.
local function path_of(address, at)
	if address.paths[at] == nil then
		local path, all = path_at(address.text, address.places[at]), address.found;
		all.read = (all.read or 0) + #path;
		local parts = #path <= LONGEST_PATH and all.read <= MOST_OF_PATHS and parts_of(path);
		address.paths[at] = parts;
		if parts then
			parts.before = {};
			for place, part in ipairs(parts) do parts.before[place] = before_mark(part); end
		end
	end
	return address.paths[at];
end

-- A mark at its end may belong to the sentence.
local function is_page(list, page)
	return list.pages[page] or list.pages[page:match("^.*[^.,;:!)%]}*_]")];
end

local function has_page(list, host, address)
	for place = 1, #address.places do
		local parts, here = path_of(address, place), host;
		-- what is too long to be read counts as the page
		if not parts then return true; end
		for at, part in ipairs(parts) do
			if #here > list.longest then break; end
			local before = parts.before[at];
			if before and is_page(list, here .. "/" .. before) then return true; end
			here = here .. "/" .. part;
			if list.pages[here] or at == #parts and is_page(list, here) then return true; end
		end
	end
	return false;
end

--- Is one of these addresses blocked?
-- @param lists     what M.blocklist returned
-- @param addresses what M.found returned
function M.blocked(lists, addresses)
	for _, address in ipairs(addresses) do
		local folded = folding.fold(address.host);
		for _, host in ipairs({ address.ascii, folded ~= address.ascii and folded or nil }) do
			for _, list in ipairs(lists) do
				if has_name(list.names, host) or list.hosts[host] and has_page(list, host, address) then return true; end
			end
		end
	end
	return false;
end

-- Look-alikes ---------------------------------------------------------------------------------------------------------

-- A letter without its accent. What is in no table counts as one other letter.
local BASE = {};
for letter, composed in alike.composed:gmatch("(%l)" .. folding.ONE .. "(" .. folding.ONE .. ")%s") do BASE[composed] = letter; end

local function base(name)
	return (folding.fold(name):gsub(folding.ONE, BASE));
end

local function skeleton(of_base)
	return (of_base:gsub("rn", "m"):gsub("vv", "w"):gsub("0", "o"):gsub("[1i]", "l"));
end

local function letters_in(name)
	return select(2, name:gsub("[^\128-\191]", ""));
end

local function each_shorter(name, call)
	for at, behind in name:gmatch("()[^\128-\191][\128-\191]*()") do call(name:sub(1, at - 1) .. name:sub(behind)); end
end

local function first_letter(text)
	return text:match("^[^\128-\191][\128-\191]*") or "";
end

-- One letter more, less or other, or two beside each other exchanged.
local function is_near(one, other)
	local at = 1;
	while at <= #one and one:byte(at) == other:byte(at) do at = at + 1; end
	while at > 1 and (one:find("^[\128-\191]", at) or other:find("^[\128-\191]", at)) do at = at - 1; end
	local rest, others = one:sub(at), other:sub(at);
	local first, second = first_letter(rest), first_letter(others);
	local behind, behind_other = rest:sub(#first + 1), others:sub(#second + 1);
	if behind == behind_other or behind == others or rest == behind_other then return true; end
	return behind:sub(1, #second) == second and behind_other:sub(1, #first) == first
		and behind:sub(#second + 1) == behind_other:sub(#first + 1);
end

--- Prepares the names that others may imitate.
-- @param names list, in their xn-- form
function M.imitated(names, means)
	local made = { own = {}; hyphened = {}; skeletons = {}; near = {}; most_labels = 0; shortest = math.huge; longest = 0 };
	local function note(key, name)
		made.near[key] = made.near[key] or {};
		table.insert(made.near[key], name);
	end
	for _, name in ipairs(names) do
		made.own[name], made.hyphened[name:gsub("%.", "-")] = true, true;
		local shown = base(means.unicode(name) or name);
		made.skeletons[skeleton(shown)] = true;
		made.most_labels = math.max(made.most_labels, select(2, name:gsub("%.", "")) + 1);
		local letters = letters_in(shown);
		if letters >= SHORTEST then
			made.shortest, made.longest = math.min(made.shortest, letters), math.max(made.longest, letters);
			note(shown, shown);
			each_shorter(shown, function(shorter) note(shorter, shown); end);
		end
	end
	return made;
end

local function is_imitation(imitated, name)
	if imitated.skeletons[skeleton(name)] then return true; end
	local letters = letters_in(name);
	if letters < imitated.shortest - 1 or letters > imitated.longest + 1 then return false; end
	local near = false;
	local function look(key)
		for _, other in ipairs(imitated.near[key] or {}) do near = near or is_near(name, other); end
	end
	look(name);
	each_shorter(name, look);
	return near;
end

-- The name of another as the beginning or a part of one's own: partner.example.evil.test, partner-example.test
local function leans_on(imitated, host)
	local labels = {};
	for label in host:gmatch("[^.]+") do labels[#labels + 1] = label; end
	for first = 1, #labels do
		if imitated.hyphened[labels[first]] then return true; end
		local name = labels[first];
		for last = first + 1, math.min(#labels, first + imitated.most_labels - 1) do
			name = name .. "." .. labels[last];
			if imitated.own[name] then return true; end
		end
	end
	return false;
end

-- A name of one's own with words of another script or marks beside it, or a part of it.
local function is_around_own(imitated, address, shown)
	if address.whole and has_name(imitated.own, address.whole.ascii) then return true; end
	if not shown:find("[ \224\227-\244]") then return false; end
	for _, part in ipairs(address.parts) do
		if has_name(imitated.own, part.ascii) then return true; end
	end
	return false;
end

--- Does one of these addresses look like one of those that others may imitate, and is none of them?
function M.imitates(imitated, addresses, means)
	for _, address in ipairs(addresses) do
		if #address.ascii <= 253 and not has_name(imitated.own, address.ascii) then
			if leans_on(imitated, address.ascii) then return true; end
			local name = base(means.unicode(address.ascii) or address.host);
			if is_around_own(imitated, address, name) then name = nil; end
			while name do
				if is_imitation(imitated, name) then return true; end
				name = name:match("^[^.]*%.(.*%..*)$");
			end
		end
	end
	return false;
end

-- Links that lie ----------------------------------------------------------------------------------------------------------

local FILES = {};
for ending in ([[
	7z bmp bz2 c cfg conf csv doc docm docx eml exe gif gz html htm ico ics ini jpeg jpg js json log lua md mov mp3 mp4 msg odp ods odt ogg
	pdf php png ppt pptx ps1 py rar rtf sh sql svg tar tif tiff toml txt wav webm webp xls xlsm xlsx xml xz yaml yml zip
]]):gmatch("%S+") do FILES[ending] = true; end

-- Would a reader take this for an address? Not the end of one sentence and the beginning of the next.
local function is_shown(address)
	if address.linked or address.ascii:find("^www%.") then return true; end
	local path = path_at(address.text, address.places[1]) ~= "";
	if links.is_number(address.host) then return path and address.written:find("^%d+%.%d+%.%d+%.%d+$") ~= nil; end
	local ending = folding.fold(address.host):match("([^.]*)$");
	return ending:find("^%a[%w-]+$") ~= nil and (path or not FILES[ending]);
end

local function bare(host)
	return (host:gsub("^www%.", ""));
end

-- Is this address shown, it or a part of it, and is neither of them the target's?
local function shows_other(address, target)
	local is_other = is_shown(address);
	if target then
		local there, here = bare(target.ascii), bare(address.ascii);
		if links.is_below(there, here) or links.is_below(here, there) then return false, true; end
	end
	for _, part in ipairs(address.parts) do
		local other, same = shows_other(part, target);
		if same then return false, true; end
		is_other = is_other or other;
	end
	return is_other, false;
end

-- Where a link leads. @return the address, and whether it leads somewhere on the web, with a name or without
local function target_of(href, means)
	-- as browsers read it (WHATWG URL, 4.4)
	href = href:gsub("[\t\r\n]", ""):gsub("^%s*([/\\][/\\])", "https:%1");
	-- what stands before the last @ is a user of the host behind it (RFC 3986, 3.2)
	href = href:gsub("^(%s*[%w+.-]+:[/\\]*)[^/\\?#]*@", "%1");
	local web = href:lower():match("^%s*https?:[/\\]*[^/\\?#]*");
	return M.found(web or href, means)[1], web ~= nil;
end

--- Does the text of a link show another name than that to which it leads?
-- @param anchors list of { href, text }
function M.lies(anchors, means)
	for _, anchor in ipairs(anchors) do
		local target, is_web = target_of(anchor.href, means);
		for _, address in ipairs((target or is_web) and M.found(anchor.text, means) or {}) do
			-- a part is looked at with its whole
			if not address.whole and shows_other(address, target) then return true; end
		end
	end
	return false;
end

return M;

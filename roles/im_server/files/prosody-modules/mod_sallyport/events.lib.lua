-- SPDX-License-Identifier: GPL-3.0-or-later
-- The event file: one JSON object a line, appended with one write each. Pure, its means are handed in.

local M = {};

-- Seconds without news of room after which there is none: whoever says so does each few seconds, and at least each minute.
local STALE = 300;

local events = {};
events.__index = events;

--- @param path  the file
-- @param means { open = io.open, now = function() -> seconds, identity = function(path) -> text or nil,
--               encode = function(table) -> JSON, valid_utf8 = function(text) -> boolean, uuid = function() -> text,
--               room = function() -> when it was said last that there is room on the way to the log host, 0 for never;
--                      or nil: nothing is ever full }
function M.new(path, means)
	return setmetatable({ path = path; means = means; looked = 0; asked = -math.huge }, events);
end

-- A rotated file keeps its handle: look once a second whether the path still means the open file.
local function open(self)
	local now = self.means.now();
	if self.file and now - self.looked >= 1 then
		self.looked = now;
		if self.means.identity(self.path) ~= self.identity then self:close(); end
	end
	if not self.file then
		local file, err = self.means.open(self.path, "a");
		if not file then return nil, err; end
		file:setvbuf("no");
		self.file, self.identity, self.looked = file, self.means.identity(self.path), now;
	end
	return self.file;
end

--- @return true, or nil and why the file cannot be opened
function events:ready()
	local file, err = open(self);
	return file ~= nil, err;
end

--- Whether so much waits for the log host that the site wants nothing more to be sent (docs/logging.md).
function events:full()
	if not self.means.room then return false; end
	local now = self.means.now();
	if math.abs(now - self.asked) >= 1 then
		self.asked, self.is_full = now, math.abs(now - self.means.room()) > STALE;
	end
	return self.is_full;
end

function events:close()
	if self.file then self.file:close(); end
	self.file, self.identity = nil, nil;
end

-- The longest address is 3,071 bytes (RFC 7622, 3.1); ids and types have no bound and come from the client.
local LONGEST = 3071;

-- Cuts between characters, never within one.
local function shorten(text)
	local stop = LONGEST;
	while stop > 0 and text:find("^[\128-\191]", stop + 1) do stop = stop - 1; end
	return text:sub(1, stop) .. "…";
end

-- What people write has the bound of its stanza.
local WHOLE = { body = true; subject = true };

local function clean(value, valid_utf8, whole)
	if type(value) == "table" and #value > 0 then
		for index, item in ipairs(value) do value[index] = clean(item, valid_utf8); end
	end
	if type(value) ~= "string" then return value; end
	if not valid_utf8(value) then value = value:gsub("[\128-\255]", "?"); end
	return not whole and #value > LONGEST and shorten(value) or value;
end

--- RFC 3339, UTC, milliseconds.
function M.timestamp(seconds)
	local whole = math.floor(seconds);
	return os.date("!%Y-%m-%dT%H:%M:%S", whole) .. (".%03dZ"):format(math.floor((seconds - whole) * 1000));
end

--- Writes one event; v, id and time are filled in.
-- @return true, or nil and why it could not be written
function events:write(event)
	local line = { v = 2; id = self.means.uuid(); time = M.timestamp(self.means.now()) };
	for key, value in pairs(event) do line[key] = clean(value, self.means.valid_utf8, WHOLE[key]); end
	local file, err = open(self);
	if not file then return nil, err; end
	-- After a torn write (disk full) the next event starts on a line of its own.
	local ok, why = file:write((self.torn and "\n" or "") .. self.means.encode(line) .. "\n");
	if not ok then
		self.torn = true;
		self:close();
		return nil, why;
	end
	self.torn = nil;
	return true;
end

return M;

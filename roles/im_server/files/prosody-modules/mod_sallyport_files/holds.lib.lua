-- SPDX-License-Identifier: GPL-3.0-or-later
-- A legal hold keeps files past their retention: each gets a second name in a folder that nothing serves, and the first one
-- goes as ever. As long as nobody knows what is held, everything is. Pure.

local M = {};

local keeper = {};
keeper.__index = keeper;

local MOST_FAULT = 200; -- bytes of what is said about a bad file

-- Is it something that can be read? JSON's null is a table, too.
local function is_table(said, means)
	return type(said) == "table" and said ~= means.null;
end

-- @return address -> true of a list, or nil when it is none
local function addresses(list, means)
	if not is_table(list, means) then return nil; end
	local found = {};
	for key, address in pairs(list) do
		local prepared = type(key) == "number" and type(address) == "string" and means.prepare(address);
		if not prepared then return nil; end
		found[prepared] = true;
	end
	return found;
end

local function moment(text, means)
	if text == means.null then return true; end
	local seconds = type(text) == "string" and means.parse(text);
	return seconds and true or nil, seconds;
end

local function read_hold(said, means)
	if not is_table(said, means) then return nil; end
	local people, rooms = addresses(said.people, means), addresses(said.rooms, means);
	local has_over, over = moment(said["until"], means);
	if not (people and rooms and moment(said.from, means) and has_over and (next(people) or next(rooms))) then return nil; end
	return { people = people; rooms = rooms; over = over };
end

--- Reads what `sallyport-archive holds --for-servers` prints.
-- @param means { decode, null, parse = function(time) -> seconds, prepare = function(address) -> address }
-- @return a list of holds, or nil and what is wrong
function M.read(text, means)
	local said, why = means.decode(text);
	if said == nil then return nil, "not JSON: " .. tostring(why):sub(1, MOST_FAULT); end
	if not is_table(said, means) or said.format ~= 1 or not is_table(said.holds, means) then return nil, "not of format 1"; end
	local holds = {};
	for key, one in pairs(said.holds) do
		local hold = type(key) == "number" and read_hold(one, means);
		if not hold then return nil, ("hold %s is not as it should be"):format(key); end
		holds[#holds + 1] = hold;
	end
	return holds;
end

--- Is it held? What was shared before a hold's time may have been fetched or sent on within it, what was shared after it not.
-- @param holds as read() returns them; nil when nobody knows
-- @param known what is at hand of the file's record: time of the upload, parties (address -> true), unsure (of the parties)
function M.covers(holds, known)
	if not holds then return true; end
	for _, hold in ipairs(holds) do
		local time = known.time;
		local within = not time or not hold.over or time < hold.over;
		if within and known.unsure then return true; end
		for address in pairs(within and known.parties or {}) do
			if hold.people[address] or hold.rooms[address] then return true; end
		end
	end
	return false;
end

--- @param means { shelf; read = function() -> text, or nil and why; kept = slot -> true, of files that have their second name;
--                link = function(slot, known) -> true, or nil and why, or nil when there is no such file;
--                unlink = function(slot) -> true, or false and why; said = function(level, words); and what read() takes }
function M.keeper(means)
	return setmetatable({ means = means; kept = means.kept }, keeper);
end

--- Gives a file its second name, or takes it away.
function keeper:check(slot)
	-- whose it is without a record, nobody knows
	local known = self.means.shelf.index[slot] or self.kept[slot] and { parties = {}; unsure = true };
	if not known then return; end
	if not M.covers(self.holds, known) then
		if not self.kept[slot] then return; end
		local ok, why = self.means.unlink(slot);
		if not ok then return self.means.said("error", ("%s is not held any more and cannot be removed: %s"):format(slot, why)); end
		self.kept[slot] = nil;
		-- its own name went with its retention
		if known.state == "held" then self.means.shelf:put(slot, nil); end
	elseif not self.kept[slot] then
		local ok, why = self.means.link(slot, known);
		self.kept[slot] = ok or nil;
		if why then self.means.said("error", ("%s is held and cannot be kept: %s"):format(slot, why)); end
	end
end

--- Reads the holds again, and looks at all files.
function keeper:look()
	local text, why = self.means.read();
	if not text or text ~= self.text then
		self.holds = nil;
		if text then self.holds, why = M.read(text, self.means); end
		if why and why ~= self.why then
			self.means.said("error", ("Nobody knows what is held (%s): no shared file is removed until it is known"):format(why));
		elseif self.holds then
			self.means.said("info", ("%d holds are in force"):format(#self.holds));
		end
		self.text, self.why = text, why;
	end
	for slot in pairs(self.means.shelf.index) do self:check(slot); end
	for slot in pairs(self.kept) do self:check(slot); end
end

--- How many holds there are, nil when nobody knows; and of how many files the second name is kept.
function keeper:count()
	local files = 0;
	for _ in pairs(self.kept) do files = files + 1; end
	return self.holds and #self.holds, files;
end

return M;

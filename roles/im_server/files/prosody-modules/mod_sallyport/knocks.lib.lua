-- SPDX-License-Identifier: GPL-3.0-or-later
-- One event for each stream, until it becomes a flood: what repeats itself within a minute is counted and told in one
-- event at the end of that minute, so that knocking again and again fills no disk. Pure.

local M = {};

local knocks = {};
knocks.__index = knocks;

-- So many different events are told one by one in one go: of one address, and of all.
local OF_ONE, OF_ALL = 20, 600;

--- @param tell   function(event), writes one event
-- @param now    function() -> seconds
-- @param window seconds in which equal events are counted
function M.new(tell, now, window)
	return setmetatable({ tell = tell; now = now; window = window; begun = now(); places = {}; told = 0 }, knocks);
end

local function copy(event)
	local made = {};
	for key, value in pairs(event) do made[key] = value; end
	return made;
end

--- An event of a stream happened.
-- @param place its address, or the network that counts as one
function knocks:happened(place, event)
	self:pass();
	local seen = self.places[place];
	if not seen and self.told < OF_ALL then
		seen = { kinds = {}; count = 0 };
		self.places[place] = seen;
	end
	local kind = table.concat({ event.direction, event.type, event.rule, event.from or "", event.to or "" }, "\0");
	local same = seen and seen.kinds[kind];
	if same then
		same.count = same.count + 1;
	elseif seen and seen.count < OF_ONE and self.told < OF_ALL then
		self.told, seen.count = self.told + 1, seen.count + 1;
		seen.kinds[kind] = { event = copy(event); count = 0 };
		self.tell(event);
	else
		-- of too many different kinds: the last one stands for them all
		local others = seen or self;
		others.others = { event = copy(event); count = (others.others and others.others.count or 0) + 1 };
	end
end

local function sum(self, entry, reason)
	if not entry or entry.count == 0 then return; end
	local event = entry.event;
	event.count = entry.count;
	if reason then event.reason = reason .. ": " .. event.reason; end
	self.tell(event);
end

--- Tells what was counted, when the minute is over or `all` says so.
function knocks:pass(all)
	local now = self.now();
	if not all and now >= self.begun and now - self.begun < self.window then return; end
	local places = self.places;
	local others = self.others;
	self.begun, self.places, self.told, self.others = now, {}, 0, nil;
	for _, seen in pairs(places) do
		for _, same in pairs(seen.kinds) do sum(self, same); end
		sum(self, seen.others, "The last of many that differ");
	end
	sum(self, others, "The last of many from many addresses");
end

return M;

-- SPDX-License-Identifier: GPL-3.0-or-later
-- What is known of each stored file: that it was scanned, with which signatures, and who fetched it. A file without a
-- record is never served, so that a server that died in the middle shows nothing that was not looked at. Pure.

local M = {};

local shelf = {};
shelf.__index = shelf;

local MOST_READERS = 1000; -- of one file, each address and person once

-- What is at hand of a record without reading it. Its parties: who shared it, who fetched it, who sent its address to whom.
local function extract(record)
	local parties = {};
	if record.from then parties[record.from] = true; end
	for _, reader in ipairs(record.readers or {}) do
		if reader.person then parties[reader.person] = true; end
	end
	for address in pairs(record.sent or {}) do parties[address] = true; end
	return {
		state = record.state; set = record.set; over = record.over; faults = record.faults; time = record.time;
		parties = parties; unsure = record.more_readers ~= nil;
	};
end

--- @param store of Prosody: get(slot), set(slot, record or nil), users()
function M.new(store)
	local self = setmetatable({ store = store; index = {} }, shelf);
	for slot in store:users() do
		local record = store:get(slot);
		if record then self.index[slot] = extract(record); end
	end
	return self;
end

--- @return the record, or nil
function shelf:get(slot)
	return self.index[slot] and self.store:get(slot) or nil;
end

--- @return true, or nil and why it could not be kept
function shelf:put(slot, record)
	local ok, err = self.store:set(slot, record);
	if not ok then return ok, err; end
	self.index[slot] = record and extract(record);
	if self.changed then self.changed(slot); end
	return ok;
end

--- Notes that somebody fetches it; person is nil when nobody knows who it is.
function shelf:fetched(slot, record, address, person, time)
	record.readers = record.readers or {};
	for _, reader in ipairs(record.readers) do
		if reader.address == address and reader.person == person then
			reader.last, reader.times = time, reader.times + 1;
			return self:put(slot, record);
		end
	end
	if #record.readers >= MOST_READERS then
		record.more_readers = (record.more_readers or 0) + 1;
	else
		table.insert(record.readers, { address = address; person = person; first = time; last = time; times = 1 });
	end
	return self:put(slot, record);
end

--- Notes that its address is in a message.
-- @param addresses of the sender, and of the reader or room
function shelf:sent(slot, addresses)
	local known, new = self.index[slot], false;
	for _, address in pairs(known and addresses or {}) do new = new or not known.parties[address]; end
	local record = new and self.store:get(slot);
	if not record then return true; end
	record.sent = record.sent or {};
	for _, address in pairs(addresses) do record.sent[address] = true; end
	return self:put(slot, record);
end

--- Is it to be scanned with this set of signatures?
function shelf:is_due(slot, set)
	local known = self.index[slot];
	return not known or known.state ~= "quarantined" and known.state ~= "held" and known.set ~= set;
end

--- How often in a row could it not be scanned again?
function shelf:faults(slot)
	return self.index[slot] and self.index[slot].faults or 0;
end

--- @param set the signatures that the scanner has, nil when nobody knows
-- @return how many are scanned with them, wait to be, are quarantined, and are withheld since they cannot be scanned
function shelf:count(set)
	local scanned, pending, quarantined, withheld = 0, 0, 0, 0;
	for _, known in pairs(self.index) do
		if known.state == "quarantined" then quarantined = quarantined + 1;
		elseif known.state == "withheld" then withheld = withheld + 1;
		elseif set and known.set == set then scanned = scanned + 1;
		elseif known.state ~= "held" then pending = pending + 1; end -- of what is only held nothing is served
	end
	return scanned, pending, quarantined, withheld;
end

return M;

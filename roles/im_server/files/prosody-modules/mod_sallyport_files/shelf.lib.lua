-- SPDX-License-Identifier: GPL-3.0-or-later
-- What is known of each stored file: that it was scanned, with which signatures, and who fetched it. A file without a
-- record is never served, so that a server that died in the middle shows nothing that was not looked at. Pure.

local M = {};

local shelf = {};
shelf.__index = shelf;

local MOST_READERS = 1000; -- of one file, each address and person once
local MOST_SENT = 1000; -- of one file, who sent its address to whom
local MOST_AT_ONCE = 20; -- files of one message
local MOST_EARLY = 10000; -- addresses that were sent before there is a file
local EARLY = 6 * 3600; -- seconds for which they are known at least

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
		parties = parties; unsure = record.more_readers ~= nil or record.more_sent ~= nil; full = record.more_sent;
	};
end

-- Adds to those who sent its address to whom; of too many nobody knows who they are.
local function add_sent(record, addresses, more)
	local count = 0;
	record.sent, record.more_sent = record.sent or {}, record.more_sent or more;
	for _ in pairs(record.sent) do count = count + 1; end
	for _, address in pairs(addresses) do
		if not record.sent[address] then
			if count >= MOST_SENT then record.more_sent = true; return; end
			record.sent[address], count = true, count + 1;
		end
	end
end

--- @param store of Prosody: get(slot), set(slot, record or nil), users()
-- @param now function() -> seconds
function M.new(store, now)
	local self = setmetatable({ store = store; index = {}; now = now; early = {}; earlier = {}; early_count = 0; since = now() }, shelf);
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

-- Notes that an address is sent of which there is no file yet.
function shelf:sent_early(slot, addresses)
	local now = self.now();
	if now - self.since >= EARLY then
		self.earlier, self.early, self.early_count, self.since = self.early, {}, 0, now;
	end
	if not self.early[slot] then
		if self.early_count >= MOST_EARLY then self.overfull = now; return; end
		self.early[slot], self.early_count = {}, self.early_count + 1;
	end
	add_sent(self.early[slot], addresses);
end

-- What was sent before there was a record.
local function add_early(self, slot, record)
	for _, early in ipairs({ self.early[slot] or {}, self.earlier[slot] or {} }) do
		local addresses = {};
		for address in pairs(early.sent or {}) do addresses[#addresses + 1] = address; end
		if #addresses > 0 then add_sent(record, addresses, early.more_sent); end
	end
	if self.overfull and self.now() - self.overfull < EARLY then record.more_sent = true; end
end

--- @return true, or nil and why it could not be kept
function shelf:put(slot, record)
	if record and not self.index[slot] then add_early(self, slot, record); end
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
-- @return true when it was written, false when there was nothing to write, or nil and why it could not be
function shelf:sent(slot, addresses)
	local known, new = self.index[slot], false;
	if not known then self:sent_early(slot, addresses); end
	if not known or known.full then return false; end
	for _, address in pairs(addresses) do new = new or not known.parties[address]; end
	local record = new and self.store:get(slot);
	if not record then return false; end
	add_sent(record, addresses);
	return self:put(slot, record);
end

--- Notes which addresses are in one message: so many that are news, since each is written.
-- @param slots iterator
-- @param failed function(slot, why) for what could not be kept
function shelf:all_sent(slots, addresses, failed)
	local written = 0;
	for slot in slots do
		local ok, why = self:sent(slot, addresses);
		if ok == nil then failed(slot, why); end
		if ok ~= false then written = written + 1; end
		if written >= MOST_AT_ONCE then return; end
	end
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

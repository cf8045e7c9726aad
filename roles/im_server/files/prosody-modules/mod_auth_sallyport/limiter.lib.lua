-- SPDX-License-Identifier: GPL-3.0-or-later
-- Counts wrong passwords: for an account from one address, and for one address over all accounts. Pure.
-- Somebody else's guessing never locks a person out at another address. A host may take any address of its IPv6
-- network, so a network of 64 bits counts as one address (RFC 4291, 2.5.4).

local M = {};

local limiter = {};
limiter.__index = limiter;

--- @param settings { attempts, address_attempts, seconds }
-- @param new_cache function(size) -> object with get(key) and set(key, value) that forgets the least used: bounded memory
-- @param now       function() -> seconds
function M.new(settings, new_cache, now)
	return setmetatable({
		settings = settings; now = now;
		pairs = new_cache(10000); addresses = new_cache(10000);
	}, limiter);
end

local WHOLE = { ["::1"] = true; ["::"] = true };

--- The network of an IPv6 address as "a:b:c:d::/64"; any other address as it is.
function M.place(address)
	if not address:find(":", 1, true) or WHOLE[address] or address:find(".", 1, true) then return address; end
	local head, tail = address:lower():gsub("%%.*", ""), "";
	local gap = head:find("::", 1, true);
	if gap then head, tail = head:sub(1, gap - 1), head:sub(gap + 2); end
	local groups, after = {}, {};
	for group in head:gmatch("[^:]+") do groups[#groups + 1] = group; end
	for group in tail:gmatch("[^:]+") do after[#after + 1] = group; end
	for _ = 1, gap and 8 - #groups - #after or 0 do groups[#groups + 1] = "0"; end
	for _, group in ipairs(after) do groups[#groups + 1] = group; end
	for index, group in ipairs(groups) do groups[index] = group:gsub("^0+(%x)", "%1"); end
	return table.concat(groups, ":", 1, math.min(4, #groups)) .. "::/64";
end

limiter.place = M.place; -- for others who count by address

local function key(name, address)
	return address .. " " .. name;
end

-- A count that is older than the lockout is forgotten.
local function live(cache, which, now, seconds)
	local entry = cache:get(which);
	if not entry then return nil; end
	if now - (entry.locked or entry.last) >= seconds then
		cache:set(which, nil);
		return nil;
	end
	return entry;
end

--- Is signing in to this account from this address refused now?
function limiter:locked(name, address)
	address = M.place(address);
	local now, seconds = self.now(), self.settings.seconds;
	local pair = live(self.pairs, key(name, address), now, seconds);
	if pair and pair.locked then return true; end
	local all = live(self.addresses, address, now, seconds);
	return all ~= nil and all.locked ~= nil;
end

local function count(self, cache, which, limit)
	local now = self.now();
	local entry = live(cache, which, now, self.settings.seconds) or { count = 0 };
	entry.count, entry.last = entry.count + 1, now;
	local begins = entry.count >= limit and not entry.locked;
	-- The lockout runs from the deciding attempt; later attempts do not prolong it.
	if begins then entry.locked = now; end
	cache:set(which, entry);
	return begins;
end

--- A wrong password. @return "account" or "address" when a lockout begins with it, else nil
function limiter:failed(name, address)
	address = M.place(address);
	local by_account = count(self, self.pairs, key(name, address), self.settings.attempts);
	local by_address = count(self, self.addresses, address, self.settings.address_attempts);
	return by_account and "account" or by_address and "address" or nil;
end

--- A right password clears the account's own count; the address's stays, else one valid account would shield guessing.
function limiter:succeeded(name, address)
	self.pairs:set(key(name, M.place(address)), nil);
end

return M;

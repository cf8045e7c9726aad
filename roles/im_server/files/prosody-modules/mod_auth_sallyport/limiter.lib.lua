-- SPDX-License-Identifier: GPL-3.0-or-later
-- Counts wrong passwords: for an account from one address, and for one address over all accounts. Pure.
-- Somebody else's guessing never locks a person out at another address.

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
	local by_account = count(self, self.pairs, key(name, address), self.settings.attempts);
	local by_address = count(self, self.addresses, address, self.settings.address_attempts);
	return by_account and "account" or by_address and "address" or nil;
end

--- A right password clears the account's own count; the address's stays, else one valid account would shield guessing.
function limiter:succeeded(name, address)
	self.pairs:set(key(name, address), nil);
end

return M;

-- SPDX-License-Identifier: GPL-3.0-or-later
-- How much somebody who is not ours may send: a bucket of tokens for each sender, and one for each domain. Pure.
-- What a sender's own bucket refuses takes nothing from the domain's, and strangers have a domain's bucket of their own:
-- neither a flood by one sender nor one by many strangers silences the contacts of the same domain.

local M = {};

local rates = {};
rates.__index = rates;

-- A domain may send so many times what one sender may.
local DOMAIN = 10;

--- @param new_cache function(size) -> object with get(key) and set(key, value) that forgets the least used: bounded memory
-- @param now       function() -> seconds
function M.new(new_cache, now)
	return setmetatable({ senders = new_cache(10000); domains = new_cache(1000); answers = new_cache(10000); now = now }, rates);
end

--- Takes one token out of a bucket. @return whether there was one
local function take(cache, key, now, burst, per_second)
	local bucket = cache:get(key) or { tokens = burst; filled = now };
	local elapsed = math.max(0, now - bucket.filled);
	bucket.tokens, bucket.filled = math.min(burst, bucket.tokens + elapsed * per_second), now;
	local enough = bucket.tokens >= 1;
	if enough then bucket.tokens = bucket.tokens - 1; end
	cache:set(key, bucket);
	return enough;
end

--- May this sender send one more now?
-- @param sender  bare address
-- @param domain  its domain
-- @param known   whether the sender is a contact
-- @param allowed { messages_per_minute, burst }, see the policy
function rates:may_send(sender, domain, known, allowed)
	local now, burst, per_second = self.now(), allowed.burst, allowed.messages_per_minute / 60;
	return take(self.senders, sender, now, burst, per_second)
		and take(self.domains, (known and "contacts " or "strangers ") .. domain, now, DOMAIN * burst, DOMAIN * per_second);
end

--- May a refusal for too much be answered now? At most one answer a second for each sender.
function rates:may_answer(sender)
	local now, last = self.now(), self.answers:get(sender);
	if last and now >= last and now - last < 1 then return false; end
	self.answers:set(sender, now);
	return true;
end

M.take = take;

return M;

-- SPDX-License-Identifier: GPL-3.0-or-later
-- One event for each refused stanza from outside, until a domain sends a flood of them: then equal ones are counted, and told
-- in one event at the end of the minute, so that no partner fills the disk. None is lost: the counts add up. Pure.

local M = {};

local floods = {};
floods.__index = floods;

-- Of one domain in one go: so many are told one by one; and so many senders are counted each for itself.
local ONE_BY_ONE, SENDERS = 600, 100;

--- @param tell   function(event), writes one event
-- @param now    function() -> seconds
-- @param window seconds in which they are counted
function M.new(tell, now, window)
	return setmetatable({ tell = tell; now = now; window = window; begun = now(); domains = {} }, floods);
end

--- Something of this domain was refused.
function floods:refused(domain, event)
	self:pass();
	local seen = self.domains[domain] or { told = 0; senders = 0; sums = {} };
	self.domains[domain] = seen;
	if seen.told < ONE_BY_ONE then
		seen.told = seen.told + 1;
		self.tell(event);
		return;
	end
	local kind = event.kind .. "\0" .. event.rule;
	local key = kind .. "\0" .. (event.from or ""):gsub("/.*", "");
	if not seen.sums[key] and seen.senders >= SENDERS then
		key = kind; -- the last one stands for them all
	elseif not seen.sums[key] then
		seen.senders = seen.senders + 1;
	end
	local sum = seen.sums[key] or { count = 0; many = key == kind };
	sum.event, sum.count = event, sum.count + 1;
	seen.sums[key] = sum;
end

--- Tells what was counted, when the minute is over or `all` says so.
function floods:pass(all)
	local now = self.now();
	if not all and now >= self.begun and now - self.begun < self.window then return; end
	local domains = self.domains;
	self.begun, self.domains = now, {};
	for _, seen in pairs(domains) do
		for _, sum in pairs(seen.sums) do
			local event = sum.event;
			event.count = sum.count;
			event.reason = (sum.many and "The last of many from many addresses: " or "The last of many: ") .. event.reason;
			self.tell(event);
		end
	end
end

return M;

-- SPDX-License-Identifier: GPL-3.0-or-later
-- So many scans at a time, the others wait their turn. What still arrives is scanned along, as long as nobody who is
-- complete needs the place: a slow sender holds up nobody. Pure.

local M = {};

local queue = {};
queue.__index = queue;

--- @param settings { most, waiting, seconds }: scans at a time, and who waits at most; seconds for a scan, and for the wait
-- @param means    { scan = function(job, seconds, done) -> cancel, go_on (see clamd.lib.lua),
--                 timer = function(seconds, callback) -> function that stops it }
function M.new(settings, means)
	return setmetatable({ settings = settings; means = means; running = {}; count = 0; waiting = {} }, queue);
end

local function leave(self, job)
	if not self.running[job] then return; end
	self.running[job], self.count = nil, self.count - 1;
end

local function next_one(self)
	while self.count < self.settings.most and #self.waiting > 0 do
		local job = table.remove(self.waiting, 1);
		job.stop_waiting();
		job.stop_waiting = nil;
		self:begin(job);
	end
end

function queue:begin(job)
	self.running[job], self.count = true, self.count + 1;
	job.cancel, job.go_on = nil, nil;
	local at_once = false;
	local cancel, go_on = self.means.scan(job, not job.growing and self.settings.seconds or nil, function(...)
		at_once = true;
		leave(self, job);
		job.cancel, job.go_on = nil, nil;
		-- what comes of a file that has not arrived whole counts for nothing: it is scanned anew then
		if not job.growing then job.done(...); end
		next_one(self);
	end);
	if not at_once then job.cancel, job.go_on = cancel, go_on; end
end

--- Something begins to arrive: it is scanned along, when there is room.
function queue:offer(job)
	job.growing = true;
	if self.count < self.settings.most then self:begin(job); end
end

--- More of it is there.
function queue.grown(_, job)
	if job.go_on then job.go_on(); end
end

--- It is there whole; job.done gets what the scanner says, see clamd.lib.lua.
function queue:submit(job)
	job.growing = false;
	if self.running[job] then return job.go_on(self.settings.seconds); end
	if self.count >= self.settings.most then
		for other in pairs(self.running) do
			if other.growing then
				other.cancel();
				leave(self, other);
				other.cancel, other.go_on = nil, nil;
				break;
			end
		end
	end
	if self.count < self.settings.most then return self:begin(job); end
	if #self.waiting >= self.settings.waiting then return job.done(nil, "too many files wait for the scanner"); end
	self.waiting[#self.waiting + 1] = job;
	job.stop_waiting = self.means.timer(self.settings.seconds, function()
		self:drop(job);
		job.done(nil, "too many files wait for the scanner", true);
	end);
end

--- It is not wanted any more; job.done is not called.
function queue:drop(job)
	for index, other in ipairs(self.waiting) do
		if other == job then table.remove(self.waiting, index); break; end
	end
	if job.stop_waiting then job.stop_waiting(); job.stop_waiting = nil; end
	if self.running[job] then
		local cancel = job.cancel;
		leave(self, job);
		job.cancel, job.go_on = nil, nil;
		if cancel then cancel(); end
		next_one(self);
	end
end

return M;

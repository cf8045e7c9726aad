-- SPDX-License-Identifier: GPL-3.0-or-later
-- Notices that the signatures changed, and tells when the scanner surely has loaded them. It only looks on: who makes the
-- scanner load them is the watch of the role antivirus, which knows what must not be missing. Pure.

local M = {};

-- freshclam keeps its own notes beside the sets, and downloads in folders; hidden names are no sets either.
local function is_set(name)
	return name:find("^[^.].*%.%w+$") ~= nil and not name:find("%.dat$");
end

--- The sets that lie in the directory.
-- @param list function() -> iterator of names
-- @param look function(name) -> { size, modification } of a file, nil of anything else
-- @return a text that is another one when anything changed, { files, bytes, newest }
function M.read(list, look)
	local lines, found = {}, { files = 0; bytes = 0; newest = nil };
	for name in list() do
		local seen = is_set(name) and look(name);
		if seen then
			lines[#lines + 1] = ("%s:%d:%d"):format(name, seen.size, seen.modification);
			found.files, found.bytes = found.files + 1, found.bytes + seen.size;
			if not found.newest or seen.modification > found.newest then found.newest = seen.modification; end
		end
	end
	table.sort(lines);
	return table.concat(lines, "\n"), found;
end

--- Seconds in which the scanner has surely loaded them: it reads ten times as fast.
function M.patience(bytes)
	return math.floor(bytes / 1048576);
end

--- The version in the head of a set of ClamAV's own (daily.cvd, daily.cld).
function M.version(head)
	return head and head:match("^ClamAV%-VDB:[^:]*:(%d+):");
end

--- The version that the scanner says it has loaded, nil when it has none of ClamAV's own.
function M.loaded(answer)
	return answer:match("^ClamAV [^/]+/(%d+)/");
end

local watch = {};
watch.__index = watch;

--- @param kept the set that surely was loaded when the server ended, or nil
-- @param wait seconds after a change within which the scanner has surely begun to load it
function M.watch(kept, wait)
	return setmetatable({ loaded = kept; wait = wait; seen = nil; since = nil; sure = false }, watch);
end

--- A look at the directory. Whatever changed, also when it is as before again, or when something is missing, has to rest.
-- @return whether the scanner should have them by now, and nobody has asked it yet
function watch:look(set, now, bytes)
	if set ~= self.seen then
		self.sure = self.seen == nil and set == self.loaded;
		self.seen, self.since = set, now;
		return false;
	end
	if self.sure then return false; end
	self.since = math.min(self.since, now); -- the clock was set back
	return now >= self.since + self.wait + M.patience(bytes);
end

--- It has them.
function watch:has() self.loaded, self.sure = self.seen, true; end

--- What a file is marked with that is scanned now.
-- @param set what lies in the directory now
-- @return the set; "" when nobody can say with which signatures it is scanned: then it is scanned again
function watch:mark(set) return self.sure and set == self.loaded and set or ""; end

return M;

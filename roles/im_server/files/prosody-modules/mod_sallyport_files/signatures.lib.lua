-- SPDX-License-Identifier: GPL-3.0-or-later
-- Notices that the signatures changed, and makes sure that the scanner has loaded them. Pure.

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

--- Seconds after which the scanner has surely loaded them: it reads ten times as fast.
function M.patience(bytes)
	return 10 + math.floor(bytes / 1048576);
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

--- @param kept what `kept` returned before the restart, or nil
function M.watch(kept)
	return setmetatable({ loaded = kept; seen = nil; asked = nil }, watch);
end

--- A look at the directory. What still changes is left alone until the next look.
-- @return "reload" when the scanner has to load them now, "check" when it should have, else nil
function watch:look(set, now, bytes)
	if set ~= self.seen then
		self.seen, self.asked = set, nil;
		return nil;
	end
	if set == self.loaded then return nil; end
	if not self.asked then return "reload"; end
	return now >= self.asked + M.patience(bytes) and "check" or nil;
end

--- The scanner was told at this time.
function watch:told(now) self.asked = now; end

--- It has them.
function watch:has() self.loaded, self.asked = self.seen, nil; end

return M;

-- SPDX-License-Identifier: GPL-3.0-or-later
-- What is waiting for an answer across the border, in both directions: only an answer to it passes, and only once. Pure.

local M = {};

local questions = {};
questions.__index = questions;

-- Seconds that an answer may take. A message may come back late: it may have waited for its reader's device.
local PATIENCE = { iq = 300; message = 3600 };

--- @param new_cache function(size) -> object with get(key) and set(key, value) that forgets the least used: bounded memory
-- @param now       function() -> seconds
function M.new(new_cache, now)
	return setmetatable({ open = new_cache(20000); now = now }, questions);
end

-- An answer to a question comes from the very address that was asked, to the session that asked; an error for a message
-- may come from any device of its reader, to any of the writer.
local function key(kind, from, to, id)
	if not (PATIENCE[kind] and from and to and id) then return nil; end
	if kind == "message" then from, to = from:gsub("/.*", ""), to:gsub("/.*", ""); end
	return table.concat({ kind, from, to, id }, "\0");
end

--- Notes a question or message on its way.
function questions:ask(kind, from, to, id)
	local which = key(kind, from, to, id);
	if which then self.open:set(which, self.now()); end
end

--- Does this answer belong to an open question? It is closed by that.
function questions:take(kind, from, to, id)
	local which = key(kind, to, from, id);
	local asked = which and self.open:get(which);
	if not asked then return false; end
	self.open:set(which, nil);
	local elapsed = self.now() - asked;
	return elapsed >= 0 and elapsed <= PATIENCE[kind];
end

return M;

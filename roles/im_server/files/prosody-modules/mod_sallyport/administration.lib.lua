-- SPDX-License-Identifier: GPL-3.0-or-later
-- Events of accounts: who signed in and from where, and what was done to an account, by an administrator, an invitation or its owner.

local M = {};

local core;
local by_the_clock = false;

-- @return true, or nil when it could not be written
local function record(name, what, rule, address)
	return core.record({
		kind = "account"; type = what; from = name .. "@" .. module.host; verdict = "allowed"; rule = rule; reason = ""; address = address;
	});
end

-- Prosody's events of accounts, and what the event file calls them. The making of one has no event: the provider tells it.
local EVENTS = {
	["user-deleted"] = "deleted"; ["user-enabled"] = "enabled"; ["user-disabled"] = "disabled"; ["user-password-changed"] = "password";
	["user-role-changed"] = "role";
};

--- Does something to accounts that has events of its own.
function M.quietly(work)
	by_the_clock = true;
	local ok, err = pcall(work);
	by_the_clock = false;
	if not ok then error(err, 0); end
end

--- @param shared the core of the decision point
function M.start(shared)
	core = shared;
	for event, what in pairs(EVENTS) do
		module:hook_global(event, function(account)
			if account.host == module.host and not by_the_clock then record(account.username, what, what); end
		end);
	end
	module:hook("authentication-success", function(event)
		local session = event.session;
		-- who is not recorded gets no address, and so reaches nobody
		session.sallyport_unrecorded = not record(session.username, "sign-in", "signed-in", session.ip);
	end);
	core.account_made = function(name) record(name, "created", "created"); end;
end

return M;

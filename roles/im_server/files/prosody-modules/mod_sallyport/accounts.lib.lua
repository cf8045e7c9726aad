-- SPDX-License-Identifier: GPL-3.0-or-later
-- Accounts follow the time of their people by themselves: closed when it is over, opened when it begins.
-- They are left just as the kit's module xmpp_accounts leaves them, so that the next run finds nothing to change:
-- an account that is closed on purpose carries a note; one without keys waits for its invitation, without a note.

local map_store = require "prosody.core.storagemanager".open;
local usermanager = require "prosody.core.usermanager";

local NOTE = "sallyport";

local M = {};

local core;
local accounts = module:open_store("accounts");

local function void_invitations(name)
	local tokens = map_store(module.host, "invite_token", "map");
	for token, invite in pairs(module:open_store("invite_token"):get(nil) or {}) do
		local whom = invite.additional_data and invite.additional_data.allow_reset;
		if whom == name then assert(tokens:set(nil, token, nil)); end
	end
end

local function record(name, what, verdict, reason)
	core.record({
		kind = "account"; type = what; from = name .. "@" .. module.host; verdict = verdict; rule = what; reason = reason;
	});
end

local function close(name, account)
	if account.disabled and (account.disabled_meta or account.stored_key) then return; end
	assert(usermanager.disable_user(name, module.host, { reason = NOTE; when = os.time() }));
	void_invitations(name);
	record(name, "closed", "refused", "This person's time is over or has not come");
end

local function open(name, account)
	local note = account.disabled and account.disabled_meta;
	if not note or note.reason ~= NOTE then return; end
	if account.stored_key then
		assert(usermanager.enable_user(name, module.host));
		record(name, "opened", "allowed", "");
	else
		assert(usermanager.disable_user(name, module.host));
	end
end

--- Brings the accounts of all people whose time has a beginning or an end in line with the clock.
function M.follow()
	local policy, now = core.policy, core.now();
	for name, person in pairs(policy and policy.people or {}) do
		if person.from or person.over then
			local account, fault = accounts:get(name);
			local follow = policy:valid(name, now) and open or close;
			local ok, err = account ~= nil, fault;
			if account then ok, err = pcall(core.quietly, function() follow(name, account); end); end
			if not ok and err then module:log("error", "The account of %s could not follow the time: %s", name, err); end
		end
	end
end

--- @param shared the core of the decision point
function M.start(shared)
	core = shared;
end

return M;

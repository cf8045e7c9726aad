-- SPDX-License-Identifier: GPL-3.0-or-later
-- Tells each person once that the service is monitored, and again when the words of it change.

local sha256 = require "prosody.util.hashes".sha256;
local st = require "prosody.util.stanza";

local M = {};

local told = module:open_store("sallyport_notice");

--- @param core the core of the decision point
-- @param own  weak table of the stanzas that this module sends itself
function M.start(core, own)
	local function tell(name)
		local text = core.policy and core.policy.notice or "";
		if text == "" or not core.policy:valid(name, core.now()) then return; end
		local digest = sha256(text, true);
		local known = told:get(name);
		if known and known.digest == digest then return; end
		local message = st.message({ type = "normal"; from = module.host; to = name .. "@" .. module.host }, text);
		own[message] = true;
		module:send(message);
		-- in this order: rather told twice than never
		local ok, err = told:set(name, { digest = digest; at = core.now() });
		if not ok then module:log("error", "Cannot note that %s was told of the monitoring: %s", name, err); end
	end
	-- after what this event still does: the device is there then
	module:hook("presence/initial", function(event)
		local name = event.origin.username;
		module:add_timer(0, function() tell(name); end);
	end);
end

return M;

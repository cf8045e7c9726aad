-- SPDX-License-Identifier: GPL-3.0-or-later
-- The decision point on a component (rooms, files). People's stanzas were judged on their own host; here
-- everything that comes from another domain ends, and the rooms of the policy are kept.

local st = require "prosody.util.stanza";
local facts = module:require "facts";
local verdicts = module:require "verdict";

local core = module:shared("/*/sallyport/core");

local function inbound(event)
	local stanza = event.stanza;
	local verdict, seen;
	if core.active then
		seen = facts.read(stanza, core.places());
		if core.policy and seen.source ~= "foreign" then return nil; end
		verdict = verdicts.refuse(core.policy and "foreign-domain" or "no-policy");
		core.record(facts.event(stanza, seen, verdict, core.places()));
	else
		verdict = verdicts.refuse("no-policy");
		module:log("error", "Refused a stanza: the decision point is not loaded on the host of the people");
	end
	local kind = stanza.attr.type;
	if kind ~= "error" and not (stanza.name == "iq" and kind == "result") and event.origin.send then
		event.origin.send(st.error_reply(stanza, verdict.error_type, verdict.condition, verdict.reason, module.host));
	end
	return true;
end

for _, stanza in ipairs({ "message", "presence", "iq" }) do
	for _, target in ipairs({ "bare", "full", "host" }) do
		module:hook(stanza .. "/" .. target, inbound, 1000);
	end
end

if module:get_option_string("component_module") == "muc" then
	module:require("rooms").start(core);
end

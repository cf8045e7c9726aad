-- SPDX-License-Identifier: GPL-3.0-or-later
-- The decision point of a Sallyport server: a verdict for each stanza, one event for each verdict.
-- On the host of the people it holds the policy; on the components (rooms, files) it asks that host; prosodyctl loads it for
-- a command. docs/decision-point.md describes rules, errors, events and limits.

if module.host == "*" then
	module:require("dry_run");
elseif module:get_host_type() == "local" then
	module:require("people_host");
else
	module:require("service_host");
end

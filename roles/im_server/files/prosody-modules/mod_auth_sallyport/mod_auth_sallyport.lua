-- SPDX-License-Identifier: GPL-3.0-or-later
-- Accounts as mod_auth_internal_hashed keeps them, behind one more door: nobody signs in unless the decision
-- point is loaded and has a policy, nobody outside of the policy signs in, and guessing passwords is stopped.
-- The wrapped provider does all the work; this module only adds the door around the sign-in itself.

local cache = require "prosody.util.cache".new;
local json = require "prosody.util.json";
local now = require "prosody.util.time".now;
local st = require "prosody.util.stanza";

local limiter = module:require "limiter";

local attempts = module:get_option_integer("sallyport_sign_in_attempts", 10, 1);
local limits = limiter.new({
	attempts = attempts;
	address_attempts = module:get_option_integer("sallyport_sign_in_address_attempts", 5 * attempts, 1);
	seconds = module:get_option_period("sallyport_sign_in_lockout", 900);
}, cache, now);

local core = module:shared("/*/sallyport/core");

module:depends("auth_internal_hashed");
local accounts;
for _, item in ipairs(module:get_host_items("auth-provider")) do
	if item.name == "internal_hashed" then accounts = item; end
end
assert(accounts, "mod_auth_internal_hashed does not offer its accounts; this Prosody is not the one that was tested");

local function ready()
	return core.active and core.host == module.host and core.policy ~= nil
		and prosody.hosts[module.host].modules.sallyport ~= nil;
end

local function record(session, name, rule, reason)
	if not core.active then return; end
	core.record({
		kind = "account"; type = "sign-in"; from = name and name .. "@" .. module.host or json.null;
		address = session.ip or "unknown"; verdict = "refused"; rule = rule; reason = reason;
	});
end

-- @return nil when the door is open, else condition (RFC 6120, 6.5), rule, reason
local function closed(name, address)
	if not ready() then return "temporary-auth-failure", "no-policy", "The server's message policy is not loaded"; end
	if limits:locked(name, address) then
		return "temporary-auth-failure", "locked-out", "Too many wrong passwords; try again later";
	end
	if not core.policy:valid(name, core.today()) then
		return "not-authorized", "sender", "Not among the people of this site today";
	end
	return nil;
end

-- The door stands around each step of the exchange, so that it holds for all mechanisms, and so that many
-- exchanges that were begun before a lockout cannot be finished during it.
local function guard(handler, session)
	local address = session and session.ip or "unknown";
	local process, clean_clone = handler.process, handler.clean_clone;

	local function refused(name)
		local condition, rule, reason = closed(name, address);
		if not condition then return nil; end
		record(session or {}, name, rule, reason);
		-- Whether an address belongs to the site is not told to somebody who has not signed in.
		return "failure", condition, rule ~= "sender" and reason or nil;
	end

	function handler:process(message)
		local before = self.username;
		if before then
			local status, condition, text = refused(before);
			if status then return status, condition, text; end
		end
		local status, condition, text = process(self, message);
		local name = self.username;
		if not name then return status, condition, text; end
		if not before then
			local late, late_condition, late_text = refused(name);
			if late then
				-- Guessing names counts like guessing passwords.
				if late_condition == "not-authorized" then limits:failed(name, address); end
				return late, late_condition, late_text;
			end
		end
		if status == "success" then
			limits:succeeded(name, address);
		elseif status == "failure" and (condition == "not-authorized" or condition == "account-disabled") then
			-- An account that is closed, or waits for its invitation, looks like one that does not exist.
			local disabled = condition == "account-disabled";
			condition, text = "not-authorized", nil;
			record(session or {}, name, disabled and "disabled" or "wrong-password",
				disabled and "The account is not open" or "The password was not right");
			local locked = limits:failed(name, address);
			if locked then
				record(session or {}, name, "lockout", locked == "account" and "Too many wrong passwords for this account from this address"
					or "Too many wrong passwords from this address");
			end
		end
		return status, condition, text;
	end

	function handler:clean_clone()
		return guard(clean_clone(self), session);
	end

	return handler;
end

local provider = {};
for name, method in pairs(accounts) do
	if type(method) == "function" then provider[name] = method; end
end

function provider.get_sasl_handler(session)
	return guard(accounts.get_sasl_handler(session), session);
end

module:provides("auth", provider);

-- Sessions that are open when the decision point goes away (unloaded, or failed to load again) fall silent as well.
module:hook("pre-stanza", function(event)
	if core.active and prosody.hosts[module.host].modules.sallyport then return nil; end
	local stanza, origin = event.stanza, event.origin;
	if event.to_self or not stanza.attr.to then return nil; end
	local kind = stanza.attr.type;
	if origin.type == "c2s" and kind ~= "error" and not (stanza.name == "iq" and kind == "result") then
		origin.send(st.error_reply(stanza, "cancel", "service-unavailable", "The server's decision point is not loaded.", module.host));
	end
	return true;
end, 1000);

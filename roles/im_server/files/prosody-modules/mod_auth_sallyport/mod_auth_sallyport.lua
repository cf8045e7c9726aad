-- SPDX-License-Identifier: GPL-3.0-or-later
-- Accounts as mod_auth_internal_hashed keeps them, behind one more door: nobody signs in unless the decision
-- point is loaded and has a policy, nobody outside of the policy signs in, and guessing passwords is stopped.
-- The wrapped provider does all the work; this module only adds the door around the sign-in itself.

local cache = require "prosody.util.cache".new;
local hashes = require "prosody.util.hashes";
local json = require "prosody.util.json";
local now = require "prosody.util.time".now;
local random = require "prosody.util.random".bytes;
local st = require "prosody.util.stanza";
local uuid = require "prosody.util.uuid".generate;

local limiter = module:require "limiter";

local attempts = module:get_option_integer("sallyport_sign_in_attempts", 10, 1);
local limits = limiter.new({
	attempts = attempts;
	address_attempts = module:get_option_integer("sallyport_sign_in_address_attempts", 5 * attempts, 1);
	seconds = module:get_option_period("sallyport_sign_in_lockout", 900);
}, cache, now);
-- as mod_auth_internal_hashed has it
local default_iterations = module:get_option_integer("default_iteration_count", 10000, 4096);

local core = module:shared("/*/sallyport/core");
core.limits = limits; -- the page of the invitations counts wrong ones with it

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

local REASONS = {
	["no-policy"] = "The server's message policy is not loaded";
	["locked-out"] = "Too many wrong passwords; try again later";
	["sender"] = "Not among the people of this site today";
	["disabled"] = "The account is not open";
	["wrong-password"] = "The password was not right";
	account = "Too many wrong passwords for this account from this address";
	address = "Too many wrong passwords from this address";
};

-- @return nil when the door is open, else the rule
local function closed(name, address)
	if not ready() then return "no-policy"; end
	if limits:locked(name, address) then return "locked-out"; end
	return nil;
end

local function is_person(name)
	return core.policy ~= nil and core.policy:valid(name, core.now());
end

-- A name that cannot sign in gets a challenge like any other, so that asking does not tell who works here: a salt
-- that stays the same for the name, also over restarts, and keys that no password fits (RFC 5802, 9).
local own_data = module:open_store("sallyport_challenge");
local secret;

local function pretended_salt(name)
	if not secret then
		local kept = own_data:get(nil) or {};
		if not kept.secret then
			kept = { secret = uuid() .. uuid() };
			local ok, err = own_data:set(nil, kept);
			if not ok then module:log("warn", "The secret for challenges is not kept: %s", err); end
		end
		secret = kept.secret;
	end
	-- in the shape of the salts of mod_auth_internal_hashed, which are UUIDs of version 4
	local hex = hashes.hmac_sha256(secret, name, true);
	local variant = tonumber(hex:sub(16, 16), 16) % 4 + 1;
	return ("%s-%s-4%s-%s%s-%s"):format(hex:sub(1, 8), hex:sub(9, 12), hex:sub(13, 15), ("89ab"):sub(variant, variant),
		hex:sub(17, 19), hex:sub(20, 31));
end

local function pretend(profile)
	for method, credentials in pairs(profile) do
		if type(credentials) == "function" and method:find("scram_", 1, true) == 1 then
			profile[method] = function(handler, name, ...)
				local stored_key, server_key, iterations, salt, open = credentials(handler, name, ...);
				if open and stored_key and is_person(name) then return stored_key, server_key, iterations, salt, open; end
				handler.closed_account = open == false;
				return random(32), random(32), default_iterations, pretended_salt(name), true;
			end;
		end
	end
end

-- The door stands around each step of the exchange, so that it holds for all mechanisms, and so that many
-- exchanges that were begun before a lockout cannot be finished during it.
local function guard(handler, session)
	local address = session and session.ip or "unknown";
	local process, clean_clone = handler.process, handler.clean_clone;

	local function refused(name)
		local rule = closed(name, address);
		if not rule then return nil; end
		record(session or {}, name, rule, REASONS[rule]);
		return "failure", "temporary-auth-failure", REASONS[rule];
	end

	-- Whatever the reason, it looks like a wrong password, and counts like one: names are not to be guessed either.
	local function wrong(handler_, name)
		local rule = not is_person(name) and "sender" or handler_.closed_account and "disabled" or "wrong-password";
		record(session or {}, name, rule, REASONS[rule]);
		local locked = limits:failed(name, address);
		if locked then record(session or {}, name, "lockout", REASONS[locked]); end
		return "failure", "not-authorized", nil;
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
			if late then return late, late_condition, late_text; end
		end
		if status == "failure" and condition == "account-disabled" then
			self.closed_account = true;
			return wrong(self, name);
		elseif status == "failure" and condition == "not-authorized" or status == "success" and not is_person(name) then
			return wrong(self, name);
		elseif status == "success" then
			limits:succeeded(name, address);
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

function provider.create_user(name, password)
	local ok, err = accounts.create_user(name, password);
	if ok and core.account_made then core.account_made(name); end
	return ok, err;
end

function provider.get_sasl_handler(session)
	local handler = accounts.get_sasl_handler(session);
	pretend(handler.profile);
	return guard(handler, session);
end

module:provides("auth", provider);

-- What is open when the decision point goes away (unloaded, or failed to load again) falls silent as well: the sessions
-- of people, and other servers in both directions.
local function is_loaded()
	return core.active and prosody.hosts[module.host].modules.sallyport ~= nil;
end

module:hook("pre-stanza", function(event)
	if is_loaded() then return nil; end
	local stanza, origin = event.stanza, event.origin;
	if event.to_self or not stanza.attr.to then return nil; end
	local kind = stanza.attr.type;
	if origin.type == "c2s" and kind ~= "error" and not (stanza.name == "iq" and kind == "result") then
		origin.send(st.error_reply(stanza, "cancel", "service-unavailable", "The server's decision point is not loaded.", module.host));
	end
	return true;
end, 1000);

local function from_another_server(event)
	local origin = event.origin.type;
	if (origin == "s2sin" or origin == "s2sout") and not is_loaded() then return true; end
	return nil;
end

for _, stanza in ipairs({ "message", "presence", "iq" }) do
	for _, target in ipairs({ "bare", "full", "host" }) do
		module:hook(stanza .. "/" .. target, from_another_server, 2000);
	end
end

module:hook("route/remote", function()
	if not is_loaded() then return true; end
end, 2000);

module:hook("s2s-authenticated", function(event)
	if is_loaded() then return nil; end
	event.session:close({ condition = "policy-violation"; text = "The server's decision point is not loaded." });
	return false;
end, 2000);

-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- The page on which a person accepts an invitation: she opens the link in any browser and chooses her password.
--
-- Prosody's own ways were tried and do not fit: in-band registration with an invitation lets its holder make any
-- other account, enables a disabled one and brings back a deleted one; the web pages of prosody-modules refuse
-- accounts that exist. Here an invitation does one thing: it sets the password of the one account it was made for,
-- and only while that account exists and is enabled.
--
-- Settings: invites_page (the link that mod_invites writes, must end in "/invitation?{invite.token}"),
--           password_policy (mod_password_policy), site_name (shown in the heading).
-- Sources: Prosody 13 core/usermanager, mod_invites, mod_http; RFC 9110 (422, 410), W3C CSP 3.

local dt = require "prosody.util.datetime";
local formdecode = require "prosody.net.http".formdecode;
local hashes = require "prosody.util.hashes";
local saslprep = require "prosody.util.encodings".stringprep.saslprep;
local st = require "prosody.util.stanza";
local usermanager = require "prosody.core.usermanager";
local base64 = require "prosody.util.encodings".base64;

module:depends "http";
local invites = module:depends "invites";
local policy = module:depends "password_policy";
local render = require "prosody.util.interpolation".new("%b{}", st.xml_escape);

local core = module:shared("/*/sallyport/core");
local accounts = module:open_store("accounts");
local site_name = module:get_option_string("site_name", module.host);
local longest_body = 16384; -- bytes of a form; two passwords and a token are far below
local max_password_bytes = 1024; -- hashing must not become a lever: nobody types more than this

local style = "body{font:1.05rem/1.5 system-ui,sans-serif;max-width:30rem;margin:8vh auto;padding:0 1rem;color:#1c2430;background:#f6f7f9}"
	.. "main{background:#fff;border:1px solid #d6dae1;border-radius:.6rem;padding:1.5rem}h1{font-size:1.3rem;margin-top:0}"
	.. "label{display:block;margin:1rem 0 .3rem}input{font:inherit;width:100%;box-sizing:border-box;padding:.5rem;"
	.. "border:1px solid #6b7687;border-radius:.3rem}"
	.. "button{font:inherit;margin-top:1.2rem;padding:.6rem 1.4rem;border:0;border-radius:.3rem;background:#14548c;color:#fff}"
	.. ".fault{border-left:4px solid #b3261e;padding:.4rem .8rem;background:#fdecea}code{overflow-wrap:anywhere}"

local shell = [[<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex"><title>{title}</title><style>]] .. style .. [[</style></head>
<body><main><h1>{title}</h1>
{fault&<p class="fault" role="alert">{fault}</p>}
{body!}
</main></body></html>
]];

local form = [[<p>Your address is <code>{jid}</code>. Choose the password that goes with it.
Nobody else will know it, the administrator included.</p>
<form method="post" action="?">
<input type="hidden" name="token" value="{token}">
<input type="hidden" name="username" value="{jid}" autocomplete="username">
<label for="p">Password, at least {length} characters</label>
<input id="p" type="password" name="password" autocomplete="new-password" required minlength="{length}" maxlength="200" autofocus>
<label for="a">The same again</label>
<input id="a" type="password" name="again" autocomplete="new-password" required minlength="{length}" maxlength="200">
<button>Set the password</button>
</form>
<p>This invitation can be used once, until {expires} (UTC).</p>]];

local done = [[<p>Sign in to your chat program with the address <code>{jid}</code> and the password that you have just chosen.</p>
<p>You can close this page.</p>]];

local gone = [[<p>It was used already, it has expired, or your account is not open. Ask your administrator for a new one.</p>]];

local later = [[<p>Too many links that are not valid were opened from this computer. Try again later.</p>]];

local function page(event, code, title, body, vars)
	local headers = event.response.headers;
	headers.content_type = "text/html; charset=utf-8";
	headers.cache_control = "no-store";
	headers.referrer_policy = "no-referrer"; -- the address of this page contains the token
	headers.x_content_type_options = "nosniff";
	headers.content_security_policy = "default-src 'none'; style-src 'sha256-" .. base64.encode(hashes.sha256(style))
		.. "'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
	event.response.status_code = code;
	return render(shell, { title = title; fault = vars and vars.fault; body = render(body, vars or {}) });
end

-- Guessing tokens counts like guessing passwords, in the limits of mod_auth_sallyport; no account has this name.
local GUESS = " invitation";

local function gone_page(event, token)
	if core.limits and token and token ~= "" and core.limits:failed(GUESS, event.request.ip) and core.active then
		core.record({
			kind = "account"; type = "invitation"; address = event.request.ip; verdict = "refused"; rule = "lockout";
			reason = "Too many invitations that are not valid from this address";
		});
	end
	return page(event, 410, "This invitation is not valid", gone);
end

-- A handler behind the limits; without mod_auth_sallyport nobody signs in, and the page has nothing to protect.
local function limited(handler)
	return function(event)
		if core.limits and core.limits:locked(GUESS, event.request.ip) then
			return page(event, 429, "Too many attempts", later);
		end
		return handler(event);
	end
end

-- Who may use this token. Returns the invitation and the name of its account, or nil for every kind of "no".
local function find(token)
	local invite = token and token ~= "" and invites.get(token);
	local username = invite and invite.additional_data and invite.additional_data.allow_reset;
	local record = username and accounts:get(username);
	if not record then return nil; end
	-- Without a password yet, an account is disabled too; one that was closed on purpose has keys or carries a note.
	if record.disabled and (record.disabled_meta or record.stored_key) then return nil; end
	return invite, username;
end

local function form_vars(token, username, fault)
	local info = invites.get_account_invite_info(token);
	return {
		fault = fault; token = token; jid = username .. "@" .. module.host;
		length = tostring(policy.get_policy().length);
		expires = dt.datetime(info.expires):gsub("T", " "):gsub(":%d%dZ$", "");
	};
end

-- Why this password cannot be taken, or nil.
local function fault_of(username, password, again)
	if password ~= again then return "The two passwords are not the same."; end
	if #password > max_password_bytes then return "The password is too long."; end
	if not saslprep(password) then return "The password contains a character that cannot be used in a password."; end
	local ok, why = policy.check_password(password, { username = username });
	if not ok then return why; end
	return nil;
end

local function show(event)
	local token = event.request.url.query;
	local invite, username = find(token);
	if not invite then return gone_page(event, token); end
	return page(event, 200, site_name .. ": choose your password", form, form_vars(token, username));
end

local function accept(event)
	local body = event.request.body or "";
	if #body > longest_body then return page(event, 413, "Too much was sent", "<p>Go back and try again.</p>"); end
	local fields = formdecode(body);
	if type(fields) ~= "table" then fields = {}; end
	local token = fields.token;
	local invite, username = find(token);
	if not invite then return gone_page(event, token); end
	local password = fields.password or "";
	local fault = fault_of(username, password, fields.again or "");
	if fault then
		return page(event, 422, site_name .. ": choose your password", form, form_vars(token, username, fault));
	end
	-- Used first: should the process end between the two steps, the token is lost rather than usable twice.
	invite:use();
	local ok, err = usermanager.set_password(username, password, module.host);
	if ok then ok, err = usermanager.enable_user(username, module.host); end
	if not ok then
		module:log("error", "The password of %s could not be set: %s", username, err);
		return page(event, 500, "The password could not be set", gone);
	end
	module:log("info", "%s accepted an invitation from %s", username, event.request.ip);
	return page(event, 200, "Your password is set", done, { jid = username .. "@" .. module.host });
end

module:provides("http", {
	default_path = "/invitation";
	cors = { enabled = false }; -- no other site's script has any business here
	route = { ["GET"] = limited(show); ["POST"] = limited(accept) };
});

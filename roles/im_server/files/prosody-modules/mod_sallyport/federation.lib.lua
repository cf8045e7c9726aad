-- SPDX-License-Identifier: GPL-3.0-or-later
-- Streams to and from other servers: those of current partners only, each proven by its certificate, one event for each.
-- Prosody itself sees to it that a stanza comes from the domain that its stream was proven for (core/stanza_router).

local cache = require "prosody.util.cache".new;
local add_filter = require "prosody.util.filters".add_filter;
local hosts = prosody.hosts;
local now = require "prosody.util.time".now;
local st = require "prosody.util.stanza";

local certificates = module:require "certificates";
local knocks = module:require "knocks";
local verdicts = module:require "verdict";

local M = {};

local core, told, is_unfit;
local streams; -- session -> what is known of it; shared, so that loading this anew forgets no stream

local REASONS = {
	["foreign-domain"] = "No partner has this domain";
	["not-current"] = "The time of this partner is over or has not come";
	["no-policy"] = "The server's message policy is not loaded";
	changed = "What the partner's servers are known by has changed; they must prove themselves anew";
	rate = "Too many streams have proven nothing yet";
	dialback = "The other server did not prove itself by a certificate";
	spoofed = "The other server sent something in the name of another domain than its own";
};

-- Stream errors (RFC 6120, 4.9.3) by which Prosody answers what is built wrongly.
local MALFORMED = {
	["bad-format"] = true; ["bad-namespace-prefix"] = true; ["host-unknown"] = true; ["improper-addressing"] = true;
	["invalid-namespace"] = true; ["invalid-xml"] = true; ["not-well-formed"] = true; ["policy-violation"] = true;
	["restricted-xml"] = true; ["unsupported-stanza-type"] = true;
};

local STANZAS = { message = true; presence = true; iq = true };

local function remote_of(session)
	if session.direction == "outgoing" then return session.to_host; end
	return session.from_host;
end

-- @return nil when this domain is that of a current partner, else the rule that refuses it
local function refusal(domain)
	if not core.policy then return "no-policy"; end
	local _, rule = core.policy:partner(domain, core.now());
	return rule;
end

-- The address of the other server, or the network that counts as one.
local function place_of(session)
	local address = session.ip;
	return core.limits and address and core.limits.place(address) or address or "unknown";
end

local function tell(session, what, verdict, rule, reason)
	local outgoing = session.direction == "outgoing";
	told:happened(place_of(session), {
		kind = "stream"; type = what; direction = outgoing and "out" or "in"; address = session.ip;
		from = outgoing and module.host or session.from_host; to = outgoing and session.to_host or session.to_host or module.host;
		verdict = verdict; rule = rule; reason = reason;
	});
end

-- Ends a stream by our own decision. What waited for it comes back to its sender with the reason.
local function refuse(session, rule, reason, condition)
	local stream = streams[session];
	tell(session, stream.established and "closed" or "refused", "refused", rule, reason);
	stream.over = true;
	local public = verdicts.refuse("foreign-domain").reason;
	if rule == "certificate" then public = reason; end
	session:close({ condition = condition or "policy-violation"; text = public }, nil, reason);
end

-- So many incoming streams at a time may have proven nothing yet: of one address, and of all. The second number holds for no
-- address from which a partner has proven itself: many who prove nothing must not keep the partners out.
local OF_ONE_ADDRESS, OF_ALL = 20, 400;
local good = cache(1000); -- place -> true

local function is_crowded(session)
	if session.direction ~= "incoming" or session.type ~= "s2sin_unauthed" then return false; end
	local place, same, all = place_of(session), 0, 0;
	for other in pairs(prosody.incoming_s2s) do
		if other ~= session and other.type == "s2sin_unauthed" then
			all = all + 1;
			if place_of(other) == place then same = same + 1; end
		end
	end
	return same >= OF_ONE_ADDRESS or all >= OF_ALL and not good:get(place);
end

-- An unknown domain is refused before it gets any answer to the beginning of its stream, and so is one stream too many.
local function watch_opening(session)
	local open_stream = session.open_stream;
	function session.open_stream(self, from, to)
		local stream = streams[self];
		local rule = stream and not stream.closing and not stream.over and refusal(remote_of(self));
		local crowded = not rule and stream and not stream.closing and not stream.over and is_crowded(self);
		if rule or crowded then
			refuse(self, rule or "rate", REASONS[rule or "rate"], crowded and "resource-constraint");
			return true;
		end
		return open_stream(self, from, to);
	end
end

-- How another server may say why it ends a stream or proves nothing (RFC 6120, 4.9.3 and 6.5).
local CONDITIONS = {};
for condition in ([[bad-format bad-namespace-prefix conflict connection-timeout host-gone host-unknown improper-addressing
	internal-server-error invalid-from invalid-namespace invalid-xml not-authorized not-well-formed policy-violation
	remote-connection-failed reset resource-constraint restricted-xml see-other-host system-shutdown undefined-condition
	unsupported-encoding unsupported-feature unsupported-stanza-type unsupported-version aborted account-disabled
	credentials-expired encryption-required incorrect-encoding invalid-authzid invalid-mechanism malformed-request
	mechanism-too-weak temporary-auth-failure]]):gmatch("%S+") do CONDITIONS[condition] = true; end

-- What waited for a stream comes back with why it ended. Of the words of a server that has proven nothing yet, none do.
local function without_words(remote)
	if not remote or remote == "TLS negotiation failed" then return remote; end -- this one is Prosody's own
	local condition = type(remote) == "table" and remote.condition or tostring(remote):match("^[%l-]+");
	return "the other server says " .. (CONDITIONS[condition or ""] and condition or "undefined-condition");
end

local function watch_closing(session)
	local close = session.close;
	function session.close(self, reason, remote, ...)
		local stream = streams[self];
		if stream and not stream.closing then
			stream.closing = true;
			stream.fault = type(reason) == "table" and reason.condition or type(reason) == "string" and reason or nil;
			stream.words = type(reason) == "table" and reason.text or nil;
		end
		return close(self, reason, without_words(remote), ...);
	end
end

-- Nothing is said before the proof (RFC 6120, 4.9.3.12); Prosody's handlers do not expect it. Nor is what no server sends.
local function only_when_proven(stanza, session)
	local xmlns = stanza.attr.xmlns;
	if xmlns and xmlns ~= "jabber:client" or not STANZAS[stanza.name] then return stanza; end
	if session.type == "s2sin" and is_unfit(stanza, session.from_host) then return nil; end
	if session.type ~= "s2sin_unauthed" then return stanza; end
	session:close({ condition = "not-authorized"; text = "Nothing is accepted before the other server has proven itself" });
	return nil;
end

local function created(event)
	local session = event.session;
	streams[session] = streams[session] or {};
	watch_closing(session);
	if session.direction == "incoming" then
		watch_opening(session);
		add_filter(session, "stanzas/in", only_when_proven, 1000);
	end
end

-- Before any connection is there: it may never come about.
local function called(event)
	streams[event.session] = {};
end

-- After mod_s2s_auth_certs, before mod_s2s itself; what is decided here is what the both of them would else decide.
local function check_certificate(event)
	local session, domain = event.session, event.host;
	local stream = streams[session];
	if not stream then return nil; end
	local rule = refusal(domain);
	if rule then
		refuse(session, rule, REASONS[rule]);
		return false;
	end
	local partner = core.policy:partner(domain, core.now());
	local ok, fault = certificates.check(partner, domain, session, event.cert);
	if not ok then
		session.cert_chain_status, session.cert_identity_status = "invalid", "invalid";
		refuse(session, "certificate", "The certificate of the other server " .. fault, "not-authorized");
		return false;
	end
	session.cert_chain_status, session.cert_identity_status = "valid", "valid";
	stream.proven, stream.trust = domain, certificates.trust(partner);
	return nil;
end

-- A second line: nothing but the certificate authenticates a stream, whatever modules are loaded.
local function check_authentication(event)
	local stream = streams[event.session];
	local rule = refusal(event.host);
	if not rule and stream and stream.proven == event.host and event.mechanism == "EXTERNAL" then return nil; end
	rule = rule or "certificate";
	if not stream then
		streams[event.session] = {};
	end
	refuse(event.session, rule, REASONS[rule] or REASONS.dialback, "not-authorized");
	return false;
end

local function established(event)
	local session = event.session;
	local stream = streams[session];
	if not stream or stream.over then return; end
	stream.established = true;
	if session.direction == "incoming" then good:set(place_of(session), true); end
	tell(session, "established", "allowed", "partner", "");
end

local function plain_reason(reason)
	if type(reason) == "table" then reason = reason.text or reason.condition; end
	return reason and tostring(reason) or "The connection ended";
end

-- A stream that never came about, or that was ended for what came over it.
local function destroyed(event)
	local session = event.session;
	local stream = streams[session];
	streams[session] = nil;
	if not stream or stream.over then return; end
	local words = stream.words or plain_reason(stream.fault or event.reason);
	if stream.established then
		if stream.fault == "not-authorized" then
			tell(session, "closed", "refused", "spoofed", REASONS.spoofed);
		elseif MALFORMED[stream.fault or ""] then
			tell(session, "closed", "refused", "malformed", words);
		end
	elseif session.had_stream or stream.fault or session.direction == "outgoing" then
		local rule = refusal(remote_of(session));
		local silent = session.direction == "outgoing" and not session.had_stream;
		local wrong = session.direction == "incoming" and MALFORMED[stream.fault or ""];
		tell(session, "refused", "refused", rule or silent and "unreachable" or wrong and "malformed" or "handshake", words);
	end
end

-- The contacts are told that somebody is gone while they can still be told.
local function take_leave(session, domain)
	for _, user in pairs(hosts[module.host].sessions) do
		for address in pairs(user.roster or {}) do
			if address and address:match("@(.*)$") == domain then
				for _, device in pairs(user.sessions) do
					if device.presence then
						session.sends2s(st.presence({ type = "unavailable"; from = device.full_jid; to = address }));
					end
				end
			end
		end
	end
end

local function follow(session)
	local stream, domain = streams[session], remote_of(session);
	if not (stream and domain) or stream.over then return; end
	local rule = refusal(domain);
	if not rule and stream.trust and stream.trust ~= certificates.trust(core.policy.partners[domain]) then rule = "changed"; end
	if not rule then return; end
	if rule ~= "changed" and stream.established and session.direction == "outgoing" then take_leave(session, domain); end
	refuse(session, rule == "changed" and "certificate" or rule, REASONS[rule]);
end

--- Ends the streams of all who are partners no more. To be called before the contact lists change.
function M.follow()
	local open = {};
	for session in pairs(prosody.incoming_s2s) do open[#open + 1] = session; end
	for _, session in pairs(hosts[module.host].s2sout or {}) do open[#open + 1] = session; end
	for _, session in ipairs(open) do
		local ok, err = pcall(follow, session);
		if not ok then module:log("error", "A stream could not be ended: %s", err); end
	end
end

--- Ends all streams: without the decision point there is no federation.
function M.stop()
	for session in pairs(streams) do pcall(session.close, session, { condition = "system-shutdown" }); end
	told:pass(true);
end

--- @return how many streams are established, both directions together
function M.count()
	local count = 0;
	for _, stream in pairs(streams) do
		if stream.established then count = count + 1; end
	end
	return count;
end

--- Tells what was counted of streams, once a minute; all of it when `all` says so.
function M.pass(all)
	told:pass(all);
end

--- @param shared the core of the decision point
-- @param unfit  function(stanza, domain) -> whether it was refused, as no server sends such a thing
function M.start(shared, unfit)
	core, is_unfit = shared, unfit;
	core.streams = core.streams or setmetatable({}, { __mode = "k" });
	streams = core.streams;
	told = knocks.new(core.record, now, module:get_option_period("sallyport_stream_events", 60));
	core.knocks = told;
	module:hook_global("s2s-created", created, 1000);
	module:hook_global("s2s-check-certificate", check_certificate, 100);
	module:hook("s2sout-created", called, 1000);
	module:hook("s2s-authenticated", check_authentication, 100);
	module:hook("s2sin-established", established);
	module:hook("s2sout-established", established);
	module:hook_global("s2s-destroyed", destroyed);
end

return M;

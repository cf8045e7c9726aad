-- SPDX-License-Identifier: GPL-3.0-or-later
-- Stanzas that cross the border to and from partners: judged once, bounded, and freed of what is not needed outside.

local cache = require "prosody.util.cache".new;
local jid = require "prosody.util.jid";
local now = require "prosody.util.time".now;
local st = require "prosody.util.stanza";

local facts = module:require "facts";
local questions = module:require "questions";
local rates = module:require "rates";
local rebuilt = module:require "rebuilt";
local verdicts = module:require "verdict";

local M = {};

local core, own;
local open = questions.new(cache, now);
local limits = rates.new(cache, now);
local judged = setmetatable({}, { __mode = "k" }); -- stanza -> the address for which it was judged on its way out

local function is_answer(stanza)
	return stanza.attr.type == "error" or stanza.name == "iq" and stanza.attr.type == "result";
end

local function sent(stanza)
	own[stanza] = true;
	module:send(stanza);
end

local function sessions_of(username)
	local user = prosody.hosts[module.host].sessions[username];
	return user and user.sessions or {};
end

-- The presence of all devices of a person, to one address; judged like any other on its way.
local function send_presence(username, to)
	local any = false;
	for _, session in pairs(sessions_of(username)) do
		if session.presence then
			local presence = st.clone(session.presence);
			presence.attr.to, any = to, true;
			prosody.core_post_stanza(session, presence, true);
		end
	end
	return any;
end

local function subscribe(username, address)
	sent(st.presence({ type = "subscribe"; from = username .. "@" .. module.host; to = address }));
end

--- A contact at a partner has come into or left the contact list of a person who is signed in.
function M.list_changed(username, address, gone)
	if not gone then
		if send_presence(username, address) then subscribe(username, address); end
		return;
	end
	for _, session in pairs(sessions_of(username)) do
		if session.presence then
			sent(st.presence({ type = "unavailable"; from = session.full_jid; to = address }));
			session.send(st.presence({ type = "unavailable"; from = address; to = session.full_jid }));
		end
	end
end

-- Contact lists are the site's: what a contact says of subscriptions is answered in the person's name, and changes nothing.
local function answer_subscription(stanza, username)
	if stanza.attr.type ~= "subscribe" then return; end
	local me, to = username .. "@" .. module.host, jid.bare(stanza.attr.from);
	sent(st.presence({ type = "subscribed"; from = me; to = to; id = stanza.attr.id }));
	send_presence(username, to);
end

local function answer_probe(stanza, username)
	if send_presence(username, stanza.attr.from) then return; end
	sent(st.presence({ type = "unavailable"; from = username .. "@" .. module.host; to = stanza.attr.from }));
end

-- Presence gets no answer, or it would tell who is there; nor do errors and results (RFC 6120, 8.3.1).
local function answer_refusal(event, seen, verdict)
	local stanza, origin = event.stanza, event.origin;
	if seen.answer or stanza.name == "presence" or not origin.send then return; end
	if stanza.name == "iq" and (not stanza.attr.id or stanza.attr.type ~= "get" and stanza.attr.type ~= "set") then return; end
	if verdict.rule == "rate" and not limits:may_answer(jid.bare(stanza.attr.from)) then return; end
	local reply = st.error_reply(stanza, verdict.error_type, verdict.condition, verdict.reason);
	own[reply] = true;
	origin.send(reply);
end

-- What Prosody itself says in the name of a foreign address: something could not be delivered there.
local function is_bounce(origin, stanza)
	if stanza.attr.type ~= "error" then return false; end
	return origin.dummy or origin.type ~= "s2sin" and origin.type ~= "s2sout" and origin.type ~= "component";
end

local function bounce(event, seen, where)
	local stanza = event.stanza;
	-- it answers what the server sent by itself, as people send no presence to partners one by one
	if stanza.name == "presence" then return true; end
	if stanza.name == "message" then core.record(facts.event(stanza, seen, verdicts.allow("bounce"), where)); end
	return nil;
end

-- May this address send one more now? The contacts of the entry have a measure beside that of all others there, also where
-- the whole domain may write: who made many names for himself must not silence them.
local function is_flood(address, domain)
	local policy = core.policy;
	local partner, contact = policy:partner(domain, core.now()), jid.node(address);
	local known = partner and contact and partner.contacts[contact] and true or false;
	return not limits:may_send(jid.bare(address), domain, known, policy.rates);
end

--- What has an address that is none, or is a stanza of clients, is refused before Prosody sees it: it would answer in words
-- of its own, write the whole address into its log, and count it for nobody. The stream stays, as others there use it.
-- @param stanza as it came over the stream that was proven for this domain
-- @return whether it was refused
function M.is_unfit(stanza, domain)
	local attr = stanza.attr;
	local from, to = jid.prep(attr.from), jid.prep(attr.to);
	local fit = not attr.xmlns and (from or not attr.from) and (to or not attr.to);
	if fit or not core.policy then return false; end
	if not from or jid.host(from) ~= domain then from = domain; end
	local known = st.stanza(stanza.name, { from = from; to = to or module.host; type = attr.type; id = attr.id });
	local seen = { kind = stanza.name; content = {}; direction = "in"; bytes = #tostring(stanza) };
	local verdict = verdicts.refuse(is_flood(from, domain) and "rate" or "malformed");
	core.judge({ stanza = known }, seen, verdict, core.places());
	return true;
end

--- Judges what has come from another domain. @return nil when it passes, true when it ends here
function M.inbound(event, seen, where)
	local stanza, policy = event.stanza, core.policy;
	if is_bounce(event.origin, stanza) then return bounce(event, seen, where); end
	local from, to, id = stanza.attr.from, stanza.attr.to, stanza.attr.id;
	if seen.source == "partner" then
		seen.asked = seen.answer and open:take(stanza.name, from, to, id);
		seen.flood = not seen.asked and is_flood(from, seen.domain);
	end
	local verdict = core.judge(event, seen, verdicts.inbound(policy, core.now(), seen), where);
	if verdict.verdict == "refused" then
		answer_refusal(event, seen, verdict);
		return true;
	end
	if seen.answer then
		rebuilt.answer(stanza);
	elseif stanza.name ~= "presence" then
		rebuilt.message(stanza);
		rebuilt.formatted(stanza);
		rebuilt.delays(stanza, seen.domain);
		open:ask(stanza.name, from, to, id);
	elseif seen.subscription then
		answer_subscription(stanza, seen.to);
		return true;
	elseif seen.type == "probe" then
		answer_probe(stanza, seen.to);
		return true;
	else
		rebuilt.presence(stanza, function(words) return where.link({ name = "status"; attr = {}; words }, seen.domain); end);
	end
	return nil;
end

--- Notes before the verdict whether an answer of ours was asked for.
function M.before_outbound(stanza, seen)
	if seen.target == "partner" and seen.answer then
		seen.asked = open:take(stanza.name, stanza.attr.from, stanza.attr.to, stanza.attr.id);
	end
end

--- Notes after the verdict what may go out.
function M.after_outbound(stanza, seen)
	if seen.target ~= "partner" then return; end
	rebuilt.formatted(stanza);
	judged[stanza] = stanza.attr.to;
	if not seen.answer then open:ask(stanza.name, stanza.attr.from, stanza.attr.to, stanza.attr.id); end
end

local STANZAS = { message = true; presence = true; iq = true };

-- The last gate, before any name is looked up: only to current partners, and only what was judged. What the server sends
-- in a person's name by itself is judged here.
local function gate(event)
	local stanza = event.stanza;
	event.origin = event.origin or prosody.hosts[module.host]; -- mod_s2s answers it when too much is waiting
	if not STANZAS[stanza.name] then return true; end
	local partner = core.policy and core.policy:partner(event.to_host, core.now());
	local known = own[stanza] or judged[stanza] == stanza.attr.to;
	judged[stanza] = nil;
	if not known then
		local where = core.places();
		local seen = facts.read(stanza, where);
		M.before_outbound(stanza, seen);
		local verdict = core.judge(event, seen, verdicts.outbound(core.policy, core.now(), seen), where);
		if verdict.verdict == "refused" then return true; end
		M.after_outbound(stanza, seen);
	end
	if not partner then return true; end
	-- the refusals that this module makes itself say why
	if stanza.name == "presence" then
		event.stanza = rebuilt.presence(st.clone(stanza));
	elseif is_answer(stanza) and not own[stanza] then
		event.stanza = rebuilt.answer(st.clone(stanza));
	end
	return nil;
end

--- @param shared the core of the decision point
-- @param marks  weak table of the stanzas that this module sends itself
function M.start(shared, marks)
	core, own = shared, marks;
	module:hook("route/remote", gate, 1000);
	-- The contact's own server lets presence through once the contact agrees to it. It is asked after the probes that follow
	-- on this event: to a probe before the contact's consent, some servers say no and forget the question (RFC 6121, 4.3.2).
	module:hook("presence/initial", function(event)
		local session = event.origin;
		module:add_timer(0, function()
			for address in pairs(session.presence and session.roster or {}) do
				if address and select(2, jid.split(address)) ~= module.host then subscribe(session.username, address); end
			end
		end);
	end);
end

return M;

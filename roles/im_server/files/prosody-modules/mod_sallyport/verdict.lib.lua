-- SPDX-License-Identifier: GPL-3.0-or-later
-- The verdict: a pure function of the facts of one stanza, the policy and the time.
-- docs/decision-point.md lists the same rules in plain words; tests/lua/verdict_spec.lua guards them.

local M = {};

-- rule -> { error type, condition (RFC 6120, 8.3), reason in plain words }
-- A stranger and an address that does not exist get the very same answer, and so do a foreign room and none.
local REFUSALS = {
	["no-policy"] = { "cancel", "service-unavailable", "The server's message policy is not loaded. Nothing is delivered." };
	["sender"] = { "cancel", "not-allowed", "Your account is not among the people of this site today." };
	["stranger"] = { "cancel", "not-allowed", "This address is not in your contact list." };
	["foreign-domain"] = { "cancel", "not-allowed", "This server does not exchange anything with that domain." };
	["malformed"] = { "modify", "bad-request", "This is not built as it must be." };
	["partner-iq"] = { "cancel", "service-unavailable", "Such questions are not exchanged with partners." };
	["partner-room"] = { "cancel", "not-allowed", "Rooms are not shared with partners." };
	["partner-payload"] = { "cancel", "not-allowed", "Contents of this kind are not exchanged with partners." };
	["partner-link"] = { "cancel", "not-acceptable", "Links to files on servers of partners are not accepted here." };
	["unasked"] = { "cancel", "not-allowed", "This answers nothing that was asked." };
	["rate"] = { "wait", "resource-constraint", "Too much was sent in too short a time. Please try again later." };
	["room-closed"] = { "cancel", "item-not-found", "You are not a member of a room of this name." };
	["room-locked"] = { "auth", "forbidden", "Rooms are managed by the site; their settings and members cannot be changed here." };
	["room-private"] = { "cancel", "not-allowed", "This person is not in your contact list." };
	["invitation"] = { "cancel", "not-allowed", "This person cannot be invited to this room." };
	["roster-locked"] = { "cancel", "not-allowed", "Contact lists come from the groups of the site and cannot be changed here." };
	["calls"] = { "cancel", "service-unavailable", "Calls are switched off on this server." };
	["transfer"] = { "cancel", "service-unavailable", "Files are scanned here; please share this as an upload. It goes in no other way." };
	["length"] = { "modify", "not-acceptable", "This is longer than a message may be. Please share it as a file." };
	["encrypted"] = { "cancel", "not-acceptable", "What is encrypted from end to end cannot be scanned. Please switch that off." };
	["forged"] = { "cancel", "not-allowed", "Copies of messages and answers of the archive come from the server only." };
	["account-locked"] = { "cancel", "not-allowed", "Accounts are managed by the site and cannot be removed here." };
	["archive-locked"] = { "cancel", "not-allowed", "The site decides what is archived; this cannot be changed here." };
	["content"] = { "modify", "policy-violation", "A rule of this site does not let this pass." };
	["log"] = { "wait", "resource-constraint", "The server cannot record this at the moment. Please try again later." };
};

--- A refusal by its rule.
-- @return a verdict: verdict, rule, error_type, condition, reason
function M.refuse(rule)
	local refusal = REFUSALS[rule];
	return {
		verdict = "refused"; rule = rule;
		error_type = refusal[1]; condition = refusal[2]; reason = refusal[3];
	};
end

--- A permission by its rule.
function M.allow(rule)
	return { verdict = "allowed"; rule = rule; reason = "" };
end

local allow = M.allow;

-- A room that the sender is not entitled to and no room at all look alike; a client that joins needs the
-- condition by which it tells "members only" from a fault (XEP-0045, 7.2.6).
local function closed_room(facts)
	local verdict = M.refuse("room-closed");
	if facts.stanza == "presence" then
		verdict.error_type, verdict.condition = "auth", "registration-required";
	end
	return verdict;
end

-- Who or what is written to decides first.
local targets = {};

function targets.self()
	return allow("self");
end

function targets.server()
	return allow("server");
end

function targets.files()
	return allow("files");
end

function targets.person(policy, now, facts)
	if policy:may_talk(facts.from, facts.to, now) then return allow("contact"); end
	return M.refuse("stranger");
end

-- Only questions go to the rooms service itself: its own address must never become a room.
function targets.rooms(_, _, facts)
	return facts.stanza == "iq" and allow("rooms") or closed_room(facts);
end

function targets.room(policy, now, facts)
	if not policy:entitled(facts.from, facts.to, now) then return closed_room(facts); end
	-- where people are told in the subject that they are monitored, it stays
	if facts.room_change or facts.subject_change and policy.notice ~= "" then return M.refuse("room-locked"); end
	return allow("room");
end

-- Joining, leaving and changing the nickname are presence to an occupant; anything else is private.
-- An occupant that is not there is the room's business: it answers so itself.
function targets.occupant(policy, now, facts)
	local room = targets.room(policy, now, facts);
	if room.verdict == "refused" or facts.stanza == "presence" or not facts.occupant then return room; end
	if facts.occupant == facts.from or policy:may_talk(facts.from, facts.occupant, now) then return room; end
	return M.refuse("room-private");
end

function targets.foreign()
	return M.refuse("foreign-domain");
end

function targets.partner(policy, now, facts)
	if policy:may_exchange(facts.from, facts.domain, facts.contact, now) then return allow("partner"); end
	return M.refuse("stranger");
end

-- What crosses the border, in either direction, between two who may exchange something.
local function crossing(policy, facts)
	if facts.malformed then return M.refuse("malformed"); end
	if facts.answer then return facts.asked and allow("answer") or M.refuse("unasked"); end
	if facts.forged then return M.refuse("forged"); end
	if facts.carries then return M.refuse(facts.carries); end
	if facts.call then return M.refuse("calls"); end
	if facts.stanza == "iq" and not facts.question then return M.refuse("partner-iq"); end
	if facts.invites and #facts.invites > 0 then return M.refuse("invitation"); end
	if facts.stanza == "message" and facts.type == "groupchat" then return M.refuse("partner-room"); end
	if facts.within then return M.refuse("partner-payload"); end
	-- last, when it is known that all else may pass: these look through the text
	if facts.has_link and policy.partner_links ~= "permit" and facts.has_link() then return M.refuse("partner-link"); end
	if facts.has_data and facts.has_data() then return M.refuse("transfer"); end
	return allow("partner");
end

local function may_invite(policy, now, from, invite)
	return policy:may_talk(from, invite.person, now)
		and policy:entitled(from, invite.room, now)
		and policy:entitled(invite.person, invite.room, now);
end

--- Judges one stanza of a local person, on its way out.
-- @param policy compiled policy, or nil when none is in force
-- @param now    the instant, see policy.lib.lua
-- @param facts  see facts.lib.lua
-- @return a verdict: verdict "allowed" or "refused", rule, reason, and for refusals error_type and condition
function M.outbound(policy, now, facts)
	if not policy then
		return facts.target == "self" and not (facts.roster_change or facts.carries) and allow("self") or M.refuse("no-policy");
	end
	if facts.roster_change then return M.refuse("roster-locked"); end
	if facts.account_removal then return M.refuse("account-locked"); end
	if facts.archive_change then return M.refuse("archive-locked"); end
	-- What the server says in its own name (an announcement) has no person behind it.
	if facts.source == "server" then
		return facts.direction and M.refuse("foreign-domain") or allow("server");
	end
	if facts.target ~= "self" and not policy:valid(facts.from, now) then return M.refuse("sender"); end

	local verdict = targets[facts.target](policy, now, facts);
	if verdict.verdict == "refused" then return verdict; end
	if facts.target == "partner" then return facts.subscription and M.refuse("roster-locked") or crossing(policy, facts); end
	if facts.forged then return M.refuse("forged"); end
	if facts.monstrous then return M.refuse("malformed"); end
	if not facts.answer and (facts.subscription or facts.roster_push) then return M.refuse("roster-locked"); end
	if facts.answer and facts.stanza == "iq" and facts.device and not facts.asked then return M.refuse("unasked"); end
	if facts.carries then return M.refuse(facts.carries); end
	if facts.answer then return verdict; end
	if facts.call and policy.calls ~= "permit" then return M.refuse("calls"); end
	for _, invite in ipairs(facts.invites or {}) do
		if not may_invite(policy, now, facts.from, invite) then return M.refuse("invitation"); end
	end
	return verdict;
end

--- Judges one stanza that arrives at a local address without having passed outbound().
-- What the server sends in the name of a person (a notification, a late bounce) must obey the policy as well.
-- A person who may not be written to and nobody at all look alike.
function M.inbound(policy, now, facts)
	if facts.source == "partner" then
		if facts.flood then return M.refuse("rate"); end
		local open = facts.target == "person" and policy:may_exchange(facts.to, facts.domain, facts.contact, now);
		return open and crossing(policy, facts) or M.refuse("stranger");
	end
	if facts.source == "foreign" then return M.refuse(policy and "foreign-domain" or "no-policy"); end
	if facts.source ~= "person" or facts.target ~= "person" or facts.from == facts.to then return allow("server"); end
	if not policy then return M.refuse("no-policy"); end
	return targets.person(policy, now, facts);
end

return M;

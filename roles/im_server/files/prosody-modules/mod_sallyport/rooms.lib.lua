-- SPDX-License-Identifier: GPL-3.0-or-later
-- Keeps the rooms of the policy: they exist, are titled, open to their members only, and nobody owns them.

local jid_split = require "prosody.util.jid".split;
local st = require "prosody.util.stanza";
local verdicts = module:require "verdict";

-- Beyond so many newcomers the occupants are not told one by one; their clients ask for the list when they join.
local ANNOUNCED = 20;

local M = {};
local core, rooms;
local reconciling = false;

local function members_of(room)
	local members, now = {}, core.now();
	for group in pairs(room.groups) do
		for name in pairs(core.policy.members[group]) do
			if core.policy:valid(name, now) then members[name .. "@" .. core.host] = true; end
		end
	end
	return members;
end

local function nothing() end

-- Whoever lost the right leaves at once (set_affiliation takes them out of the room); one write at the end.
local function set_members(room, members)
	local gone, new = {}, {};
	for address, affiliation in room:each_affiliation() do
		if not members[address] then
			gone[#gone + 1] = address;
		elseif affiliation ~= "member" then
			new[#new + 1] = address;
		end
	end
	for address in pairs(members) do
		if not room:get_affiliation(address) then new[#new + 1] = address; end
	end
	if #gone + #new == 0 then return false; end
	local save, broadcast = rawget(room, "save"), rawget(room, "broadcast");
	room.save = nothing;
	for _, address in ipairs(gone) do room:set_affiliation(true, address, "none"); end
	if #new > ANNOUNCED then room.broadcast = nothing; end
	for _, address in ipairs(new) do room:set_affiliation(true, address, "member"); end
	room.save, room.broadcast = save, broadcast;
	return true;
end

local function set_properties(room, title)
	local changed = false;
	for property, value in pairs({
		name = title; persistent = true; hidden = true; members_only = true; moderated = false;
		whois = "anyone"; changesubject = core.policy.notice == ""; allow_member_invites = true; password = false;
	}) do
		local wanted = value or nil;
		if (room["get_" .. property](room) or nil) ~= wanted then
			room["set_" .. property](room, wanted);
			changed = true;
		end
	end
	return changed;
end

local function keep(name, wanted)
	local address = name .. "@" .. module.host;
	local room = rooms.get_room_from_jid(address);
	if room and room._data.destroyed then
		rooms.delete_room(room);
		rooms.forget_room(room);
		room = nil;
	end
	if not room then
		room = rooms.create_room(address);
		if not room then
			module:log("error", "Cannot make the room %s: raise muc_max_rooms or look for a fault of the storage", address);
			return;
		end
	end
	local changed = set_properties(room, wanted.title);
	-- whoever enters reads it
	if core.policy.notice ~= "" and room:set_subject(room.jid, core.policy.notice) then changed = true; end
	if set_members(room, members_of(wanted)) or changed then room:save(true); end
end

-- A room that the policy does not name any more keeps its archive until it expires, but nobody is let in.
local function close(room)
	if set_members(room, {}) then room:save(true); end
end

local function reconcile()
	if not (core.policy and core.policy.rooms_domain == module.host) then return; end
	reconciling = true;
	local ok, err = pcall(function()
		for name, wanted in pairs(core.policy.rooms) do keep(name, wanted); end
		for room in rooms.all_rooms() do
			if not core.policy.rooms[jid_split(room.jid)] then close(room); end
		end
	end);
	reconciling = false;
	if not ok then
		module:log("error", "Rooms could not be brought in line with the policy: %s", err);
		module:set_status("error", "Rooms differ from the policy");
	end
end

local function refuse(event, rule, error_type, condition)
	local verdict = verdicts.refuse(rule);
	event.origin.send(st.error_reply(event.stanza, error_type or verdict.error_type, condition or verdict.condition,
		verdict.reason, module.host));
	return true;
end

--- @param shared the core of the decision point
function M.start(shared)
	core = shared;
	rooms = module:depends("muc");

	-- Second lines: the verdict on the people's host refuses all of these already.
	module:hook("muc-room-pre-create", function(event)
		return refuse(event, "room-closed", "auth", "registration-required");
	end, 2000);
	module:hook("muc-occupant-pre-join", function(event)
		local name, host = jid_split(event.stanza.attr.from);
		local policy = core.policy;
		if host == core.host and policy and policy:entitled(name, jid_split(event.room.jid), core.now()) then return nil; end
		return refuse(event, "room-closed", "auth", "registration-required");
	end, 2000);
	module:hook("muc-pre-set-affiliation", function(event)
		if not reconciling then event.allowed = false; end
	end, 2000);

	-- People see their own rooms in the list of rooms, and no other.
	module:hook("host-disco-items", function(event)
		local name, host = jid_split(event.stanza.attr.from);
		local policy = core.policy;
		if host ~= core.host or not policy then return; end
		for room, wanted in pairs(policy.rooms) do
			if policy:entitled(name, room, core.now()) then
				event.reply:tag("item", { jid = room .. "@" .. module.host; name = wanted.title }):up();
			end
		end
	end);

	module:hook_global("sallyport-policy-changed", reconcile);
	if core.active then reconcile(); end
end

return M;

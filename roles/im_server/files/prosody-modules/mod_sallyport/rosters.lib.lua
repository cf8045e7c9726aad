-- SPDX-License-Identifier: GPL-3.0-or-later
-- Puts the contact lists of the policy into Prosody's rosters, and tells open sessions about changes.
-- Nothing is stored: a roster is made whenever it is loaded.

local jid_split = require "prosody.util.jid".split;
local roster_push = require "prosody.core.rostermanager".roster_push;
local st = require "prosody.util.stanza";
local time_now = require "prosody.util.time".now;

-- Telling many people of many changes is done in slices, so that the server keeps answering meanwhile.
local SLICE = 0.025; -- seconds

local M = {};

local core, own, finish, on_partner_contact;
local shown = setmetatable({}, { __mode = "k" }); -- roster -> the list that it was made from
local queue, first = {}, 1; -- what open sessions must still be told

local function fill(event)
	local roster = event.roster;
	for key in pairs(roster) do
		if key then roster[key] = nil; end
	end
	local list = core.contacts:list(event.username);
	for address, item in pairs(list.items) do roster[address] = item; end
	roster[event.username .. "@" .. module.host] = nil;
	-- A client that holds an older version must get the list again (RFC 6121, 2.6): the version is made from the content.
	roster[false] = { version = list.version; pending = {} };
	shown[roster] = list;
end

local function sessions_of(username)
	local user = prosody.hosts[module.host].sessions[username];
	return user and user.sessions or {};
end

-- Sends the presence of all sessions of one person to another one, or that they are gone.
local function show_presence(from_address, to_address, gone)
	for _, session in pairs(sessions_of((jid_split(from_address)))) do
		if session.presence then
			local presence = gone and st.presence({ type = "unavailable"; from = session.full_jid }) or st.clone(session.presence);
			presence.attr.to = to_address;
			own[presence] = true;
			module:send(presence, session);
		end
	end
end

local function tell(job)
	local user = prosody.hosts[module.host].sessions[job.username];
	if not (user and user.roster) then return; end
	-- The roster is the truth: when two changes follow each other, the second one is told twice and the first never.
	roster_push(job.username, module.host, job.address);
	if job.kind == "changed" then return; end
	local gone = user.roster[job.address] == nil;
	if select(2, jid_split(job.address)) == module.host then
		show_presence(job.address, job.username .. "@" .. module.host, gone);
	else
		on_partner_contact(job.username, job.address, gone);
	end
end

-- What goes wrong for one person must not keep the others from being told.
local function guarded(action, ...)
	local ok, err = pcall(action, ...);
	if not ok then module:log("error", "An open session could not be told of the new policy: %s", err); end
end

local function close_strangers()
	for username, user in pairs(prosody.hosts[module.host].sessions) do
		if core.policy and not core.policy:valid(username, core.now()) then
			for _, session in pairs(user.sessions) do
				guarded(session.close, session, { condition = "not-authorized"; text = "This account is not among the people of this site today" });
			end
		end
	end
end

local running = false;

local function work()
	local deadline = time_now() + SLICE;
	while first <= #queue do
		local job = queue[first];
		queue[first], first = false, first + 1;
		guarded(tell, job);
		if time_now() > deadline then return 0; end
	end
	queue, first, running = {}, 1, false;
	close_strangers();
	guarded(finish);
	return nil;
end

-- The list that a roster was made from; after this module was loaded anew, what the roster itself says.
local function origin_of(roster)
	if shown[roster] then return shown[roster]; end
	local names = {};
	for address in pairs(roster) do
		if address then names[address] = ""; end
	end
	return { names = names };
end

--- Brings all rosters in line with core.contacts, at once; open sessions are told in slices.
function M.refresh()
	local host = prosody.hosts[module.host];
	host.roster_cache = nil; -- made again by the roster manager
	for username, user in pairs(host.sessions) do
		local roster = user.roster;
		if roster then
			local old, new = origin_of(roster), core.contacts:list(username);
			local step = core.contacts:step(old, new);
			shown[roster] = new;
			roster[false].version = new.version;
			for kind, addresses in pairs(step) do
				for _, address in ipairs(addresses) do
					if address ~= username .. "@" .. module.host then
						roster[address] = new.items[address];
						queue[#queue + 1] = { username = username; address = address; kind = kind };
					end
				end
			end
		end
	end
	if running then return; end
	running = true;
	-- While the server starts, what comes last must wait for the other modules.
	if #queue > 0 or not core.active then module:add_timer(0, work); else work(); end
end

--- @return how many notices have not been sent yet
function M.pending()
	return #queue - first + 1;
end

--- @param shared the core of the decision point
-- @param marks  weak table of the presence that this library sends itself
-- @param done   called when everybody has been told
-- @param foreign called for each contact at a partner that comes into or leaves a list: function(username, address, gone)
function M.start(shared, marks, done, foreign)
	core, own, finish, on_partner_contact = shared, marks, done, foreign;
	-- Last, so that nothing another module added stays.
	module:hook("roster-load", fill, -1000);
end

return M;

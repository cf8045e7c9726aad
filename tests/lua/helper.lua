-- SPDX-License-Identifier: GPL-3.0-or-later
-- Loads the pure libraries of the decision point as Prosody's module:require would. Run: busted tests/lua

local here = debug.getinfo(1, "S").source:match("^@(.*)helper%.lua$");
local root = here .. "../../roles/im_server/files/prosody-modules/";

local M = { null = setmetatable({}, { __tostring = function() return "null"; end }) };

function M.load(name, library)
	local around = { module = { require = function(_, other) return M.load(name, other); end } };
	return assert(loadfile(root .. "mod_" .. name .. "/" .. library .. ".lib.lua", "t", setmetatable(around, { __index = _G })))();
end

-- A small site: staff and board do not see each other and share the hall; dora's time is over, fred's has not come.
function M.document()
	return {
		format = 2; kit = "0.1.0"; site = "test"; profile = "internal";
		domain = "im.x"; rooms_domain = "rooms.im.x"; files_domain = "files.im.x";
		people = {
			alice = { name = "Alice"; groups = { "staff" }; from = M.null; ["until"] = M.null };
			bob = { name = "Bob"; groups = { "staff" }; from = M.null; ["until"] = M.null };
			carl = { name = "Carl"; groups = { "board" }; from = M.null; ["until"] = M.null };
			dora = { name = "Dora"; groups = { "staff" }; from = M.null; ["until"] = "2026-07-01T00:00:00Z" };
			fred = { name = "Fred"; groups = { "staff" }; from = "2026-07-02T00:00:00Z"; ["until"] = M.null };
			loner = { name = "Loner"; groups = {}; from = M.null; ["until"] = M.null };
		};
		groups = {
			staff = { title = "Staff"; sees = { "staff" } };
			board = { title = "Board"; sees = { "board" } };
		};
		rooms = {
			staff = { title = "Staff"; groups = { "staff" } };
			board = { title = "Board"; groups = { "board" } };
			hall = { title = "Hall"; groups = { "staff", "board" } };
		};
		calls = "refuse"; partners = {}; partner_links = "refuse"; rates = { messages_per_minute = 60; burst = 30 };
	};
end

-- Its external server: alice and bob may use it, alice alone may talk to partner.x (carol only), both to whole.x;
-- past.x is over, next.x has not begun.
function M.external_document()
	local function partner(over)
		local made = {
			name = "Partner Ltd"; from = M.null; ["until"] = "2026-08-01T00:00:00Z"; people = { "alice" };
			contacts = { carol = "Carol Dahl" }; whole_domain = false; authority = M.null; fingerprints = {}; servers = {};
		};
		for key, value in pairs(over or {}) do made[key] = value; end
		return made;
	end
	return {
		format = 2; kit = "0.1.0"; site = "test"; profile = "external"; domain = "ext.x"; rooms_domain = M.null; files_domain = M.null;
		people = {
			alice = { name = "Alice"; groups = {}; from = M.null; ["until"] = "2026-07-10T12:30:00Z" };
			bob = { name = "Bob"; groups = {}; from = M.null; ["until"] = M.null };
			dora = { name = "Dora"; groups = {}; from = M.null; ["until"] = "2026-07-01T00:00:00Z" };
			["probe-a"] = { name = "Probe A"; groups = { "probes" }; from = M.null; ["until"] = M.null };
		};
		groups = { probes = { title = "Probes"; sees = { "probes" } } };
		rooms = {}; calls = "refuse"; partner_links = "refuse"; rates = { messages_per_minute = 60; burst = 30 };
		partners = {
			["partner.x"] = partner({ people = { "alice", "dora" } });
			["whole.x"] = partner({ name = "Whole"; people = { "alice", "bob" }; whole_domain = true; contacts = { kim = "Kim" } });
			["past.x"] = partner({ ["until"] = "2026-07-01T00:00:00Z" });
			["next.x"] = partner({ from = "2026-07-02T08:00:00Z" });
		};
	};
end

M.now = "2026-07-01T12:00:00Z";

local function compiled(data, change)
	if change then change(data); end
	return M.load("sallyport", "policy").compile(data, M.null);
end

function M.policy(change) return compiled(M.document(), change); end

function M.external_policy(change) return compiled(M.external_document(), change); end

return M;

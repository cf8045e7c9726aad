-- SPDX-License-Identifier: GPL-3.0-or-later
-- Loads the pure libraries of the decision point as Prosody's module:require would. Run: busted tests/lua

local here = debug.getinfo(1, "S").source:match("^@(.*)helper%.lua$");
local root = here .. "../../roles/im_server/files/prosody-modules/";

local M = { null = setmetatable({}, { __tostring = function() return "null"; end }) };

function M.load(module, library)
	return assert(loadfile(root .. "mod_" .. module .. "/" .. library .. ".lib.lua"))();
end

-- A small site: staff and board do not see each other and share the hall; dora's time is over, fred's has not come.
function M.document()
	return {
		format = 1; kit = "0.1.0"; site = "test"; domain = "im.x"; rooms_domain = "rooms.im.x"; files_domain = "files.im.x";
		people = {
			alice = { name = "Alice"; groups = { "staff" }; from = M.null; ["until"] = M.null };
			bob = { name = "Bob"; groups = { "staff" }; from = M.null; ["until"] = M.null };
			carl = { name = "Carl"; groups = { "board" }; from = M.null; ["until"] = M.null };
			dora = { name = "Dora"; groups = { "staff" }; from = M.null; ["until"] = "2026-06-30" };
			fred = { name = "Fred"; groups = { "staff" }; from = "2026-07-02"; ["until"] = M.null };
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
		calls = "refuse";
	};
end

M.today = "2026-07-01";

function M.policy(change)
	local data = M.document();
	if change then change(data); end
	return M.load("sallyport", "policy").compile(data, M.null);
end

return M;

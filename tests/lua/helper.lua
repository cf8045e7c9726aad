-- SPDX-License-Identifier: GPL-3.0-or-later
-- Loads the pure libraries of the decision point as Prosody's module:require would. Run: busted tests/lua

local here = debug.getinfo(1, "S").source:match("^@(.*)helper%.lua$");
local root = here .. "../../roles/im_server/files/prosody-modules/";

local M = { null = setmetatable({}, { __tostring = function() return "null"; end }) };

function M.load(name, library)
	local path = root .. "mod_" .. name .. "/" .. library .. ".lib.lua";
	local around = setmetatable({ module = { require = function(_, other) return M.load(name, other); end } }, { __index = _G });
	local chunk = assert(loadfile(path, "t", around));
	-- busted may run on Lua 5.1, which has another way to say it
	local set_environment = rawget(_G, "setfenv");
	if set_environment then set_environment(chunk, around); end
	return chunk();
end

local stanzas = {};
stanzas.__index = stanzas;

function stanzas:__tostring()
	local text = "<" .. self.name;
	for name, value in pairs(self.attr) do text = text .. (" %s='%s'"):format(name, value); end
	text = text .. ">";
	for _, child in ipairs(self) do text = text .. tostring(child); end
	return text .. "</" .. self.name .. ">";
end

function stanzas:get_text()
	return #self.tags == 0 and table.concat(self) or nil;
end

function stanzas:get_child(name, xmlns)
	for _, child in ipairs(self.tags) do
		if child.name == name and child.attr.xmlns == (xmlns or self.attr.xmlns) then return child; end
	end
end

function stanzas:get_child_text(name)
	local child = self:get_child(name);
	return child and child:get_text();
end

--- An element as Prosody's parser makes it: each child in another namespace than the stream's names it.
-- @param what "name" or "name namespace"
-- @param ...  attributes as a table, texts, elements
function M.element(what, ...)
	local name, xmlns = what:match("^(%S+)%s*(%S*)$");
	local made = setmetatable({ name = name; attr = {}; tags = {} }, stanzas);
	for _, part in ipairs({ ... }) do
		if type(part) == "table" and getmetatable(part) ~= stanzas then
			for key, value in pairs(part) do made.attr[key] = value; end
		else
			made[#made + 1] = part;
			if type(part) == "table" then made.tags[#made.tags + 1] = part; end
		end
	end
	if xmlns ~= "" then made.attr.xmlns = xmlns; end
	return made;
end

-- A small site: staff and board do not see each other and share the hall; dora's time is over, fred's has not come.
function M.document()
	return {
		format = 3; kit = "0.1.0"; site = "test"; profile = "internal";
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
		body = "full"; end_to_end_encryption = "forbid"; notice = ""; rules = {}; lists = {}; names = {}; zone = { { "1970-01-01T00:00:00Z", 0 } };
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
		format = 3; kit = "0.1.0"; site = "test"; profile = "external"; domain = "ext.x"; rooms_domain = M.null; files_domain = M.null;
		people = {
			alice = { name = "Alice"; groups = {}; from = M.null; ["until"] = "2026-07-10T12:30:00Z" };
			bob = { name = "Bob"; groups = {}; from = M.null; ["until"] = M.null };
			dora = { name = "Dora"; groups = {}; from = M.null; ["until"] = "2026-07-01T00:00:00Z" };
			["probe-a"] = { name = "Probe A"; groups = { "probes" }; from = M.null; ["until"] = M.null };
		};
		groups = { probes = { title = "Probes"; sees = { "probes" } } };
		rooms = {}; calls = "refuse"; partner_links = "refuse"; rates = { messages_per_minute = 60; burst = 30 };
		body = "full"; end_to_end_encryption = "forbid"; notice = ""; rules = {}; lists = {}; names = {}; zone = { { "1970-01-01T00:00:00Z", 0 } };
		partners = {
			["partner.x"] = partner({ people = { "alice", "dora" } });
			["whole.x"] = partner({ name = "Whole"; people = { "alice", "bob" }; whole_domain = true; contacts = { kim = "Kim" } });
			["past.x"] = partner({ ["until"] = "2026-07-01T00:00:00Z" });
			["next.x"] = partner({ from = "2026-07-02T08:00:00Z" });
		};
	};
end

--- A rule of the document, with what is given.
function M.rule(over)
	local made = {
		id = "rule"; reason = "No."; action = "refuse"; directions = { "inside", "in", "out" }; from = M.null; to = M.null; to_rooms = {};
		hours = {}; rate = M.null; keywords = {}; keyword_lists = {}; patterns = {}; validators = {}; blocked = {}; blocked_lists = {};
		lookalike = false; lying = false; extensions = {}; media_types = {};
	};
	for key, value in pairs(over) do made[key] = value; end
	return made;
end

--- 5,000 ordinary sentences, which no rule of a site should meet.
function M.sentences() return dofile(here .. "sentences.lua"); end

--- Something that remembers as Prosody's util.cache does, and forgets nothing.
function M.cache()
	local known = {};
	return { get = function(_, key) return known[key]; end; set = function(_, key, value) known[key] = value; end };
end

M.now = "2026-07-01T12:00:00Z";

local function compiled(data, change)
	if change then change(data); end
	return M.load("sallyport", "policy").compile(data, M.null);
end

function M.policy(change) return compiled(M.document(), change); end

function M.external_policy(change) return compiled(M.external_document(), change); end

return M;

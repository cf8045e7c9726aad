-- SPDX-License-Identifier: GPL-3.0-or-later
-- Made by Sallyport; what is changed here by hand is undone by the next run.
--
-- Finds in a Prosody configuration what `prosodyctl check config` lets pass: settings that no part of the server
-- reads (a misspelt "c2s_require_encrytion" would be silently without effect) and modules that are not installed.
-- Usage: lua5.4 check-config.lua [/etc/prosody/prosody.cfg.lua]; exit status 1 and a line for each fault.

local config_file = arg[1] or "/etc/prosody/prosody.cfg.lua";
local source = "/usr/lib/prosody";
local lfs = require "lfs";

-- Ports, addresses and TLS of a service are settings by the service's name (Prosody's core/portmanager).
local services = { c2s = true; c2s_direct_tls = true; s2s = true; s2s_direct_tls = true; http = true; https = true };
local service_settings = { ports = true; interfaces = true; ssl = true };
-- Read by Prosody while it reads the configuration itself, in ways that the patterns below do not see.
local known = { modules_enabled = true; modules_disabled = true; component_module = true };

local faults = {};
local function fault(text, ...) faults[#faults + 1] = config_file .. ": " .. text:format(...); end

local function read(path)
	local file, err = io.open(path);
	if not file then return nil, err; end
	local content = file:read("a");
	file:close();
	return content;
end

-- Every .lua file under a directory, as { path, ... }; nothing if there is no such directory.
local function lua_files(directory, found)
	found = found or {};
	if lfs.attributes(directory, "mode") ~= "directory" then return found; end
	for name in lfs.dir(directory) do
		local path = directory .. "/" .. name;
		if name:sub(1, 1) ~= "." and lfs.attributes(path, "mode") == "directory" then
			lua_files(path, found);
		elseif name:find("%.lua$") then
			found[#found + 1] = path;
		end
	end
	return found;
end

-- Notes the settings that a file of Lua source reads; `name` is the module's, for settings that begin with it.
local function note_settings(path, name)
	local content = read(path) or "";
	for setting in content:gmatch("get_option[%w_]*%(%s*\"([%w_]+)\"") do known[setting] = true; end
	for setting in content:gmatch("get%(%s*[%w_\"*]+%s*,%s*\"([%w_]+)\"") do known[setting] = true; end
	for suffix in content:gmatch("module%.name%s*%.%.%s*\"([%w_]+)\"") do known[name .. suffix] = true; end
end

-- The configuration, read as Prosody reads it: assignments belong to the section that they stand in.
local settings, modules, plugin_paths = {}, {}, {};
local function note_module(section, name) modules[name] = modules[name] or section; end
local section = "the global section";
local environment = setmetatable({}, {
	__newindex = function(_, setting, value)
		settings[setting] = settings[setting] or section;
		if setting == "modules_enabled" then
			for _, name in ipairs(value) do note_module(section, name); end
		elseif setting == "authentication" or setting == "storage" then
			note_module(section, (setting == "storage" and "storage_" or "auth_") .. value);
		elseif setting == "plugin_paths" then
			plugin_paths = value;
		end
	end;
});
rawset(environment, "VirtualHost", function(host) section = "VirtualHost " .. host; end);
rawset(environment, "Component", function(host)
	section = "Component " .. host;
	return function(name) note_module(section, name); end;
end);
local chunk, syntax_error = loadfile(config_file, "t", environment);
if not chunk then
	io.stderr:write(syntax_error, "\n");
	os.exit(1);
end
chunk();

-- A module lies flat (mod_x.lua), in a folder of its own (mod_x/mod_x.lua) or in its family's (muc/mod_muc_mam.lua).
local directories = { source .. "/modules" };
for _, path in ipairs(plugin_paths) do table.insert(directories, 1, path); end
local function locate(name)
	for _, directory in ipairs(directories) do
		local family = name:match("^[^_]+");
		local places = { "mod_" .. name .. ".lua", "mod_" .. name .. "/mod_" .. name .. ".lua",
			name .. "/mod_" .. name .. ".lua", family .. "/mod_" .. name .. ".lua" };
		for _, place in ipairs(places) do
			if lfs.attributes(directory .. "/" .. place, "mode") == "file" then return directory .. "/" .. place; end
		end
	end
	return nil;
end

for _, part in ipairs { "core", "util", "net" } do
	for _, path in ipairs(lua_files(source .. "/" .. part)) do note_settings(path, ""); end
end
-- Modules that come with Prosody load each other; of all other modules only those count that are named.
for _, path in ipairs(lua_files(source .. "/modules")) do
	local name = path:match("/modules/mod_([%w_]+)%.lua$") or path:match("/modules/%l+/mod_([%w_]+)%.lua$")
		or path:match("/modules/muc/([%w_]+)%.lib%.lua$");
	if name then note_settings(path, name); end
end
for name, where in pairs(modules) do
	local path = locate(name);
	if not path then
		fault("module %q in %s is not installed (looked in %s)", name, where, table.concat(directories, ", "));
	else
		note_settings(path, name);
		local folder = path:match("^(.*/mod_[%w_]+)/[^/]+$");
		for _, part in ipairs(folder and lua_files(folder) or {}) do note_settings(part, name); end
	end
end

for setting, where in pairs(settings) do
	local service, what = setting:match("^(.+)_(%l+)$");
	if not known[setting] and not (services[service] and service_settings[what]) then
		fault("setting %q in %s is read by no part of the server: is it misspelt?", setting, where);
	end
end

table.sort(faults);
for _, line in ipairs(faults) do io.stderr:write(line, "\n"); end
os.exit(#faults == 0);

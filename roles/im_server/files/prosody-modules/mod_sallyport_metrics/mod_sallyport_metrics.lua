-- SPDX-License-Identifier: GPL-3.0-or-later
-- What Prosody's own metrics (mod_http_openmetrics) lack: the memory of the process, and who is signed in.

module:set_global();
module:depends("http_openmetrics");

local PAGE = 4096; -- of x86-64, in which statm counts; see proc_pid_statm(5)

local memory = module:metric("gauge", "resident_memory", "bytes", "Memory of the server's process"):with_labels();
local sessions = module:metric("gauge", "sessions", "", "Devices that are signed in"):with_labels();

local function resident()
	local file = io.open("/proc/self/statm");
	local pages = file and file:read("a"):match("^%d+ (%d+)");
	if file then file:close(); end
	-- not a number: what cannot be read is not small
	return pages and tonumber(pages) * PAGE or 0/0;
end

module:hook("stats-update", function ()
	memory:set(resident());
	local count = 0;
	for _ in pairs(prosody.full_sessions) do count = count + 1; end
	sessions:set(count);
end);

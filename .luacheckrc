std = "lua54"
cache = false
max_line_length = 140
globals = { "module" }
-- the roster manager keeps its cache on the host and offers no call to empty it
read_globals = { prosody = { other_fields = true, fields = { hosts = { read_only = false, other_fields = true } } } }
files["tests/lua"] = { std = "+busted", max_line_length = false }
exclude_files = { "**/prosody.cfg.lua" } -- a configuration, not a program

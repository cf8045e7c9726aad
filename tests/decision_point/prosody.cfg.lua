-- A server for the tests of the decision point only: no TLS, everything else as a site has it.
-- The real configuration is the role's.
plugin_paths = { "/usr/local/lib/sallyport/prosody-modules" }
modules_enabled = {
	"roster", "saslauth", "disco", "carbons", "pep", "vcard4", "vcard_legacy", "bookmarks", "blocklist", "mam", "smacks",
	"csi_simple", "ping", "time", "version", "uptime", "offline", "admin_shell", "user_account_management",
	"invites", "invites_register", "lastactivity", "password_policy",
}
modules_disabled = { "s2s" }
c2s_require_encryption = false
s2s_require_encryption = false
authentication = "sallyport"
password_hash = "SHA-256"
-- as a site has it, except that these tests have no TLS
disable_sasl_mechanisms = {
	"PLAIN"; "LOGIN"; "DIGEST-MD5"; "SCRAM-SHA-1"; "SCRAM-SHA-1-PLUS"; "OAUTHBEARER"; "EXTERNAL"; "ANONYMOUS";
}
default_iteration_count = 4096
storage = "internal"
archive_expires_after = "1w"
default_archive_policy = true
smacks_hibernation_time = 60
c2s_interfaces = { "*" }
c2s_stanza_size_limit = 65536
http_ports = { 5280 }
http_interfaces = { "*" }
http_max_content_size = 65536
https_ports = { }
trusted_proxies = { }
component_ports = { 5347 }
component_interfaces = { "*" }
sallyport_sign_in_attempts = 10
sallyport_sign_in_lockout = 8
sallyport_sign_in_address_attempts = 40
sallyport_sessions = 8
log = { info = "/var/log/prosody/prosody.log" }
pidfile = "/run/prosody/prosody.pid"

VirtualHost "im.test.example"
	modules_enabled = { "sallyport", "sallyport_invitation" }
	invites_page = "http://im.test.example:5280/invitation?{invite.token}"
	password_policy = { length = 12, exclude_username = true }

Component "rooms.im.test.example" "muc"
	modules_enabled = { "muc_mam", "sallyport" }
	restrict_room_creation = true
	muc_log_by_default = true

Component "files.im.test.example" "sallyport_files"
	modules_enabled = { "sallyport" }
	http_file_share_size_limit = 10485760
	http_file_share_daily_quota = 2147483648

-- Stands for a foreign domain: an external component, whose stanzas arrive like those of another server.
Component "foreign.example"
	component_secret = "test"

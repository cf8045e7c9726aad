-- A plain server that receives the alerts by IM, and counts.
pidfile = "/run/prosody/prosody.pid"
plugin_paths = { "/kit/roles/im_server/files/prosody-modules" }
interfaces = { "127.0.0.1" }
c2s_ports = { }
c2s_direct_tls_ports = { 5223 }
https_ports = { 5281 }
http_ports = { }
storage = "internal"
log = { info = "/var/log/prosody/prosody.log" }
certificates = "certs"
authentication = "internal_hashed"
password_hash = "SHA-256"
statistics = "internal"
statistics_interval = "manual"
openmetrics_allow_ips = { "127.0.0.1" }
modules_enabled = { "disco", "roster", "saslauth", "tls", "ping", "offline", "admin_shell", "sallyport_metrics" }
modules_disabled = { "s2s" }
VirtualHost "im.test.example"

-- SPDX-License-Identifier: GPL-3.0-or-later
-- Does a certificate prove that this is the partner's server? By what the partner's own entry says, and by nothing else:
-- the fingerprints of its certificate, or its own authority, or else Debian's list of authorities.
-- LuaSec's issued() verifies dates and the CA bit of the whole chain, and takes old hashes and short keys: hence is_weak.

local load_certificate = require "ssl".loadcertificate;
local verify_identity = require "prosody.util.x509".verify_identity;

local documents = module:require "document";

local M = {};

local authorities = setmetatable({}, { __mode = "k" }); -- partner -> its authority's certificates

--- Can this text (PEM, one certificate) be read?
function M.readable(pem)
	return load_certificate(pem) ~= nil;
end

local function authority_of(partner)
	local known = authorities[partner];
	if not known then
		known = {};
		for _, pem in ipairs(documents.certificates(partner.authority) or {}) do known[#known + 1] = load_certificate(pem); end
		authorities[partner] = known;
	end
	return known;
end

local function is_weak(cert)
	local hash = cert:getsignaturename():lower();
	local _, kind, bits = cert:pubkey();
	return hash:find("md5", 1, true) or hash:find("sha1", 1, true) or bits and bits < (kind == "RSA" and 2048 or 224);
end

-- Is there a way from this certificate to one of the partner's own authority, over certificates that are sound as well?
local function is_issued(partner, cert, shown)
	local own, between = authority_of(partner), {};
	for _, one in ipairs(shown) do between[#between + 1] = one; end
	for _, one in ipairs(own) do between[#between + 1] = one; end
	for _, one in ipairs(between) do
		if is_weak(one) and not one:issued(one) then return false; end
	end
	for _, root in ipairs(own) do
		if root:issued(cert, table.unpack(between)) then return true; end
	end
	return false;
end

local function is_from_debians_list(session)
	return session.cert_chain_status == "valid";
end

--- Judges the certificate of a stream.
-- @param partner its entry in the policy
-- @param domain  its domain
-- @param session the stream; mod_s2s_auth_certs has noted what Debian's list says
-- @param cert    what the other server has shown, or nil
-- @return true, or nil and what is wrong, to be read after "certificate "
function M.check(partner, domain, session, cert)
	if not cert then return nil, "is missing"; end
	if not cert:validat(os.time()) then return nil, "has expired or is not valid yet"; end
	if partner.pinned then
		if partner.fingerprints[cert:digest("sha256"):lower()] then return true; end
		return nil, "is not the one that was agreed upon";
	end
	if is_weak(cert) then return nil, "uses a hash or a key that is too weak"; end
	if partner.authority then
		local shown = session.conn:socket():getpeerchain() or {};
		if not is_issued(partner, cert, shown) then return nil, "was not issued by the partner's own authority"; end
	elseif not is_from_debians_list(session) then
		return nil, "is not trusted";
	end
	if not verify_identity(domain, "xmpp-server", cert) then return nil, "is not valid for this name"; end
	return true;
end

--- What a stream was trusted for; when it changes, streams are verified anew.
function M.trust(partner)
	local pins = {};
	for fingerprint in pairs(partner.fingerprints) do pins[#pins + 1] = fingerprint; end
	table.sort(pins);
	return table.concat(pins, " ") .. "\0" .. (partner.authority or "");
end

return M;

-- SPDX-License-Identifier: GPL-3.0-or-later
local helper = dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "./") .. "helper.lua");
local links = helper.load("sallyport", "links");

local function element(name, attr, ...) return { name = name; attr = attr or {}; ... }; end
local function body(text) return element("message", {}, element("body", {}, text)); end

-- A stand-in for IDNA: this one foreign name is the partner's.
local function ascii(host)
	if host == "pärtner.example" then return "xn--prtner-bua.example"; end
	return host:find("^[a-z0-9.-]+$") and host or nil;
end

local function found(stanza, domain) return links.found(stanza, { domain or "partner.example", "hoster.example" }, ascii); end

describe("links in what a partner writes", function()
	for _, text in ipairs({
		"https://partner.example/a.exe", "see HTTP://PARTNER.EXAMPLE/a", "http://files.partner.example:8443/x",
		"https://good.example@files.partner.example/x", "https://a(b@partner.example", "https:\\\\partner.example\\x",
		"https:/partner.example/x", "ftp://partner.example", "https://partner.example.", "https://partner.example, and",
		"(https://partner.example)", "https://partner%2Eexample/x", "https://pa\226\128\139rtner.example/x",
		"https://partner.example\226\128\139and so on", "https://partner\227\128\130example/x",
		"https\239\188\154//partner.example/x", "one https://good.example two https://partner.example",
		"https://partner.example\nnext line", "aesgcm://elsewhere.example/x#key", "AESGCM://x",
		"https:partner.example/x", "see https:partner.example", "http:files.partner.example", "view-source:https:partner.example",
		"partner.example/a.exe", "get files.partner.example/a", "(partner.example/a)", "partner.example:8443/a", "partner.example\\a",
		"//partner.example/a", "carol@partner.example/a", "PARTNER.example/a", "partner%2Eexample/a", "partner.example./a",
		"www.partner.example", "see www.partner.example.", "www.files.partner.example", "https://good.example/ partner.example/x",
		"\231\156\139partner.example/a", "\194\171www.partner.example\194\187", "pa\226\128\139rtner.example/x", "see:partner.example/a",
		"\194\171https://partner.example\194\187", "https://partner.example\226\128\166", "\226\128\156partner.example/x\226\128\157",
		"https://hoster.example/x", "https://files.hoster.example/x", "files.hoster.example/x", "https:hoster.example", "www.hoster.example",
		"https://127.0.0.2/x.exe", "https://10.1.2.3", "http:10.1.2.3/x", "see HTTPS://user@127.1:8443/x", "http://2130706433/", "http://0x7f000001",
		"https://0x7f.0.0.1./x", "http://0177.0.0.1", "https://127%2E0.0.1/x", "https://[::1]/x", "https://[2001:db8::1]:8443/x", "https:[::1]",
		"smb://10.0.0.1/share/x", "ftp://10.0.0.1", "https://127\227\128\1300.0.1/x", "get 10.0.0.1/x.exe", "10.0.0.1:8080/x", "10.0.0.1/8/x",
		"data:text/html;base64,PGI+", "see DATA:application/x-msdownload,MZ", "data:,x", "data:;base64,TVo=",
	}) do
		it(("are found: %q"):format(text), function() assert.is_true(found(body(text))); end);
	end

	for _, text in ipairs({
		"the net 10.0.0.0/8", "10.0.0.0/24.", "version 1.2.3.4", "1.2.3/4", "10.0.0.1:5222", "so:/ 4", "12:/30", "https://4.example/x",
		"https://[see below]", "https://example.4a/x", "ping 10.0.0.1", "1/2", "https://1.2.3.4.example/x",
		"no link at all", "partner.example", "https://good.example/partner.example", "https://mypartner.example/x",
		"https://partner.example.org/x", "https://good.example/?u=https%3A%2F%2Fpartner.example", "mail carol@partner.example",
		"xmpp:carol@partner.example", "https://", "12:30 // fine", "https://good.example/partner.example/x",
		"https://good.example/a?u=partner.example/x", "mypartner.example/x", "partner.example.org/x", "www.mypartner.example",
		"www.good.example/x", "the example/x of partner.example", "either/or", "partner.example: fine", "partner.example:5222",
		"xmpp:carol@partner.example?message", "files.hoster.example", "https://myhoster.example/x", "data: 5", "the data:1, 2", "https://partner.example\195\164.org",
	}) do
		it(("are not found: %q"):format(text), function() assert.is_false(found(body(text))); end);
	end

	it("are found in every body and deep inside", function()
		local link = "https://partner.example/x";
		assert.is_true(found(element("message", {}, element("body", {}, "fine"), element("body", { ["xml:lang"] = "de" }, link))));
		assert.is_true(found(element("message", {}, element("html", {}, element("a", { href = link }, "click")))));
		assert.is_true(found(element("message", {}, element("a", { href = "ht\ntps://partner.example" }))));
		local deep = element("body", {}, link);
		for _ = 1, 20000 do deep = element("forwarded", {}, deep); end
		assert.is_true(found(deep));
		local hollow = element("body", {}, "fine");
		for _ = 1, 20000 do hollow = element("forwarded", {}, hollow); end
		assert.is_false(found(hollow));
	end);

	it("are found without a scheme in what is an address, and not where it may be somebody's", function()
		assert.is_true(found(element("message", {}, element("a", { href = "files.partner.example/x" }, "click"))));
		assert.is_false(found(element("message", { from = "carol@partner.example/x" }, element("reply", { to = "carol@partner.example/x" }))));
		assert.is_true(found(element("message", {}, element("reply", { to = "https:partner.example/x" }))));
	end);

	it("are found when they are files by their kind, whatever they point to", function()
		for _, xmlns in ipairs({ "jabber:x:oob", "urn:xmpp:sims:1", "urn:xmpp:sfs:0", "urn:xmpp:esfs:0" }) do
			assert.is_true(found(element("message", {}, element("x", { xmlns = xmlns }, element("url", {}, "https://good.example/x")))));
		end
	end);

	it("are found in both spellings of a foreign name", function()
		assert.is_true(found(body("https://pärtner.example/x"), "pärtner.example"));
		assert.is_true(found(body("https://xn--prtner-bua.example/x"), "pärtner.example"));
		assert.is_true(found(body("pärtner.example/x"), "pärtner.example"));
		assert.is_true(found(body("xn--prtner-bua.example/x"), "pärtner.example"));
		assert.is_true(found(body("https://a.xn--prtner-bua.example/x"), "pärtner.example"));
		assert.is_false(found(body("https://xn--prtner-bua.example/x")));
	end);
end);

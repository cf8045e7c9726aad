-- SPDX-License-Identifier: GPL-3.0-or-later
local helper = dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "./") .. "helper.lua");
local payloads = helper.load("sallyport", "payloads");

local function element(name, xmlns, ...) return { name = name; attr = { xmlns = xmlns }; tags = { ... } }; end
local function permitted(...) return payloads.permitted(element("message", nil, ...)); end

local XHTML = "http://www.w3.org/1999/xhtml";
local FALLBACK = "urn:xmpp:fallback:0";

describe("what a message across the border carries", function()
	for _, case in ipairs({
		{ "body" }, { "subject" }, { "thread" }, { "active", "http://jabber.org/protocol/chatstates" }, { "request", "urn:xmpp:receipts" },
		{ "displayed", "urn:xmpp:chat-markers:0" }, { "replace", "urn:xmpp:message-correct:0" }, { "retract", "urn:xmpp:message-retract:1" },
		{ "delay", "urn:xmpp:delay" }, { "origin-id", "urn:xmpp:sid:0" }, { "store", "urn:xmpp:hints" },
		{ "reply", "urn:xmpp:reply:0" }, { "attention", "urn:xmpp:attention:0" }, { "nick", "http://jabber.org/protocol/nick" },
	}) do
		local name, xmlns = case[1], case[2];
		it(("may be %s, with nothing in it"):format(name), function()
			assert.is_true(permitted(element(name, xmlns)));
			assert.is_true(permitted(element("body"), element(name, xmlns)));
			assert.is_false(permitted(element(name, xmlns, element("x", "urn:x"))));
			assert.is_false(permitted(element(name, xmlns, element(name, xmlns))));
			assert.is_false(permitted(element(name, xmlns, element("body"))));
			assert.is_false(permitted(element(name, "urn:x")));
		end);
	end

	it("may come with what is taken off before it is delivered", function()
		for name, xmlns in pairs({ ["no-store"] = "urn:xmpp:hints"; ["stanza-id"] = "urn:xmpp:sid:0" }) do
			assert.is_true(permitted(element("body"), element(name, xmlns)));
			assert.is_false(permitted(element("body"), element(name, xmlns, element("x", "urn:x"))));
		end
	end);

	it("may have in it what its format has", function()
		local reactions, oob = "urn:xmpp:reactions:0", "jabber:x:oob";
		assert.is_true(permitted(element("reactions", reactions, element("reaction", reactions), element("reaction"))));
		assert.is_true(permitted(element("fallback", FALLBACK, element("body", FALLBACK))));
		assert.is_true(permitted(element("x", oob, element("url", oob), element("desc", oob))));
		assert.is_true(permitted(element("apply-to", "urn:xmpp:fasten:0", element("retract", "urn:xmpp:message-retract:0"))));
		local words = element("p", XHTML, element("strong", XHTML, element("a", XHTML), element("br", XHTML)));
		assert.is_true(permitted(element("html", "http://jabber.org/protocol/xhtml-im", element("body", XHTML, words))));
	end);

	it("has nothing else in it, however deep", function()
		local words = element("p", XHTML, element("strong", XHTML, element("script", XHTML)));
		local foreign = element("p", XHTML, element("strong", XHTML, element("x", "urn:x")));
		for _, inner in ipairs({ words, foreign, element("body", XHTML) }) do
			assert.is_false(permitted(element("html", "http://jabber.org/protocol/xhtml-im", element("body", XHTML, inner))));
		end
		assert.is_false(permitted(element("fallback", FALLBACK, element("body", FALLBACK, element("x", "urn:x")))));
		assert.is_false(permitted(element("apply-to", "urn:xmpp:fasten:0", element("external", "urn:x"))));
	end);

	local function formatted(name, attr)
		local inner = element(name, XHTML);
		for key, value in pairs(attr) do inner.attr[key] = value; end
		return element("html", "http://jabber.org/protocol/xhtml-im", element("body", XHTML, element("p", XHTML, inner)));
	end

	it("has formatted text without pictures and scripts, and with known addresses only", function()
		for _, address in ipairs({ "https://news.example/a?b#c", "HTTP://x", "mailto:a@b", "xmpp:a@b?message", " https://x" }) do
			assert.is_true(permitted(formatted("a", { href = address })), address);
		end
		for _, address in ipairs({
			"javascript:alert(1)", "JavaScript:alert(1)", " java\nscript:alert(1)", "\1javascript:1", "vbscript:x", "data:text/html,x", "file:///x",
			"smb://x/y", "ms-word:ofe|u|https://x/y.docx", "//x.example/y", "y.exe", "", "https", ":https://x", "x:https://y", "cid:x",
		}) do
			assert.is_false(permitted(formatted("a", { href = address })), address);
		end
		assert.is_true(permitted(formatted("span", { style = "color: red"; ["xml:lang"] = "de"; title = "x"; class = "y" })));
		for _, name in ipairs({ "onclick", "onmouseover", "src", "cite", "action", "background", "data-x", "urn:x\1href", "HREF" }) do
			assert.is_false(permitted(formatted("span", { [name] = "x" })), name);
		end
		assert.is_false(permitted(formatted("span", { href = "https://x" })));
		assert.is_false(permitted(formatted("img", {})));
		assert.is_false(permitted(formatted("img", { alt = "x" })));
	end);

	for _, case in ipairs({
		{ "x" }, { "x", "urn:x" }, { "encrypted", "eu.siacs.conversations.axolotl" }, { "encrypted", "urn:xmpp:omemo:2" },
		{ "openpgp", "urn:xmpp:openpgp:0" }, { "x", "jabber:x:encrypted" }, { "encryption", "urn:xmpp:eme:0" },
		{ "private", "urn:xmpp:carbons:2" }, { "file-sharing", "urn:xmpp:sfs:0" }, { "reference", "urn:xmpp:reference:0" },
		{ "forwarded", "urn:xmpp:forward:0" }, { "event", "http://jabber.org/protocol/pubsub#event" }, { "x", "jabber:x:data" },
		{ "data", "urn:xmpp:bob" }, { "body", "jabber:client" }, { "body", "jabber:server" }, -- these two the archive would not see
	}) do
		it(("is not %s of %s"):format(case[1], case[2] or "no namespace"), function()
			assert.is_false(permitted(element(case[1], case[2])));
			assert.is_false(permitted(element("body"), element(case[1], case[2])));
		end);
	end
end);

-- SPDX-License-Identifier: GPL-3.0-or-later
local helper = dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "./") .. "helper.lua");
local transfers, published = helper.load("sallyport", "transfers"), helper.load("sallyport", "published");
local e = helper.element;

local FILES = "files.im.x";
local BLOB = ("QUJD"):rep(80);
local XHTML, OOB, BOB, FORM = "http://www.w3.org/1999/xhtml", "jabber:x:oob", "urn:xmpp:bob", "jabber:x:data";
local SHARED, METADATA, URL_DATA = "urn:xmpp:sfs:0", "urn:xmpp:file:metadata:0", "http://jabber.org/protocol/url-data";
local JINGLE, RTP, ICE = "urn:xmpp:jingle:1", "urn:xmpp:jingle:apps:rtp:1", "urn:xmpp:jingle:transports:ice-udp:1";

local function message(...)
	local made = e("message", ...);
	return transfers.message(made, #tostring(made), FILES);
end

local function presence(...)
	local made = e("presence", ...);
	return transfers.presence(made, #tostring(made));
end

local function asks(kind, to_device, payload)
	local made = e("iq", { type = kind; id = "i" }, payload);
	return transfers.question(made, #tostring(made), to_device);
end

local function answers(...)
	local made = e("iq", { type = "result"; id = "i" }, ...);
	return transfers.result(made, #tostring(made));
end

local function formatted(...) return e("html http://jabber.org/protocol/xhtml-im", e("body " .. XHTML, ...)); end

local function shared(source)
	return e("file-sharing " .. SHARED, e("file " .. METADATA, e("name " .. METADATA, "a.png")), e("sources " .. SHARED, source));
end

describe("the site's own files", function()
	for _, url in ipairs({
		"https://files.im.x/file_share/1/a.png", "https://files.im.x:5281/file_share/1/a%20b.png", "https://FILES.im.x/a", " https://files.im.x/a\n",
	}) do
		it(("are at %q"):format(url), function() assert.is_true(transfers.is_own_file(url, FILES)); end);
	end
	for _, url in ipairs({
		"http://files.im.x/a", "https://files.im.x.evil.example/a", "https://evil.example/files.im.x/a", "https://files.im.x@evil.example/a",
		"https://files.im.x:pw@evil.example/a", "https://evil.example#https://files.im.x/a", "https://files.im.x", "files.im.x/a", "",
		"https://files.im.x\\@evil.example/a", "https://files.im.x/a#key", "aesgcm://files.im.x/a", "https://files.im.x:/a", "https:files.im.x/a",
		"https://files.im.x/a b", "https://xfiles.im.x/a", "https://files.im.x./a",
	}) do
		it(("are not at %q"):format(url), function() assert.is_false(transfers.is_own_file(url, FILES)); end);
	end
	it("are nowhere on a server without a files service", function()
		assert.is_false(transfers.is_own_file("https://files.im.x/a", nil));
		assert.is_false(transfers.is_own_file(nil, FILES));
	end);
end);

describe("a message", function()
	it("has words, and what clients add to them", function()
		assert.is_nil(message(e("body", "hello"), e("active http://jabber.org/protocol/chatstates"), e("request urn:xmpp:receipts")));
		assert.is_nil(message(e("x http://jabber.org/protocol/muc#user", e("invite http://jabber.org/protocol/muc#user", { to = "b@im.x" }))));
		assert.is_nil(message(e("x jabber:x:conference", { jid = "staff@rooms.im.x" })));
		assert.is_nil(message(e("reference urn:xmpp:reference:0", { uri = "xmpp:bob@im.x"; type = "mention" })));
		assert.is_nil(message(formatted(e("p " .. XHTML, { style = "color: red" }, "x"))));
		assert.is_nil(message(e("body", "data: 5 and https://news.example/x")));
	end);

	it("has links to the site's own files", function()
		local url = "https://files.im.x/file_share/1/a.png";
		assert.is_nil(message(e("body", url), e("x " .. OOB, e("url " .. OOB, url), e("desc " .. OOB, "x"))));
		assert.is_nil(message(shared(e("url-data " .. URL_DATA, { target = url }))));
		assert.is_nil(message(formatted(e("img " .. XHTML, { src = url }))));
		assert.is_nil(message(e("reference urn:xmpp:reference:0", { uri = url; type = "data" })));
	end);

	local elsewhere = "https://evil.example/a.exe";
	for name, element in pairs({
		["out-of-band data"] = e("x " .. OOB, e("url " .. OOB, elsewhere));
		["out-of-band data without an address"] = e("x " .. OOB, e("url " .. OOB));
		["a shared file"] = shared(e("url-data " .. URL_DATA, { target = elsewhere }));
		["a shared file without an address"] = shared(e("url-data " .. URL_DATA));
		["a picture"] = formatted(e("img " .. XHTML, { src = elsewhere }));
		["a picture without an address"] = formatted(e("img " .. XHTML));
		["a style"] = formatted(e("p " .. XHTML, { style = "background:URL (x)" }));
		["a reference"] = e("reference urn:xmpp:reference:0", { uri = elsewhere });
		["bits"] = e("data " .. BOB, { cid = "c" }, "AA");
		["bits within"] = e("x urn:x", e("data " .. BOB, "AA"));
		["a card"] = e("vCard vcard-temp");
		["something large"] = e("x urn:x", BLOB);
		["a large attribute"] = e("x urn:x", { a = BLOB });
		["something large in something known"] = e("active http://jabber.org/protocol/chatstates", e("x urn:x", BLOB));
		["something of the stream's own"] = e("file", "x");
		["something in words"] = e("body", "x", e("x urn:x"));
		["a data address"] = e("body", "data:text/plain,x");
		["a data address in an attribute"] = e("replace urn:xmpp:message-correct:0", { id = "data:;base64,AA" });
		["a key"] = e("body", "aesgcm://x");
		["a file over Jingle"] = e("propose urn:xmpp:jingle-message:0", e("description urn:xmpp:jingle:apps:file-transfer:5"));
	}) do
		it("has not " .. name, function() assert.equal("transfer", (message(e("body", "x"), element))); end);
	end

	it("may be about a call, which a rule of its own refuses where the site does", function()
		local call = e("propose urn:xmpp:jingle-message:0", { id = BLOB }, e("description urn:xmpp:jingle:apps:rtp:1", { media = "audio" }));
		local rule, unknown = message(call);
		assert.is_nil(rule);
		assert.is_nil(unknown);
		assert.equal("transfer", (presence(call)));
	end);

	it("loses what is small and not known", function()
		local new, known = e("new urn:x", "y"), e("active http://jabber.org/protocol/chatstates");
		local rule, unknown = message(e("body", "x"), new, known);
		assert.is_nil(rule);
		assert.same({ [new] = true }, unknown);
		assert.is_nil(select(2, message(e("body", "x"), known)));
	end);

	for name, element in pairs({
		OMEMO = e("encrypted eu.siacs.conversations.axolotl"); ["OMEMO 2"] = e("encrypted urn:xmpp:omemo:2"); OpenPGP = e("openpgp urn:xmpp:openpgp:0");
		["old OpenPGP"] = e("x jabber:x:encrypted", "AA"); ["what names its method"] = e("encryption urn:xmpp:eme:0"); OTR = e("body", " ?OTRv3?");
		["OpenPGP in words"] = e("body", "x\n-----BEGIN PGP MESSAGE-----\n");
	}) do
		it("is not encrypted from end to end with " .. name, function() assert.equal("encrypted", (message(e("body", "x"), element))); end);
	end

	it("has a length", function()
		assert.is_nil(message(e("body", ("x"):rep(16000))));
		assert.equal("length", (message(e("body", ("x"):rep(16384)))));
	end);
end);

describe("presence", function()
	it("has words and hashes", function()
		assert.is_nil(presence(e("show", "away"), e("status", "back soon"), e("c http://jabber.org/protocol/caps", { ver = "x" })));
		assert.is_nil(presence(e("x vcard-temp:x:update", e("photo vcard-temp:x:update", ("0f"):rep(20)))));
		assert.is_nil(presence(e("x vcard-temp:x:update", e("photo vcard-temp:x:update")), e("x http://jabber.org/protocol/muc")));
	end);
	it("has no picture", function()
		for _, text in ipairs({ "QUJD", ("0f"):rep(65), "0f 0f" }) do
			assert.equal("transfer", (presence(e("x vcard-temp:x:update", e("photo vcard-temp:x:update", text)))));
		end
		assert.equal("transfer", (presence(e("data " .. BOB))));
		assert.equal("transfer", (presence(e("status", "data:,x"))));
		assert.equal("transfer", (presence(e("new urn:x", BLOB))));
		assert.equal("length", (presence(e("status", ("x"):rep(4096)))));
	end);
end);

describe("a question to a device", function()
	local info = "query http://jabber.org/protocol/disco#info";
	it("is one of few, and empty", function()
		for _, what in ipairs({ "ping urn:xmpp:ping", info, "query jabber:iq:version", "time urn:xmpp:time", "vCard vcard-temp" }) do
			assert.is_nil(asks("get", true, e(what)));
			assert.equal("transfer", asks("set", true, e(what)));
			assert.equal("transfer", asks("get", true, e(what, "x")));
			assert.equal("transfer", asks("get", true, e(what, e("x urn:x"))));
			assert.equal("transfer", asks("get", true, e(what, { node = BLOB })));
		end
		assert.equal("transfer", asks("get", true, e("query urn:x")));
		assert.equal("transfer", asks("get", true, e("pong urn:xmpp:ping")));
	end);

	it("may be a call, and nothing that is arranged like one", function()
		local function content(description, transport, more)
			return e("jingle " .. JINGLE, e("content " .. JINGLE, description, transport), more);
		end
		local voice, ice = e("description " .. RTP, { media = "audio" }), e("transport " .. ICE, e("candidate " .. ICE));
		assert.is_nil(asks("set", true, content(voice, ice)));
		assert.is_nil(asks("set", true, e("jingle " .. JINGLE)));
		for _, bad in ipairs({
			content(e("description urn:xmpp:jingle:apps:file-transfer:5"), ice), content(e("description " .. RTP, { media = "application" }), ice),
			content(e("description " .. RTP), ice), content(voice, e("transport urn:xmpp:jingle:transports:s5b:1")),
			content(voice, e("transport urn:xmpp:jingle:transports:ibb:1")), content(voice, e("transport urn:xmpp:jingle:transports:ice:0")),
			content(voice, e("transport " .. ICE, e("sctpmap urn:xmpp:jingle:transports:dtls-sctp:1"))), content(voice, ice, e("x urn:x", "AA")),
			content(voice, ice, e("data " .. BOB, "AA")), e("jingle urn:xmpp:jingle:0"),
		}) do
			assert.equal("transfer", asks("set", true, bad));
		end
	end);
end);

describe("an answer", function()
	local info = "http://jabber.org/protocol/disco#info";
	it("is what was asked for", function()
		assert.is_nil(answers());
		assert.is_nil(answers(e("query " .. info, e("feature " .. info, { var = "x" }), e("x " .. FORM, e("field " .. FORM, e("value " .. FORM, "y"))))));
		assert.is_nil(answers(e("query jabber:iq:version", e("name jabber:iq:version", "x"))));
	end);
	it("is nothing else", function()
		assert.equal("transfer", answers("words"));
		assert.equal("transfer", answers(e("data " .. BOB, "AA")));
		assert.equal("transfer", answers(e("query " .. info, e("x " .. FORM, e("field " .. FORM, e("media urn:xmpp:media-element"))))));
		assert.equal("transfer", answers(e("query jabber:iq:version", e("name jabber:iq:version", ("x"):rep(8200)))));
		assert.equal("transfer", answers(e("query jabber:iq:version", e("name jabber:iq:version", "data:,x"))));
	end);
end);

describe("what is left at the server", function()
	local PUBSUB, BOOKMARKS = "http://jabber.org/protocol/pubsub", "urn:xmpp:bookmarks:1";
	local function publish(node, ...) return e("pubsub " .. PUBSUB, e("publish " .. PUBSUB, { node = node }, e("item " .. PUBSUB, ...))); end

	it("is of known kinds", function()
		assert.is_nil(published.refused(publish(BOOKMARKS, e("conference " .. BOOKMARKS, e("extensions " .. BOOKMARKS, e("pinned urn:x"))))));
		assert.is_nil(published.refused(publish("http://jabber.org/protocol/mood", e("mood http://jabber.org/protocol/mood",
			e("happy http://jabber.org/protocol/mood")))));
		assert.is_nil(published.refused(e("pubsub " .. PUBSUB, e("retract " .. PUBSUB, { node = "x" }))));
		assert.is_nil(published.refused(e("vCard vcard-temp", e("N vcard-temp", e("GIVEN vcard-temp", "A")))));
		assert.is_nil(published.refused(e("query jabber:iq:private", e("roster roster:delimiter", "::"))));
		assert.is_nil(published.refused(e("query urn:xmpp:mam:2")));
		assert.is_nil(published.refused(e("block urn:xmpp:blocking")));
	end);
	it("is of no other kind", function()
		assert.equal("transfer", published.refused(publish("mine", e("conference " .. BOOKMARKS))));
		assert.equal("transfer", published.refused(publish(BOOKMARKS, e("file urn:x"))));
		assert.equal("transfer", published.refused(publish(BOOKMARKS, e("conference " .. BOOKMARKS, { name = ("x"):rep(2048) }))));
		assert.equal("transfer", published.refused(publish("urn:xmpp:avatar:metadata", e("metadata urn:xmpp:avatar:metadata",
			e("info urn:xmpp:avatar:metadata")))));
		assert.equal("transfer", published.refused(e("vCard vcard-temp", e("PHOTO vcard-temp"))));
		assert.equal("transfer", published.refused(e("vCard vcard-temp", e("FN vcard-temp", e("BINVAL vcard-temp")))));
		assert.equal("transfer", published.refused(e("x vcard-temp")));
		assert.equal("transfer", published.refused(e("query jabber:iq:private", e("x urn:x"))));
		assert.equal("transfer", published.refused(e("pubsub " .. PUBSUB, e("create " .. PUBSUB, { node = "mine" }))));
		assert.equal("transfer", published.refused(e("query urn:x")));
		assert.equal("encrypted", published.refused(publish("urn:xmpp:omemo:2:bundles")));
		assert.equal("encrypted", published.refused(e("pubsub " .. PUBSUB, e("create " .. PUBSUB, { node = "eu.siacs.conversations.axolotl.devicelist" }))));
	end);
end);

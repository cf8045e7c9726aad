-- SPDX-License-Identifier: GPL-3.0-or-later
-- Whatever somebody writes, it is looked through in a time that grows with its length and no faster: the server does one
-- thing at a time, and a single slow pattern is a server that answers nobody.
local helper = dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "./") .. "helper.lua");
local links, transfers = helper.load("sallyport", "links"), helper.load("sallyport", "transfers");
local published = helper.load("sallyport", "published");
local rules, texts = helper.load("sallyport", "rules"), helper.load("sallyport", "texts");
local e = helper.element;

local SMALL, WHOLE = 16384, 65536; -- the longest message; the longest stanza
-- Seconds of processor time. A machine of any use takes a tenth of that; what is quadratic takes seconds for the small one.
local AT_MOST = { [SMALL] = 0.25; [WHOLE] = 1.0 };

local XHTML, OOB = "http://www.w3.org/1999/xhtml", "jabber:x:oob";

-- What is repeated, and what the text begins and ends with.
local TEXTS = {
	{ "a" }, { "1" }, { "." }, { "," }, { " " }, { ":" }, { "/" }, { "\\" }, { "-" }, { "%" }, { "%2E" }, { "@" }, { "[" }, { "\"" }, { ";" },
	{ "a:" }, { "a:/" }, { "http:" }, { "http://" }, { "http:a" }, { "a1+.-" }, { "www." }, { "a/" }, { "a." }, { "a.b/" }, { "a:1" }, { "a@" },
	{ "http:a@" }, { "x " }, { ". " }, { ",.;!" }, { "a\n" }, { "data:" }, { "data:a" }, { "data:a/" }, { "data:a/a" }, { "aesgcm" },
	{ "\226\128\139" }, { "a\226\128\139" }, { "\231\156\139" }, { "\239\188\154" }, { "\194\171" }, { "http:\227\128\130" }, { "\195\164" },
	{ "a", "http://" }, { "a", "https:" }, { "1", "https://" }, { "1", "https://a:" }, { ".", "http://a" }, { ",", "http://", "a" },
	{ "a@", "http://" }, { "a", "http://", "@partner.example" }, { ";", "http://partner.example", "a" }, { "a", "data:" }, { "a/", "data:" },
	{ "1", "a:" }, { "/", "a:" }, { "a", "www." }, { "a", "", "/x" }, { ",", "", "x/" }, { " ", "https://files.im.x/a", "x" },
	{ "1", "https://files.im.x:", "x" }, { "1", "https://1", "x" }, { "\n", "", "x" }, { " \t", "https://" }, { "http:1.", "", "x" },
	{ "4111 " }, { "4 " }, { "4.1-" }, { "411111111111111111" }, { "12-" }, { "19" }, { "de89" }, { "d e 8 9 " }, { "f a l " }, { "falcon-" },
	{ "a.b.c.d" }, { "a.b.example " }, { "a.example/a/" }, { "a.example/", "", "?" }, { "aaaaaaaaaaaa.b" }, { "\205\132" }, { "a\204\138" }, { "\231\156\139.a" },
	{ "[.]" }, { "2026-01-01 " }, { "x-#" }, { "\240\159\133\176" }, { "%41" }, { "bad.example" }, { "partne.example " },
	{ "[a:", "http://" }, { "/.", "a.test" }, { "/a/..", "a.test" }, { "a.test/" }, { "a.test/a " }, { ("a.test/"):rep(292) .. " " }, { "http:1@" }, { "http:1 " }, { "http://0x1/" }, { "%2e/" }, { "1.1.1.1/8" }, { "-----BEGIN PGP MESSAGE----" }, { "?OTR" }, { "eu.siacs" }, { "urn:xmpp:jingle" }, { "urn:xmpp:" },
	{ "\231\156\139a.b" }, { "\195\169.a" }, { "a\195\169b.c-" }, { "a..b" }, { "a_b.c" }, { "a", "\195\169" }, { "a.", "\231\156\139" },
	{ "/\195\169", "a.test" }, { "/b|", "a.test" }, { "a.test/\195\169 " }, { "a.test/,,,,\226\128\157 " },
};

local function text_of(case, size)
	local before, after = case[2] or "", case[3] or "";
	return before .. case[1]:rep(math.floor((size - #before - #after) / #case[1])) .. after;
end

local function ascii(host) return host; end

local CACHE = helper.cache();
local RULES = rules.new({
	rules = { helper.rule({
		action = "log"; keywords = { "falcon", "project falcon", "a a a a b", "secret plan of the year" };
		validators = { "card", "iban", "id-no", "id-se", "id-nl", "id-de", "id-us" };
	}), helper.rule({ patterns = { "*x*y", "#{12}-@", "a*b*z", "????-????-????-z" } }), helper.rule({ blocked = { "bad.test", "a.test/b" } }),
		helper.rule({ lookalike = true }), helper.rule({ lying = true }), helper.rule({ extensions = { "exe" } }) };
	names = { "partner.example", "im.x", "a.very.long.name.of.a.bank.example" }; zone = {};
}, {}, { ascii = ascii; unicode = ascii; cache = function() return CACHE; end; now = os.clock; null = helper.null });

local INSIDE = { source = "person"; from = "alice"; target = "person"; to = "bob" };
local ADDRESSED = { from = "alice@im.x/a"; to = "bob@im.x" };

-- Everything that looks at the words of others, given one text.
local LOOKS = {
	["a body from a partner"] = function(text) return links.found(e("message", e("body", text)), { "partner.example" }, ascii); end;
	["an attribute from a partner"] = function(text)
		return links.found(e("message", e("a " .. XHTML, { href = text })), { "partner.example" }, ascii);
	end;
	["a file in the text"] = function(text) return links.embeds(e("message", { id = text }, e("body", text)), true); end;
	["an address at the site"] = function(text) return transfers.is_own_file(text, "files.im.x"); end;
	["a name of a kind"] = function(text) return transfers.is_call(text); end;
	["a message to a colleague"] = function(text)
		local html = e("html http://jabber.org/protocol/xhtml-im", e("body " .. XHTML, e("p " .. XHTML, { style = text })));
		for _, part in ipairs({ e("body", text), e("subject", text), e("x " .. OOB, e("url " .. OOB, text)), html, e("x urn:x", { a = text }) }) do
			transfers.message(e("message", part), 1, "files.im.x");
		end
		transfers.message(e("message", { id = text }, e("reference urn:xmpp:reference:0", { uri = text })), 1, "files.im.x");
	end;
	["presence of a colleague"] = function(text)
		transfers.presence(e("presence", e("status", text), e("x vcard-temp:x:update", e("photo vcard-temp:x:update", text))), 1);
	end;
	["a question and an answer"] = function(text)
		transfers.question(e("iq", { type = "get" }, e("ping urn:xmpp:ping", { a = text })), 1, true);
		transfers.result(e("iq", e("query jabber:iq:version", e("name jabber:iq:version", text))), 1);
	end;
	["what is recorded"] = function(text)
		texts.shown(e("message", e("body", "x"), e("html http://jabber.org/protocol/xhtml-im", text, e("body " .. XHTML, text)), e("url " .. OOB, text)));
		texts.shown(e("presence", e("status", text)));
	end;
	["the site's own rules"] = function(text)
		RULES:met(e("message", ADDRESSED, e("body", text)), INSIDE, helper.now);
	end;
	["the site's own rules, formatted"] = function(text)
		local html = e("html http://jabber.org/protocol/xhtml-im", e("body " .. XHTML, e("a " .. XHTML, { href = text }, text)));
		RULES:met(e("message", ADDRESSED, html), INSIDE, helper.now);
	end;
	["the name of a file and words after others, for rules"] = function(text)
		RULES:met(e("iq", ADDRESSED, e("request urn:xmpp:http:upload:0", { filename = text })), INSIDE, helper.now);
		RULES:met(e("message", ADDRESSED, e("body", "x")), INSIDE, helper.now);
	end;
	["what is published"] = function(text)
		published.refused(e("pubsub http://jabber.org/protocol/pubsub", e("publish http://jabber.org/protocol/pubsub", { node = text })));
		published.refused(e("query", { xmlns = text }));
	end;
};

local function seconds(look, text)
	local begun = os.clock();
	look(text);
	return os.clock() - begun;
end

describe("the time for the worst texts is in proportion to their length:", function()
	for name, look in pairs(LOOKS) do
		it(name, function()
			-- what is longer has been refused before the rules are asked
			local size = name:find("rules", 1, true) and SMALL or WHOLE;
			for _, case in ipairs(TEXTS) do
				local taken = seconds(look, text_of(case, size));
				assert.is_true(taken < AT_MOST[size], ("%s%s… of %d bytes: %.2f s"):format(case[2] or "", case[1]:sub(1, 40), size, taken));
			end
		end);
	end
end);

-- SPDX-License-Identifier: GPL-3.0-or-later
local helper = dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "./") .. "helper.lua");
local rules = helper.load("sallyport", "rules");
local e = helper.element;

local OOB, XHTML_IM, XHTML = "jabber:x:oob", "http://jabber.org/protocol/xhtml-im", "http://www.w3.org/1999/xhtml";
local clock;

local function ascii(name)
	if name == "pаrtner.example" then return "xn--prtner-4nf.example"; end -- with a letter of the Cyrillic alphabet
	return name;
end
local function unicode(name) return name == "xn--prtner-4nf.example" and "pаrtner.example" or name; end

local means = { ascii = ascii; unicode = unicode; cache = helper.cache; now = function() return clock; end; null = helper.null };

local function ruleset(over, lists)
	local list = over[1] and over or { over };
	for at, rule in ipairs(list) do list[at] = helper.rule(rule); end
	local named = {};
	for name, lines in pairs(lists or {}) do named[name] = { lines = lines }; end
	return rules.new({ rules = list; names = { "partner.example", "im.x", "bank.example" }; zone = { { "1970-01-01T00:00:00Z", 60 } } }, named, means);
end

local function to_bob(...) return e("message", { from = "alice@im.x/a"; to = "bob@im.x"; id = "4111111111111111" }, ...); end
local INSIDE = { source = "person"; from = "alice"; target = "person"; to = "bob" };

local function ids(set, stanza, seen, instant)
	local found = {};
	for at, rule in ipairs(set:met(stanza, seen or INSIDE, instant or helper.now)) do found[at] = rule.id; end
	return found;
end

local function is_met(set, stanza, seen, instant) return #ids(set, stanza, seen, instant) > 0; end

before_each(function() clock = 1000; end);

describe("what somebody wrote before", function()
	it("makes nothing of ordinary sentences", function()
		local set, sentences = ruleset({ validators = { "card", "iban" } }), helper.sentences();
		for at = 2001, 3000 do assert.is_false(is_met(set, to_bob(e("body", sentences[at]))), sentences[at]); end
	end);

	it("is not held against what follows, where a longer number was cut off", function()
		local set = ruleset({ validators = { "card" } });
		assert.is_false(is_met(set, to_bob(e("body", "order 99994111111111111111 " .. ("x "):rep(1013) .. "xx"))));
		assert.is_false(is_met(set, to_bob(e("body", "thanks"))));
		assert.is_false(is_met(set, to_bob(e("body", "thanks"))));
	end);

	-- What ordinary messages cost is kept small by looking first where one ends and the other begins.
	it("is met as if all of it were one message, however it is cut and padded", function()
		local long = (" nothing of note"):rep(20) .. " ";
		local secrets = {
			"falcon", "blue heron quarterly forecast", "4111 1111 1111 1111", "4111111111111111", "GB82 WEST 1234 5698 7654 32", "AB-123456",
			"078-05-1120", "078051120 is her ssn", "ssn please look 078051120", "the forecast 078-05-1120", "heron 2026",
			"ssn" .. long .. "078051120", "078051120" .. long .. "ssn", "forecast" .. long .. long .. "078-05-1120", "078-05-1120" .. long .. long .. "forecast",
		};
		local between = { "", "", "", " ", "-", "......", "          ", "\n\n\n\n\n\n\n" };
		local around = { "", "", " please look at the second page ", " and 12 more " };
		-- each by itself: how far it is looked around depends on what is looked for
		local tried = {
			{ id = "word", action = "log", keywords = { "falcon" } },
			{ id = "phrase", action = "log", keywords = { "blue heron quarterly forecast" } },
			{ id = "number", action = "log", validators = { "card", "iban", "id-us" } },
			{ id = "pattern", action = "log", patterns = { "AB-#{6}", "heron ####" } },
			{ id = "both", action = "log", keywords = { "forecast" }, validators = { "id-us" } },
		};
		local function written_in(texts)
			local found = {};
			for _, rule in ipairs(tried) do
				local set = ruleset({ rule });
				for _, text in ipairs(texts) do
					for _, id in ipairs(ids(set, to_bob(e("body", text)))) do found[id] = true; end
				end
			end
			return found;
		end
		local seed = 7;
		local function random(most)
			seed = seed * 16807 % 2147483647;
			return seed % most + 1;
		end
		local met = {};
		for _ = 1, 500 do
			local secret, written = secrets[random(#secrets)], { around[random(#around)] };
			local step, padding = #secret > #long and 60 or ({ 1, 1, 4, 9 })[random(4)], between[random(#between)];
			if step == 9 then padding = ({ padding, ("."):rep(100) })[random(2)]; end
			for at = 1, #secret, step do
				-- a message ends here, or goes on
				if random(2) == 1 then written[#written + 1] = ""; end
				written[#written] = written[#written] .. secret:sub(at, at + step - 1) .. padding;
			end
			written[#written] = written[#written] .. around[random(#around)];
			local found = written_in(written);
			for id in pairs(written_in({ table.concat(written, " ") })) do
				met[id] = true;
				assert.is_true(found[id], id .. ": " .. table.concat(written, " | "));
			end
		end
		for _, rule in ipairs(tried) do assert.is_true(met[rule.id], rule.id .. " was never tried"); end
	end);

	it("has patterns of marks that are words by themselves, and of long words", function()
		local set = ruleset({ patterns = { "案号####" } });
		assert.is_true(is_met(set, to_bob(e("body", "见案号1234。"))));
		assert.is_true(is_met(set, to_bob(e("body", "案号 5678"))));
		assert.is_false(is_met(set, to_bob(e("body", "案号123"))));
		local long = ruleset({ patterns = { "tok*", "?{40}?{40}" } });
		assert.is_true(is_met(long, to_bob(e("body", "tok" .. ("x"):rep(200)))));
		assert.is_true(is_met(long, to_bob(e("body", ("x1"):rep(40)))));
		assert.is_false(is_met(long, to_bob(e("body", ("x1"):rep(39)))));
	end);

	it("is met where a mark that is a word by itself stands beside the cut", function()
		local set = ruleset({ patterns = { "案 ####" } });
		assert.is_false(is_met(set, to_bob(e("body", "案20"))));
		assert.is_true(is_met(set, to_bob(e("body", "26"))));
	end);

	it("is met where only a part of what is no address of IPv6 is looked at", function()
		local set = ruleset({ validators = { "card" } });
		assert.is_false(is_met(set, to_bob(e("body", "::" .. ("a"):rep(70) .. "::4111-1111-1111"))));
		assert.is_true(is_met(set, to_bob(e("body", "1111"))));
	end);

	it("is remembered within its bound, and no further", function()
		local set = ruleset({ keywords = { "falcon" } });
		for at = 1, 40 do assert.is_false(is_met(set, to_bob(e("body", at .. ("a"):rep(16000))))); end
		for at = 1, 40 do assert.is_false(is_met(set, to_bob(e("body", at .. ("b"):rep(1000))))); end
		local kept = set.recent:get("alice@im.x\0bob@im.x");
		assert.is_true(#kept.folded + #table.concat(kept.words) <= 4096);
		assert.is_false(is_met(set, to_bob(e("body", "fal" .. ("."):rep(2048)))));
		assert.is_false(is_met(set, to_bob(e("body", "con"))));
	end);

	it("is met again by a rule that has met something before, but not by the same words", function()
		local set = ruleset({ validators = { "card" }; action = "log" });
		assert.is_true(is_met(set, to_bob(e("body", "4111111111111111"))));
		for _ = 1, 30 do assert.is_false(is_met(set, to_bob(e("body", "and now")))); end
		assert.is_false(is_met(set, to_bob(e("body", "5555 5555"))));
		assert.is_true(is_met(set, to_bob(e("body", "5555 4444"))));
		assert.is_false(is_met(set, to_bob(e("body", "5555 4444"))));
	end);

	it("is kept for the other rules when one has met something", function()
		local set = ruleset({ { id = "word"; keywords = { "falcon" }; action = "log" }, { id = "card"; validators = { "card" } } });
		assert.are.same({ "word" }, ids(set, to_bob(e("body", "falcon 4111 1111"))));
		assert.are.same({ "card" }, ids(set, to_bob(e("body", "1111 1111"))));
	end);

	it("is not held against what follows by rules of later", function()
		local old, new = ruleset({ keywords = { "eagle" } }), ruleset({ keywords = { "falcon" } });
		new.recent = old.recent;
		assert.is_false(is_met(old, to_bob(e("body", "falcon"))));
		assert.is_false(is_met(new, to_bob(e("body", "thanks"))));
		assert.is_true(is_met(new, to_bob(e("body", "falcon"))));
	end);
end);

describe("a rule about words", function()
	local CARD, WORD = { validators = { "card" } }, { keywords = { "falcon", "project x" } };

	for _, text in ipairs({
		"falcon", "The FALCON.", "fal\226\128\139con", "f a l c o n", "f-a-l-c-o-n", "ｆａｌｃｏｎ", "fаlсоn", "𝓯𝓪𝓵𝓬𝓸𝓷", "ⓕⓐⓛⓒⓞⓝ",
		"fal con", "fal\ncon", "fal - con", "f al c on", "fal, con", "fal.con", "x.fal.con.y", "pro ject x", "proj ectx", "ｆａｌ соn",
		"f\204\182a\204\182l\204\182c\204\182o\204\182n\204\182", "fal\194\173con", "\"Falcon\"", "see:falcon", "🇫🇦🇱🇨🇴🇳", "Project   X", "project-x", "PROJECT\nX", "%66alcon",
	}) do
		it(("is met by %q"):format(text), function() assert.is_true(is_met(ruleset(WORD), to_bob(e("body", text)))); end);
	end

	for _, text in ipairs({ "fal come", "fal cons", "afal con", "falc", "falcons", "a falconer", "project y", "x project", "the eagle", "" }) do
		it(("is not met by %q"):format(text), function() assert.is_false(is_met(ruleset(WORD), to_bob(e("body", text)))); end);
	end

	for where, stanza in pairs({
		["a second body"] = to_bob(e("body", "fine"), e("body", { ["xml:lang"] = "de" }, "falcon")),
		["the subject"] = to_bob(e("subject", "falcon")),
		["formatted text"] = to_bob(e("body", "fine"), e("html " .. XHTML_IM, e("body " .. XHTML, e("b " .. XHTML, "fal"), "con"))),
		["lines of formatted text"] = to_bob(e("html " .. XHTML_IM, e("body " .. XHTML, "project", e("br " .. XHTML), "x"))),
		["what is forwarded"] = to_bob(e("forwarded urn:xmpp:forward:0", e("message jabber:client", e("body jabber:client", "falcon")))),
		["a form"] = to_bob(e("x jabber:x:data", e("field jabber:x:data", { label = "y" }, e("value jabber:x:data", "falcon")))),
		["a label"] = to_bob(e("x jabber:x:data", e("field jabber:x:data", { label = "falcon" }))),
		["an address"] = to_bob(e("x " .. OOB, e("url " .. OOB, "https://files.im.x/1/falcon.pdf"))),
		["an address that is written in percent"] = to_bob(e("x " .. OOB, e("url " .. OOB, "https://files.im.x/1/f%61lcon.pdf"))),
		["an attribute"] = to_bob(e("x jabber:x:conference", { jid = "r@rooms.im.x"; reason = "falcon" })),
		["a nickname"] = e("presence", { from = "alice@im.x/a"; to = "staff@rooms.im.x/falcon" }),
		["the words of presence"] = e("presence", { from = "alice@im.x/a" }, e("status", "falcon")),
		["the name of a file"] = e("iq", { from = "alice@im.x/a"; to = "files.im.x" }, e("request urn:xmpp:http:upload:0", { filename = "falcon.pdf" })),
	}) do
		it("is met in " .. where, function() assert.is_true(is_met(ruleset(WORD), stanza)); end);
	end

	it("is met by what is shown backwards", function()
		local turned, back = "\226\128\174", "\226\128\172";
		assert.is_true(is_met(ruleset(WORD), to_bob(e("body", "the " .. turned .. "noclaf"))));
		assert.is_true(is_met(ruleset(WORD), to_bob(e("body", turned .. "x tcejorp" .. back .. " is on"))));
		assert.is_true(is_met(ruleset(WORD), to_bob(e("body", turned .. "a" .. back .. " b " .. turned .. "noclaf\nand more"))));
		assert.is_true(is_met(ruleset(CARD), to_bob(e("body", turned .. "1111 1111 1111 1114"))));
		assert.is_false(is_met(ruleset(WORD), to_bob(e("body", turned .. "falcons" .. back .. " or noclaf"))));
	end);

	it("is not met by what nobody reads", function()
		assert.is_false(is_met(ruleset(CARD), to_bob(e("body", "fine"), e("thread", "4111111111111111"), e("origin-id urn:xmpp:sid:0", { id = "4111111111111111" }))));
	end);

	it("is met by what several messages say together", function()
		local set = ruleset(CARD);
		assert.is_false(is_met(set, to_bob(e("body", "4111 1111"))));
		assert.is_true(is_met(set, to_bob(e("body", "1111 1111"))));
		-- what was refused may be sent again, and does not pass then either
		assert.is_true(is_met(set, to_bob(e("body", "1111 1111"))));
		-- one number, however far it is from the end of one message to the beginning of the next
		local far = ruleset(CARD);
		assert.is_false(is_met(far, to_bob(e("body", "411111111111" .. ("."):rep(100)))));
		assert.is_true(is_met(far, to_bob(e("body", "1111"))));
		local word = ruleset(WORD);
		assert.is_false(is_met(word, to_bob(e("body", "fal"))));
		assert.is_true(is_met(word, to_bob(e("body", "con"), e("replace urn:xmpp:message-correct:0", { id = "x" }))));
	end);

	it("is not met by what somebody else wrote, or to somebody else, or long ago", function()
		local set = ruleset(WORD);
		assert.is_false(is_met(set, to_bob(e("body", "fal"))));
		assert.is_false(is_met(set, e("message", { from = "alice@im.x/a"; to = "erik@im.x" }, e("body", "con"))));
		clock = clock + 61;
		assert.is_false(is_met(set, to_bob(e("body", "con"))));
	end);

	it("is met once by what passed", function()
		local set = ruleset({ keywords = { "falcon" }; action = "log" });
		assert.is_true(is_met(set, to_bob(e("body", "falcon"))));
		assert.is_false(is_met(set, to_bob(e("body", "and more"))));
	end);

	it("takes patterns and lists, and all of its kinds of conditions together", function()
		local set = ruleset({ keyword_lists = { "words" }; patterns = { "AB-####" } }, { words = { "falcon", "eagle" } });
		assert.is_true(is_met(set, to_bob(e("body", "Eagle has ab 1234"))));
		assert.is_false(is_met(set, e("message", { from = "a@im.x"; to = "c@im.x" }, e("body", "Eagle has nothing"))));
		assert.is_false(is_met(set, e("message", { from = "a@im.x"; to = "d@im.x" }, e("body", "AB-1234"))));
	end);
end);

it("a word of fewer than six letters is not put together", function()
	local set = ruleset({ keywords = { "eagle", "птица", "секрет" } });
	assert.is_false(is_met(set, to_bob(e("body", "ea gle, пти ца"))));
	assert.is_true(is_met(set, to_bob(e("body", "сек рет"))));
end);

it("a list knows of which rules it is, and a word may be in several", function()
	local set = ruleset({
		{ id = "one"; keyword_lists = { "a" } }, { id = "two"; keyword_lists = { "a", "b" } }, { id = "three"; keywords = { "falcon" } },
		{ id = "four"; keyword_lists = { "b" }; keywords = { "hawk" } },
	}, { a = { "falcon", "eagle" }, b = { "falcon", "raven" } });
	assert.same({ "one", "two", "three", "four" }, ids(set, to_bob(e("body", "falcon"))));
	clock = clock + 100;
	assert.same({ "one", "two" }, ids(set, to_bob(e("body", "eagle"))));
	clock = clock + 100;
	assert.same({ "two", "four" }, ids(set, to_bob(e("body", "raven"))));
	clock = clock + 100;
	assert.same({ "four" }, ids(set, to_bob(e("body", "hawk"))));
end);

describe("a rule about links", function()
	local BLOCKED = { blocked = { "bad.example", "half.example/bad", "192.0.2.1" } };

	for _, text in ipairs({
		"https://bad.example/x", "HTTP://BAD.EXAMPLE", "www.bad.example", "see bad.example!", "https://a.b.bad.example", "hxxps://bad[.]example/x",
		"https://user@bad.example:8443/x", "https://bad%2Eexample", "bad。example", "ｂａｄ.example", "https://ba\226\128\139d.example",
		"https://half.example/bad", "https://half.example/bad/page?x", "http://192.0.2.1/x", "http://3221225985/", "http://0xc0000201/x", "看https://bad.example",
	}) do
		it(("finds what is blocked in %q"):format(text), function() assert.is_true(is_met(ruleset(BLOCKED), to_bob(e("body", text)))); end);
	end
	-- as a browser reads them (WHATWG URL)
	for _, text in ipairs({
		"http://x@3221225985/", "http://x:y@3221225985", "http:/3221225985/", "http:///3221225985", "http:3221225985", "https:\\\\3221225985\\a",
		"http://0xC0.0x00.0x2.0x1/", "http://0300.0.2.1", "http://192.513", "http://192.0.513", "http://192.0.2.1./", "http://%31%39%32.0.2.1/", "http://322122%35985/",
		"http://192。0。2。1/", "http://１９２.0.2.1", "http://３２２１２２５９８５/", "http://0x00000000c0000201", "http://[::ffff:c000:201]/", "http://[0:0:0:0:0:ffff:192.0.2.1]/",
		"https://bad.example.", "https://bad.example./x", "https://bad.example:443/", "https:/bad.example", "https:///bad.example", "https:bad.example",
		"https:\\\\bad.example\\x", "https://bad%E3%80%82example/", "https://bad%ef%bc%8eexample/", "https://bad%EF%BD%A1example/", "https://%62ad.example/",
		"https://half.example/./bad", "https://half.example/a/../bad", "https://half.example/../bad", "https://half.example/%2e/bad", "https://half.example/a/%2E%2e/bad",
		"https://half.example/a/.%2e/bad/x", "https://half.example/b%61d", "https://half.example/%42AD", "https://half.example//bad", "https://half.example\\bad",
		"https://half.example/a\\..\\bad", "https://half.example:443/bad", "https://half.example:/bad", "https://half.example./bad", "https://x@half.example/bad",
		"https://half.example/bad#x", "(see https://half.example/bad).", "https://half.example/bad, and", "https://half.example" .. ("/a/.."):rep(300) .. "/bad",
		"https://half.example" .. ("/."):rep(1500) .. "/bad",
	}) do
		it(("sees through %q"):format(text:sub(1, 60)), function() assert.is_true(is_met(ruleset(BLOCKED), to_bob(e("body", text)))); end);
	end
	for _, text in ipairs({
		"http://3221225986/", "http://192.0.2.256", "http://192.999.2.1", "http://0xc0000201x/", "http://192.0.2.1.1", "http://0398.0.2.1", "3221225985", "call 3221225985 or http: 3221225985",
		"http://half.example/a/../badly", "http://half.example/bad/..", "http://half.example/bad/../good", "http://half.example/a/bad", "http://half.example/?/bad", "http://half.example/#/bad",
		"http://[::ffff:c000:202]/", "http://good.example/%2e%2e/bad", "http://99999999999999999999/",
	}) do
		it(("takes %q for another address"):format(text), function() assert.is_false(is_met(ruleset(BLOCKED), to_bob(e("body", text)))); end);
	end
	it("reads an entry of the list as it reads an address", function()
		local set = ruleset({ blocked = { "a.example/x/../%62ad", "b.example/.", "c.example/deepest" } });
		assert.is_true(is_met(set, to_bob(e("body", "https://a.example/bad"))));
		assert.is_true(is_met(set, to_bob(e("body", "https://b.example/any"))));
		assert.is_false(is_met(set, to_bob(e("body", "https://c.example/other"))));
	end);
	it("takes breaks of lines out of an address, as a browser does", function()
		local function link(href) return to_bob(e("html " .. XHTML_IM, e("body " .. XHTML, e("a " .. XHTML, { href = href }, "here")))); end
		assert.is_true(is_met(ruleset(BLOCKED), link("ht\ntps://ba\td.exa\nmple")));
		assert.is_true(is_met(ruleset(BLOCKED), link("http://32212\n25985/")));
		assert.is_false(is_met(ruleset(BLOCKED), link("https://go\nod.example")));
	end);
	for _, text in ipairs({ "https://good.example/bad.example/", "https://notbad.example", "https://bad.example.org", "https://half.example/badly", "bad example" }) do
		local wanted = text == "https://good.example/bad.example/"; -- a name in a path may be meant as one
		it(("is right about %q"):format(text), function() assert.equal(wanted, is_met(ruleset(BLOCKED), to_bob(e("body", text)))); end);
	end
	it("finds it in data beside the text and in formatted text", function()
		assert.is_true(is_met(ruleset(BLOCKED), to_bob(e("body", "x"), e("x " .. OOB, e("url " .. OOB, "https://bad.example/a")))));
		assert.is_true(is_met(ruleset(BLOCKED), to_bob(e("html " .. XHTML_IM, e("body " .. XHTML, e("a " .. XHTML, { href = "https://bad.example" }, "here"))))));
	end);

	local LIKE = { lookalike = true };
	for _, host in ipairs({
		"pаrtner.example", "xn--prtner-4nf.example", "partnar.example", "partne.example", "partners.example", "patrner.example", "www.partnar.example",
		"partner.example.evil.test", "partner-example.test", "login.bank.exarnple", "bɑnk.example", "bank.examp1e",
	}) do
		it(("finds a look-alike in %s"):format(host), function() assert.is_true(is_met(ruleset(LIKE), to_bob(e("body", "https://" .. host .. "/x")))); end);
	end
	for _, host in ipairs({ "partner.example", "files.partner.example", "rooms.im.x", "example.org", "barn.example", "thepartner.org", "im.y" }) do
		it(("finds none in %s"):format(host), function() assert.is_false(is_met(ruleset(LIKE), to_bob(e("body", "https://" .. host .. "/x")))); end);
	end

	local function link(href, text)
		return to_bob(e("html " .. XHTML_IM, e("body " .. XHTML, e("p " .. XHTML, e("a " .. XHTML, { href = href }, e("b " .. XHTML, text))))));
	end
	for _, case in ipairs({
		{ true, "https://evil.test/x", "https://bank.example" }, { true, "https://evil.test/x", "www.bank.example" }, { true, "https://evil.test", "bank.example/login" },
		{ true, "https://evil.test", "bank.example" }, { false, "https://bank.example/a", "bank.example" }, { false, "https://www.bank.example/a", "https://bank.example" },
		{ false, "https://files.im.x/1/report.pdf", "report.pdf" }, { false, "https://evil.test", "click here" }, { false, "https://evil.test", "see 3.14" },
		{ true, "http://3221225985/bank.example", "bank.example" }, { true, "https://bank.example@evil.test/", "https://bank.example" }, { true, "https:\\\\bank.example:1@x@evil.test", "bank.example" },
		{ false, "https://evil.test@bank.example/", "https://bank.example" }, { false, "https://bank.example/@evil.test", "bank.example" },
	}) do
		it(("%s that %s shown as %q lies"):format(case[1] and "says" or "does not say", case[2], case[3]), function()
			assert.equal(case[1], is_met(ruleset({ lying = true }), link(case[2], case[3])));
		end);
	end
end);

describe("addresses, more", function()
	local BLOCKED = { blocked = { "bad.example", "half.example/bad" } };

	for _, text in ipairs({
		"https://bad.example，" .. ("请"):rep(340), ("请"):rep(340) .. "bad.example", "https://bad.example。" .. ("请打开这个链接"):rep(60), ("กรุณาเปิด"):rep(40) .. "www.bad.example",
		("смотри"):rep(200) .. "www.bad.example", ("请"):rep(340) .. "half.example/bad", ("a."):rep(600) .. "bad.example", "bad.example" .. ("."):rep(1100),
		("."):rep(1100) .. "bad.example" .. ("."):rep(1100),
	}) do
		it(("find what is blocked in %s… of %d bytes"):format(text:sub(1, 24), #text), function()
			assert.is_true(is_met(ruleset(BLOCKED), to_bob(e("body", text))));
		end);
	end
	for _, text in ipairs({ "half.example请/bad", "https://notbad.example，" .. ("请"):rep(340), ("请"):rep(340) .. "。" .. ("请"):rep(340) }) do
		it(("find nothing blocked in %s… of %d bytes"):format(text:sub(1, 24), #text), function()
			assert.is_false(is_met(ruleset(BLOCKED), to_bob(e("body", text))));
		end);
	end
	for _, mark in ipairs({
		"”", "…", "—see", "）", "»", "’s", "，请", "。请看", "请看", "ครับ", "`", "|x", ";x", "&x=1", ").”", "」/x", "→", "🙂", "%E2%80%9D", "”/more",
	}) do
		it(("find a blocked page before %s"):format(mark), function()
			assert.is_true(is_met(ruleset(BLOCKED), to_bob(e("body", "see “https://half.example/bad" .. mark .. " now"))));
			assert.is_true(is_met(ruleset({ blocked = { "half.example/bad/page" } }), to_bob(e("body", "half.example/bad/page" .. mark))));
		end);
	end
	for _, rest in ipairs({ "é", "e\204\129", "-see", "_see", "ß”", "ⓐ", "=1", "я", "lands—see", "%C3%A9" }) do
		it(("take another page for another before %s"):format(rest), function()
			assert.is_false(is_met(ruleset(BLOCKED), to_bob(e("body", "https://half.example/bad" .. rest))));
		end);
	end
	it("find a blocked page that ends in a bracket before a mark", function()
		assert.is_true(is_met(ruleset({ blocked = { "half.example/a_(b)" } }), to_bob(e("body", "“https://half.example/a_(b)”"))));
	end);
	for text, wanted in pairs({
		["my_bad.example"] = false, ["https://my_bad.example/"] = false, ["看my_bad.example，请"] = false, ["https://a_b.bad.example"] = true, ["_https://bad.example_"] = true,
		["_bad.example_"] = true, ["_bad.example_ and"] = true, ["__bad.example__"] = true, ["_ bad.example"] = true, ["my_half.example/bad"] = false,
		["bad.example_"] = true,
	}) do
		it(("are right about %s"):format(text), function() assert.equal(wanted, is_met(ruleset(BLOCKED), to_bob(e("body", text)))); end);
	end
	it("find no look-alike in a longer name of one's own", function()
		assert.is_false(is_met(ruleset({ lookalike = true }), to_bob(e("body", "https://my_partner.example and https://partner.example_"))));
	end);
	it("find a look-alike beside many words without blanks", function()
		local set = ruleset({ lookalike = true });
		assert.is_true(is_met(set, to_bob(e("body", "https://partnerr.example，" .. ("请"):rep(340)))));
		assert.is_false(is_met(set, to_bob(e("body", "https://partner.example，" .. ("请"):rep(340)))));
	end);

	-- Names as IDNA has them; of two of them these are the site's.
	local IDNA = { ["bücher.example"] = "xn--bcher-kva.example"; ["école.example"] = "xn--cole-9oa.example"; ["www.école.example"] = "www.xn--cole-9oa.example" };
	local function accented()
		local back = {};
		for shown, name in pairs(IDNA) do back[name] = shown; end
		return rules.new({
			rules = { helper.rule({ lookalike = true }) }; zone = {};
			names = { "partner.example", "bank.example", "im.x", "xn--bcher-kva.example", "xn--cole-9oa.example" };
		}, {}, {
			ascii = function(name) return IDNA[name] or name; end; unicode = function(name) return back[name] or name; end;
			cache = helper.cache; now = os.time; null = helper.null;
		});
	end
	for _, host in ipairs({
		"pàrtner.example", "pạrtner.example", "partnér.example", "partņer.example", "pārtner.example", "pärtner.example", "partnǝr.example", "paɾtner.example", "bạnk.example",
		"bänk.example", "baņk.example", "bønk.example", "pa\204\128rtner.example", "pàrtner.exаmple", "pаrtnеrr.example", "àpartner.example", "apàrtner.example", "bücherr.example",
		"bûcher.example", "bucher.example", "www.pàrtner.example", "请pàrtner.example", "pǝartner.example", "pɐrtner.example", "prátner.example", "ecole.example",
	}) do
		it(("find a look-alike in %s"):format(host), function() assert.is_true(is_met(accented(), to_bob(e("body", "https://" .. host .. "/x")))); end);
	end
	for _, text in ipairs({
		"bücher.example", "école.example", "https://www.école.example/x", "请看école.example，谢谢", "看partner.example", "👉partner.example", "看école.example", "«partner.example»",
		"pàrtnèrr.test", "ünder.example", "cafés.example", "https://bärn.example", "àb.x", "bücher.exämples.test",
	}) do
		it(("find no look-alike in %s"):format(text), function() assert.is_false(is_met(accented(), to_bob(e("body", text)))); end);
	end

	local function link(href, text)
		return to_bob(e("html " .. XHTML_IM, e("body " .. XHTML, e("p " .. XHTML, e("a " .. XHTML, { href = href }, e("b " .. XHTML, text))))));
	end
	for _, case in ipairs({
		{ true, "https://evil.test", "invoice.pdf https://bank.example" }, { true, "https://evil.test", "Node.js docs: https://bank.example" },
		{ true, "https://evil.test", "v2.1 of https://bank.example/x" }, { true, "https://evil.test", "evil.test = bank.example" },
		{ true, "https://bank.example\n.evil.test/", "https://bank.example/" }, { true, "https://bank.example\t.evil.test/", "https://bank.example/" },
		{ true, "ht\rtps://evil.test/", "https://bank.example/" }, { true, "https://bank.example@\nevil.test/", "bank.example" },
		{ true, "http://localhost/", "https://bank.example" }, { true, "https://evil/", "https://bank.example" }, { true, "https://evil/bank.example", "bank.example" },
		{ true, "https://[2001:db8::1]/", "https://bank.example" }, { true, "https://[2001:db8::1]/bank.example", "bank.example" }, { true, "//evil.test", "bank.example" },
		{ true, "//bank.example@evil.test", "bank.example" }, { true, "https://evil.test/bank.example", "bank.example" }, { true, "https://evil.test", "请看bank.example，谢谢" },
		{ true, "https://evil.test", "смотриbank.example" }, { true, "https://evil.test", "bank.exаmple" }, { true, "https://evil.test", "see https://report.zip" },
		{ true, "https://evil.test", "http://10.0.0.1" }, { true, "https://evil.test", "10.0.0.1/x" },
		{ false, "https://bank.example", "请看bank.example，谢谢" }, { false, "https://bank.example", "看https://bank.example/x。谢谢" }, { false, "https://bank.example", "смотриbank.example" },
		{ false, "https://bank.example", "«bank.example»" }, { false, "https://bank.example", "the report.pdf of bank.example" },
		{ false, "https://bank.example", "e.g. version 2.0/2.1, i.e. p.m. in U.S. and Node.js" }, { false, "http://localhost/", "click here" }, { false, "https://evil/", "report.pdf" },
		{ false, "http://localhost/", "http://localhost/" }, { false, "#part", "bank.example" }, { false, "mailto:info", "bank.example" }, { false, "https://bank\n.example/", "bank.example" },
	}) do
		it(("%s that %q shown as %q lies"):format(case[1] and "say" or "do not say", case[2], case[3]), function()
			assert.equal(case[1], is_met(ruleset({ lying = true }), link(case[2], case[3])));
		end);
	end
	it("do not take two sentences without a blank for a name", function()
		local set = rules.new({ rules = { helper.rule({ lying = true }) }; zone = {}; names = {} }, {}, {
			ascii = function(name) return (name:gsub("[^.]*[\128-\255][^.]*", "xn--x")); end; unicode = unicode;
			cache = helper.cache; now = os.time; null = helper.null;
		});
		assert.is_false(is_met(set, link("https://bank.example/", "第一句。第二句")));
		assert.is_true(is_met(set, link("https://bank.example/", "https://第一句。第二句")));
	end);
	it("are read in an address beside the text with breaks of lines in it", function()
		local function url(text) return to_bob(e("body", "x"), e("x " .. OOB, e("url " .. OOB, text))); end
		assert.is_true(is_met(ruleset(BLOCKED), url("https://ba\nd.example/x")));
		assert.is_true(is_met(ruleset(BLOCKED), url("https://b%61\r\n\td.example/x")));
		assert.is_false(is_met(ruleset(BLOCKED), url("https://go\nod.example/x")));
	end);
	it("and words are read in formatted text as its reader has them in lines", function()
		local function x(name, ...) return e(name .. " " .. XHTML, ...); end
		local function html(...) return to_bob(e("html " .. XHTML_IM, e("body " .. XHTML, ...))); end
		local word, card = { keywords = { "eagle" } }, { validators = { "card" } };
		assert.is_true(is_met(ruleset(word), html(x("p", "Deal"), x("p", "ea", x("b", "g"), "le"), x("p", "now"))));
		assert.is_true(is_met(ruleset(word), html("the ", x("i", "ea"), "gle", x("br"), "now")));
		assert.is_false(is_met(ruleset({ keywords = { "now" } }), html(x("p", "kno", x("b", "w"), "n"), x("p", "facts"))));
		assert.is_true(is_met(ruleset(card), html("4111", x("b", "11111111"), "1111", x("br"), "12/27 123")));
		assert.is_true(is_met(ruleset(BLOCKED), html("see", x("br"), "bad.", x("b", "exam"), "ple", x("br"), "now")));
	end);
	it("are not read twice in formatted text", function()
		local texts = helper.load("sallyport", "texts");
		local function x(name, ...) return e(name .. " " .. XHTML, ...); end
		local function pieces(...) return #texts.read(to_bob(e("html " .. XHTML_IM, e("body " .. XHTML, ...)))).pieces; end
		assert.equal(1, pieces("one"));
		assert.equal(1, pieces(x("p", "one")));
		assert.equal(2, pieces(x("p", "one"), x("p", "two")));
		assert.equal(2, pieces("o", x("b", "n"), "e"));
		assert.equal(3, pieces(x("p", "o", x("b", "n"), "e"), x("p", "two")));
	end);
end);

describe("a rule about files", function()
	local function request(name, kind)
		return e("iq", { type = "get"; from = "alice@im.x/a"; to = "files.im.x" }, e("request urn:xmpp:http:upload:0", { filename = name; size = "1"; ["content-type"] = kind }));
	end
	local set = ruleset({ extensions = { "exe" }; media_types = { "video/*", "application/zip" } });
	for _, case in ipairs({
		{ true, "a.exe" }, { true, "A.EXE" }, { true, "a.pdf.exe" }, { true, "a.exe. " }, { true, "a.еxe" }, { true, "a", "video/mp4" }, { true, "a", "Application/ZIP; x=y" },
		{ false, "a.pdf", "application/pdf" }, { false, "exe" }, { false, "a.exe.pdf" },
	}) do
		it(("is right about %s"):format(case[2]), function() assert.equal(case[1], is_met(set, request(case[2], case[3]))); end);
	end
	it("is not met by a message", function() assert.is_false(is_met(set, to_bob(e("body", "a.exe")))); end);
end);

describe("a rule about who, when and how often", function()
	local hello = to_bob(e("body", "hello"));

	it("looks at the direction", function()
		assert.is_false(is_met(ruleset({ directions = { "in" } }), hello));
		assert.is_true(is_met(ruleset({ directions = { "in" } }), hello, { source = "partner"; contact = "carol"; domain = "p.x"; target = "person"; to = "bob"; direction = "in" }));
	end);

	it("looks at both sides, and a room is on the side of its group", function()
		local room = { source = "person"; from = "alice"; target = "room"; to = "staff" };
		assert.is_true(is_met(ruleset({ from = { "alice" }; to = { "bob" } }), hello));
		assert.is_false(is_met(ruleset({ from = { "bob" } }), hello));
		assert.is_false(is_met(ruleset({ to = { "erik" } }), hello));
		assert.is_false(is_met(ruleset({ from = {} }), hello));
		assert.is_true(is_met(ruleset({ to = {}; to_rooms = { "staff" } }), hello, room));
		assert.is_false(is_met(ruleset({ to = { "bob" }; to_rooms = {} }), hello, room));
	end);

	it("looks at the hours, in the site's time or in UTC, and over midnight", function()
		-- Wednesday, 12:00 UTC, 13:00 in this zone
		local function at(from, over, days, utc, instant)
			local set = ruleset({ hours = { { days = days or { 1, 2, 3, 4, 5, 6, 7 }; from = from; ["until"] = over; utc = utc or false } } });
			return is_met(set, hello, nil, instant);
		end
		assert.is_true(at(13 * 60, 14 * 60));
		assert.is_false(at(12 * 60, 13 * 60));
		assert.is_true(at(12 * 60, 13 * 60, nil, true));
		assert.is_true(at(0, 1440, { 3 }));
		assert.is_false(at(0, 1440, { 2, 4 }));
		assert.is_true(at(22 * 60, 6 * 60, { 3 }, true, "2026-07-02T05:59:00Z"));
		assert.is_false(at(22 * 60, 6 * 60, { 4 }, true, "2026-07-02T05:59:00Z"));
		assert.is_true(at(22 * 60, 6 * 60, { 7 }, true, "2026-03-02T05:00:00Z"));
		assert.is_true(at(0, 1440, { 7 }, true, "2028-02-27T23:59:59Z"));
		assert.is_true(at(0, 1440, { 2 }, true, "2028-02-29T00:00:00Z"));
	end);

	it("counts, each sender for himself", function()
		local set = ruleset({ rate = { messages = 2; minutes = 1 } });
		assert.same({ false, false, true }, { is_met(set, hello), is_met(set, hello), is_met(set, hello) });
		assert.is_false(is_met(set, hello, { source = "person"; from = "erik"; target = "person"; to = "bob" }));
		clock = clock + 31;
		assert.is_false(is_met(set, hello));
	end);

	it("without words is about messages with words", function()
		assert.is_false(is_met(ruleset({}), to_bob(e("composing http://jabber.org/protocol/chatstates"))));
		assert.is_true(is_met(ruleset({}), hello));
	end);
end);

it("all rules that are met are named, and the gravest counts", function()
	local set = ruleset({ { id = "one"; keywords = { "falcon" }; action = "log" }, { id = "two"; keywords = { "falcon" }; action = "warn" }, { id = "three"; keywords = { "x" } } });
	local hits = set:met(to_bob(e("body", "falcon")), INSIDE, helper.now);
	assert.same({ "one", "two" }, { hits[1].id, hits[2].id });
	assert.equal("two", rules.gravest(hits).id);
end);

it("a letter and the mark on it are one letter, however they are written", function()
	local set = ruleset({ keywords = { "café", "Åre" } });
	assert.is_true(is_met(set, to_bob(e("body", "CAFE\204\129"))));
	assert.is_true(is_met(set, to_bob(e("body", "a\204\138re"))));
	assert.is_false(is_met(set, to_bob(e("body", "cafe or are"))));
end);

it("what passed and was met in pieces is not met again by its end", function()
	local set = ruleset({ keywords = { "falcon" }; action = "warn" });
	assert.same({ false, true, false }, {
		is_met(set, to_bob(e("body", "fal"))), is_met(set, to_bob(e("body", "con"))), is_met(set, to_bob(e("body", "con"))),
	});
end);

it("a word that is only noted hides no word that is refused in pieces", function()
	local set = ruleset({ { id = "noted"; keywords = { "night" }; action = "log" }, { id = "one"; keywords = { "falcon" } } });
	local function met(text)
		local hits = set:met(to_bob(e("body", text)), INSIDE, helper.now);
		return hits[1] and rules.gravest(hits).id or false;
	end
	assert.same({ "noted", "one" }, { met("night fal"), met("con") });
	assert.same({ "noted", "noted", false }, { met("night"), met("night"), met("hello") });
end);

describe("the policy document", function()
	local documents = helper.load("sallyport", "document");

	local function fault(change)
		local document = helper.document();
		document.rules, document.lists = { helper.rule({ keywords = { "falcon" } }) }, { words = ("0"):rep(64) };
		change(document, document.rules[1]);
		return documents.faults(document, "im.x", helper.null)[1];
	end

	it("may have rules", function() assert.is_nil(fault(function() end)); end);

	for name, case in pairs({
		["no list of rules"] = { function(d) d.rules = { a = 1 }; end, "rules: is an object, must be a list of rules" };
		["a rule of a later version"] = { function(_, rule) rule.mood = "bad"; end, "rules[1].mood: is \"bad\", must be left out (this version does not know it)" };
		["an unknown action"] = { function(_, rule) rule.action = "permit"; end, "rules[1].action: is \"permit\", must be log, warn or refuse" };
		["a list that is not named"] = { function(_, rule) rule.keyword_lists = { "other" }; end, "rules[1].keyword_lists[1]: is \"other\", must be one of the lists of this file" };
		["a name that leads to another file"] = { function(d) d.lists = { ["../policy"] = ("0"):rep(64) }; end, "lists: is \"../policy\", must be letters, digits, dot, dash, plus, underscore" };
		["no digest of a list"] = { function(d) d.lists.words = "x"; end, "lists.words: is \"x\", must be a SHA-256 as 64 digits 0-9 and a-f" };
		["a pattern that takes long"] = { function(_, rule) rule.patterns = { "a*b*c*d" }; end, "rules[1].patterns[1]: is \"a*b*c*d\", must be a pattern of docs/rules.md" };
		["too many patterns"] = { function(_, rule) for at = 1, 101 do rule.patterns[at] = "a" .. at; end end, "rules: is a list, must be rules with 100 patterns in all" };
		["a keyword without a letter"] = { function(_, rule) rule.keywords = { "--" }; end, "rules[1].keywords[1]: is \"--\", must be a text with a letter or digit" };
		["an unknown kind of number"] = { function(_, rule) rule.validators = { "isbn" }; end, "rules[1].validators[1]: is \"isbn\", must be a kind of number of this version" };
		["an unknown direction"] = { function(_, rule) rule.directions = { "up" }; end, "rules[1].directions[1]: is \"up\", must be inside, in or out" };
		["a sender that is not there"] = { function(_, rule) rule.from = { "nobody" }; end, "rules[1].from[1]: is \"nobody\", must be one of the people of this file" };
		["a rate of nothing"] = { function(_, rule) rule.rate = { messages = 0; minutes = 1 }; end, "rules[1].rate.messages: is 0, must be a whole number from 1 to 10000" };
		["an eighth day"] = { function(_, rule) rule.hours = { { days = { 8 }; from = 0; ["until"] = 1; utc = true } }; end, "rules[1].hours[1].days[1]: is 8, must be a whole number from 1 to 7" };
		["no zone"] = { function(d) d.zone = { "Europe/Oslo" }; end, "zone[1]: is \"Europe/Oslo\", must be an instant and minutes" };
		["an unknown stance"] = { function(d) d.end_to_end_encryption = "maybe"; end, "end_to_end_encryption: is \"maybe\", must be \"forbid\" or \"permit\"" };
		["an unknown body"] = { function(d) d.body = "some"; end, "body: is \"some\", must be \"none\", \"hash\" or \"full\"" };
		["no notice"] = { function(d) d.notice = nil; end, "notice: is nil, must be a text, empty for none" };
	}) do
		it("is refused with " .. name, function() assert.equal(case[2], fault(case[1])); end);
	end
end);

describe("what a reader takes for the same", function()
	local function says(over, text) return is_met(ruleset(over), to_bob(e("body", text))); end

	for script, number in pairs({
		["Persian"] = "۶۰۱۱ ۰۰۰۹ ۹۰۱۳ ۹۴۲۴"; ["Arabic"] = "٦٠١١ ٠٠٠٩ ٩٠١٣ ٩٤٢٤"; ["Hindi"] = "६०११ ०००९ ९०१३ ९४२४";
		["Thai"] = "๖๐๑๑ ๐๐๐๙ ๙๐๑๓ ๙๔๒๔"; ["Bengali"] = "৬০১১ ০০০৯ ৯০১৩ ৯৪২৪"; ["old computers"] = "🯶🯰🯱🯱 🯰🯰🯰🯹 🯹🯰🯱🯳 🯹🯴🯲🯴";
	}) do
		it("are digits of " .. script, function()
			assert.is_true(says({ validators = { "card" } }, number));
			assert.is_true(says({ patterns = { "#### #### ####" } }, number));
		end);
	end

	for text, word in pairs({
		["ΜΥΣΤΙΚΟΣ"] = "μυστικος"; ["μυστικοσ"] = "ΜΥΣΤΙΚΟΣ"; ["ᴘᴀꜱꜱᴡᴏʀᴅ"] = "password"; ["ᴘᴀssᴡᴏʀᴅ"] = "password"; ["ᴄᴏɴꜰɪᴅᴇɴᴛɪᴀʟ"] = "confidential";
		["ᴄᴏɴғɪᴅᴇɴᴛɪᴀʟ"] = "confidential"; ["⒡⒜⒧⒞⒪⒩"] = "falcon"; ["🄕🄐🄛🄒🄞🄝"] = "falcon"; ["ƒalcon"] = "falcon"; ["ᖴᗩᒪᑕOᑎ"] = "falcon"; ["ᔕᗯᗩᘔᗩK ᑫᑌO"] = "swazak quo";
	}) do
		it(("are %s and %s"):format(text, word), function() assert.is_true(says({ keywords = { word } }, "(" .. text .. ")")); end);
	end

	-- letters and marks on them apart, as Apple's files have them; and letters of others under the same marks
	for text, word in pairs({
		["таи\204\134на"] = "тайна"; ["е\204\136лочка"] = "ёлочка"; ["απο\204\129ρρητο"] = "απόρρητο"; ["ΑΠΌΡΡΗΤΟΣ"] = "απόρρητος"; ["ό\204\129"] = "ό";
		["май у\204\134"] = "Май Ў"; ["ma\204\163\204\130t kha\204\130\204\137u"] = "mật khẩu"; ["ma\204\130\204\163t khâ\204\137u"] = "MẬT KHẨU";
		["ᾆ"] = "α\204\147\205\130\205\133"; ["ハ\227\130\154スワート\227\130\153"] = "パスワード"; ["カ\227\130\153"] = "ガ"; ["ﾊﾟｽﾜｰﾄﾞ"] = "パスワード"; ["ﺍﻟﺴﺮﻳﺔ"] = "السرية";
		["ا\217\148سرار"] = "أسرار"; ["\225\132\135\225\133\181\225\134\175문\225\132\137\225\133\165"] = "빌문서"; ["각\225\134\168나"] = "각\225\134\168나";
		["lӧsenord"] = "lösenord"; ["noёl"] = "noël"; ["hӓlsa"] = "hälsa"; ["cafе\204\129"] = "café"; ["ça va"] = "с\204\167a va"; ["ｈ\204\182ａ\204\182ͱ\204\129"] = "haͱ";
	}) do
		it(("are %s and %s"):format(text, word), function() assert.is_true(says({ keywords = { word } }, "(" .. text .. ")")); end);
	end

	it("are not letters that have a mark and those that have none", function()
		for text, word in pairs({ ["таина"] = "тайна"; ["halsa"] = "hälsa"; ["ハス"] = "パス"; ["hälsa"] = "halsa"; ["각나"] = "간나"; ["اسرار"] = "أسرار" }) do
			assert.is_false(says({ keywords = { word } }, text), text);
		end
	end);

	for name, mark in pairs({
		["a long vowel"] = "ー"; ["a narrow long vowel"] = "ｰ"; ["an apostrophe"] = "ʼ"; ["a minus sign"] = "˗"; ["maqaf"] = "־"; ["tatweel"] = "ـ"; ["a vowel of Korea"] = "ㅡ";
		["a dot of Chinese"] = "ꞏ"; ["a blank of Ogham"] = "\225\154\128"; ["several"] = "ー ー"; ["a next line"] = "\194\133"; ["delete"] = "\127";
	}) do
		it("are numbers with " .. name .. " between their digits", function()
			assert.is_true(says({ validators = { "card" } }, "4111" .. mark .. "1111" .. mark .. "1111" .. mark .. "1111"));
			assert.is_true(says({ validators = { "card" } }, "४१११" .. mark .. "११११" .. mark .. "११११" .. mark .. "११११"));
		end);
	end

	for text, word in pairs({
		["ســـري"] = "سري"; ["سِرّي"] = "سري"; ["סוֹדִי"] = "סודי"; ["\239\173\139די"] = "ודי"; ["ea\194\133gle"] = "eagle"; ["ea\127gle"] = "eagle"; ["ea\240\157\133\153gle"] = "eagle";
		["סודי־ביותר"] = "סודי ביותר"; ["ـ"] = "ـ"; ["ﾞ"] = "゙"; ["Обʼєкт"] = "обʼєкт"; ["3データ5"] = "データ";
	}) do
		it(("are %s and %s"):format(text, word), function() assert.is_true(says({ keywords = { word } }, "(" .. text .. ")")); end);
	end
end);

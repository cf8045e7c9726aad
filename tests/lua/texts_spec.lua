-- SPDX-License-Identifier: GPL-3.0-or-later
-- What of a message stands in its event: all that its reader may be shown.
local helper = dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "./") .. "helper.lua");
local texts = helper.load("sallyport", "texts");
local e = helper.element;

local XHTML_IM, XHTML, OOB = "http://jabber.org/protocol/xhtml-im", "http://www.w3.org/1999/xhtml", "jabber:x:oob";

local function html(...) return e("html " .. XHTML_IM, e("body " .. XHTML, ...)); end
local function x(name, ...) return e(name .. " " .. XHTML, ...); end

describe("the words of a message", function()
	for name, case in pairs({
		["a text"] = { e("message", e("body", " a  text ")), " a  text " };
		["each language"] = { e("message", e("body", "one"), e("body", { ["xml:lang"] = "de" }, "eins"), e("body", "one")), "one\neins" };
		["a subject alone"] = { e("message", e("subject", "s")), "s" };
		["a subject beside a text"] = { e("message", e("subject", "s"), e("subject", { ["xml:lang"] = "de" }, "t"), e("body", "b")), "b", "s\nt" };
		["the same, formatted"] = { e("message", e("body", "a big\nday"), html(x("p", "a ", x("b", "b"), "ig", x("br"), "day"))), "a big\nday" };
		["others, formatted"] = { e("message", e("body", "hello"), html(x("p", "con", x("b", "fid"), "ential"), x("p", "x"))), "hello\nconfidential\nx" };
		["others, formatted in another language"] = { e("message", e("body", "a"), html("a", x("br")), html("b")), "a\nb" };
		["formatted and a subject"] = { e("message", e("subject", "s"), html("h")), "h", "s" };
		["where a link leads"] = { e("message", e("body", "here"), html(x("a", { href = "https://evil.test" }, "here"))), "here\nhere <https://evil.test>" };
		["a link that says it"] = { e("message", e("body", "https://a.test"), html(x("a", { href = "https://a.test" }, "https://a.test"))), "https://a.test" };
		["what stands for a picture"] = { e("message", html(x("img", { src = "https://f/1", alt = "plan" }))), "<https://f/1> <plan>" };
		["a link beside the text"] = { e("message", e("body", "x"), e("x " .. OOB, e("url " .. OOB, "https://f/1"), e("desc " .. OOB, "plan"))), "x\nhttps://f/1\nplan" };
		["a link that is the text"] = { e("message", e("body", "https://f/1"), e("x " .. OOB, e("url " .. OOB, "https://f/1"))), "https://f/1" };
		["why somebody is invited"] = { e("message", e("x jabber:x:conference", { jid = "r@rooms.x"; reason = "plan" })), "plan" };
		["elements in others"] = { e("message", e("desc urn:z", "a", e("desc urn:z", "b", e("x urn:z", { reason = "c" }, "d")))), "abd\nc" };
		["formatted text with blanks around it"] = { e("message", e("html " .. XHTML_IM, " \n ", e("p " .. XHTML, "a b"), "\n \n")), "a b" };
		["nothing"] = { e("message", e("body", " "), html(x("br")), e("thread", "t"), e("active http://jabber.org/protocol/chatstates")) };
		["presence in two languages"] = { e("presence", e("status", "one"), e("status", { ["xml:lang"] = "de" }, "eins"), e("show", "away")), "one\neins" };
	}) do
		it("are those of " .. name, function() assert.same({ case[2], case[3] }, { texts.shown(case[1]) }); end);
	end

	it("are not longer than those of the longest message in two forms", function()
		for _, letter in ipairs({ "a", "ä", "看" }) do
			local text = texts.shown(e("message", e("body", letter:rep(60000))));
			assert.is_true(#text <= 32768 + #"…");
			assert.equal("", (text:gsub(letter, ""):gsub("…$", "")));
		end
	end);
end);

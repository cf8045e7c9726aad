-- SPDX-License-Identifier: GPL-3.0-or-later
-- What the validators and keywords find, and above all what they do not.
local helper = dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "./") .. "helper.lua");
local folding, keywords = helper.load("sallyport", "folding"), helper.load("sallyport", "keywords");
local numbers = helper.load("sallyport", "numbers");

local function found(kind, text) return numbers.found({ kind }, keywords.prepare(folding.fold(text))); end

-- Numbers of documentation and of tests of their issuers; nobody has them.
local FOUND = {
	["card"] = {
		"4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111", "4111.1111.1111.1111", "4111 1111-1111.1111", "４１１１１１１１１１１１１１１１",
		"5555555555554444", "2223003122003222", "378282246310005", "3782 822463 10005", "30569309025904", "3056 930902 5904", "6011111111111117", "3530111333300000",
		"4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", "41-11-11-11-11-11-11-11", "card:4111111111111111.", "x4111111111111111x", "٤١١١١١١١١١١١١١١١", "4111\226\128\1391111\194\1731111 1111",
		"tel 5 4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 and 22", "4111_1111_1111_1111", "4111\240\157\133\1791111\225\160\1431111 1111", "2026-11-28 4111 1111 1111 1111",
		"4111, 1111, 1111, 1111", "4111,1111,1111,1111", "4111:1111:1111:1111", "(4111)(1111)(1111)(1111)", "[4111] [1111] [1111] [1111]", "4111;1111;1111;1111", "4111::1111::1111::1111", "4111|1111|1111|1111",
		"4111 / 1111 / 1111 / 1111", "4111\n1111\n1111\n1111", "4,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1", "4111'1111'1111'1111", "4111、1111、1111、1111", "12:30, 4111, 1111, 1111, 1111, 5",
		-- in other groups, with the month in which it expires
		"3782 8224 6310 005 12/27", "3056 9309 0259 04 12/27", "411111 1111111111 12/27", "4111 111111 111111 12/27", "4111 1111 11111111 12/27 123", "41 11 11 11 11 11 11 11 12/27 123",
		"41 11 11 11 11 11 11 11, 12 / 2027", "41 11 11 11 11 11 11 11 exp 12/27, 41 11 11 11 11 11 11 11 12/27", "41111 11111 11111 1 12/27 123", "411 111 111 111 111 1 09/2027", "12/27 411111 1111111111",
		"4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 2 2 7", "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 2 / 2 7", "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 2 2 0 2 7", "4111 1111 1111 1111/12/27",
		"code 123 3782 8224 6310 005", "code 123 3056 9309 0259 04", "code 123 411111 1111111111", "code 123 411111 111111 1111", "code 123 4111 111111 111111", "code 123 4111 1111 11111111",
		"code 123 41111111 1111 1111", "code 123 4111 11111111 1111", "code 123 41111111-11111111", "46-64-67-59-40-12-30-43",
	},
	["iban"] = { "DE89370400440532013000", "DE89 3704 0044 0532 0130 00", "NO93 8601 1117 947", "SE45 5000 0000 0583 9825 7466", "gb29nwbk60161331926819", "ＤＥ89-3704-0044-0532-0130-00", "IBAN:NL91ABNA0417164300", "DE89, 3704, 0044, 0532, 0130, 00", "DE89:3704:0044:0532:0130:00", "I B A N D E 8 9 3 7 0 4 0 0 4 4 0 5 3 2 0 1 3 0 0 0",
		-- the printed forms of the registry
		"MT84 MALT 0110 0001 2345 MTLC AST0 01S", "AZ21 NABZ 0000 0000 1370 1000 1944", "BH67 BMAG 0000 1299 1234 56", "BY13 NBRB 3600 9000 0000 2Z00 AB00", "DO28 BAGR 0000 0001 2124 5361 1324",
		"GT82 TRAJ 0102 0000 0012 1002 9690", "JO94 CBJO 0010 0000 0000 0131 0003 02", "KW81 CBKU 0000 0000 0000 1234 5601 01", "LC55 HEMM 0001 0001 0012 0012 0002 3015", "MU17 BOMM 0101 1010 3030 0200 000M UR",
		"PS92 PALS 0000 0000 0400 1234 5670 2", "QA58 DOHB 0000 1234 5678 90AB CDEF G", "SC18 SSCB 1101 0000 0000 0000 1497 USD", "SV62 CENR 0000 0000 0000 0070 0025", "IQ98 NBIQ 8501 2345 6789 012",
		"FR14 2004 1010 0505 0001 3M02 606", "IT60 X054 2811 1010 0000 0123 456", "BR18 0036 0305 0000 1000 9795 493C 1", "TR33 0006 1005 1978 6457 8413 26", "NL 91 ABNA 0417 164 300", "GB29 NWBK 601613 31926819",
		"NO 93 8601 1117 947", "IBAN: NO 9386011117947", "konto no 9386 0111 17947" },
	["id-no"] = { "01010750160", "010107 50160", "01 01 07 50160", "0 1 0 1 0 7 5 0 1 6 0", "010107,50160", "(010107) 50160", "0,1,0,1,0,7,5,0,1,6,0" },
	["id-se"] = { "811218-9876", "19811218-9876", "198112189876", "811278-9873", "811218+9876", "pnr 8112189876", "811218:9876", "19811218 9876", "1981 12 18 9876",
		"pnr 1981-12-18-9876", "pnr 1981/12/18-9876", "pnr 1981.12.18-9876", "pnr 81-12-18-9876", "pnr 81 12 18 9876", "pnr 1981-12-18 9876", "pnr 202108250701", "19191231-1006" },
	["id-nl"] = { "BSN 111222333", "bsn: 1112.22.333", "BSN 11 12 22 333", "BSN 111222 333", "BSN 1 1 1 2 2 2 3 3 3", "BSN-nummer 111222333" },
	["id-de"] = { "86 095 742 719", "Steuer-ID: 86095742719", "Steuer-ID 86.095.742.719", "Steuer-ID: 86 095742719", "Steuernr 86095742719", "IdNr. 8609574 2719" },
	["id-us"] = { "078-05-1120", "078 05 1120", "SSN 078051120", "SSN: (078051120)", "social security number 078051120", "SSN 078 051 120", "SSN: 0780 51120" },
};
local NOT_FOUND = {
	["card"] = { "4111111111111112", "1111111111111111", "4444444444444444", "411111111111111", "9111111111111111", "4500012345 2026-11-28", "41.11.2026 11111111111111", "12345678901234567890123", "4111 1111 1111", "4111\n1111", "4111a1111b1111c1111", "2606:4700:4700::1001", "1,111,111,111", "41,11,11,11,11,11,11,11",
		-- two numbers of telephones
		"Ring 43949621, 97655571", "Tlf 47650808 / 42590175", "46 64 67 59\n40 12 30 43", "484 41 847\n426 89 825", "484 41 847 og 426 89 825", "46 64 67 59\n40 12 30 43 12/10", "484 41 847 42 68 98 09",
		-- numbers that count up
		"uke 41 42 43 44 45 46 47 48", "str 30 34 38 42 46 50 54", "4100 4150 4200 4250", "4100, 4150, 4200, 4250", "uke 36 37 38 40 42 43 44", "41/11/11/11/11/11/11/11", "code 123 411111, 1111111111" },
	["iban"] = { "DE88370400440532013000", "DE8937040044053201300", "XX89370400440532013000", "de89", "DE 89", "Article no 1200793805823", "The GTIN will be 93916199831901", "Order no 2851 2626 63035" },
	["id-no"] = { "konto 0101.07.50160", "konto 0101 07 50160", "+01 010 75 01 60", "ring (+01) 010 75 01 60", "01010750161", "41131089393", "00000000000", "12345678901" },
	["id-se"] = { "811218-9875", "8112189876", "070-123 45 67", "811378-9876", "18112189876",
		-- time stamps
		"report_202108250701.pdf", "Screenshot_20230119-0852.png", "Meeting 20240523 0059", "log 221221-1912", "202501142042 UTC", "2024-05-23-0059" },
	["id-nl"] = { "111222333", "bsn 111222334", "BSN" },
	["id-de"] = { "86095742719", "+86 095 742 719", "Steuer 86095742718", "Steuer 86 095742718", "Steuer 01234567890" },
	["id-us"] = { "078051120", "000-05-1120", "666-05-1120", "900-05-1120", "078-00-1120", "078-05-0000", "078-051-120", "rooms 078, 05, 1120", "078:05:1120", "social 12 078, 051, 120", "social: +46 70 123 45 67", "social evening, ring 601 234 567" },
};

for kind, texts in pairs(FOUND) do
	for _, text in ipairs(texts) do
		it(("%s is found in %q"):format(kind, text), function() assert.is_true(found(kind, text)); end);
	end
end
for kind, texts in pairs(NOT_FOUND) do
	for _, text in ipairs(texts) do
		it(("%s is not found in %q"):format(kind, text), function() assert.is_false(found(kind, text)); end);
	end
end

it("are looked for once in a text, whatever the number of rules, and apart from their parts", function()
	local text = keywords.prepare(folding.fold("111222333 and 86095742719"));
	assert.is_true(numbers.has_part({ "id-nl" }, text));
	assert.is_false(numbers.found({ "id-nl" }, text));
	assert.is_true(numbers.has_part({ "iban", "id-de" }, text));
	assert.is_false(numbers.found({ "iban", "id-de" }, text));
	text = keywords.prepare(folding.fold(("1 4111 de89 "):rep(1000)));
	numbers.found({ "card", "iban", "id-no", "id-se" }, text);
	local begun = os.clock();
	for _ = 1, 1000 do assert.is_false(numbers.found({ "card", "iban", "id-no", "id-se" }, text)); end
	assert.is_true(os.clock() - begun < 0.2);
end);

it("take a time in proportion to the text, beside their names too", function()
	for _, piece in ipairs({ "00 0 ", "1 12/27 ", "2026-01-01-1", "+1 ", "mt84 malt 0110 0001 2345 " }) do
		local text = keywords.prepare(folding.fold("bsn pnr steuer ssn iban " .. piece:rep(16384 / #piece)));
		local begun = os.clock();
		for kind in pairs(numbers.KINDS) do numbers.found({ kind }, text); end
		assert.is_true(os.clock() - begun < 0.25, piece);
	end
end);

it("marks, scores and votes are no card numbers", function()
	local state = 20260102;
	for _ = 1, 300 do
		local marks = {};
		for at = 1, 24 + state % 20 do
			state = state * 16807 % 2147483647;
			marks[at] = state % 5 + 1;
		end
		local text = "Ratings: " .. table.concat(marks, " ");
		assert.is_false(found("card", text), text);
	end
end);

describe("5,000 ordinary sentences in six languages", function()
	local sentences = helper.sentences();

	local WORDS = keywords.new();
	WORDS:add("words", {
		"confidential", "strictly confidential", "secret", "internal only", "password", "passwort", "lösenord", "passord", "wachtwoord", "mot de passe",
		"hemlig", "hemligt", "fortrolig", "geheim", "vertraulich", "vertrouwelijk", "confidentiel", "private key", "merger", "layoffs", "resign", "project falcon",
		"salary list", "löneförhandling", "сделка", "пароль", "секрет", "board minutes", "due diligence", "cap table", "term sheet",
	});

	for kind in pairs(numbers.KINDS) do
		it("are not hit by " .. kind, function()
			for _, sentence in ipairs(sentences) do assert.is_false(found(kind, sentence), sentence); end
		end);
	end
	it("are not hit by a list of keywords, and each keyword is found in one", function()
		for _, sentence in ipairs(sentences) do assert.same({}, WORDS:found(keywords.prepare(folding.fold(sentence))), sentence); end
		assert.same({ words = true }, WORDS:found(keywords.prepare(folding.fold(sentences[1] .. " ПАРОЛЬ"))));
	end);
	it("two of them in a row are not hit either", function()
		for at = 1, #sentences - 1 do
			local text = keywords.prepare(folding.fold(sentences[at] .. " " .. sentences[at + 1]));
			assert.same({}, WORDS:found(text), sentences[at] .. " " .. sentences[at + 1]);
			assert.is_false(numbers.found({ "card", "iban", "id-no", "id-us" }, text), sentences[at] .. " " .. sentences[at + 1]);
		end
	end);
end);

describe("what long lists cost", function()
	local addresses = helper.load("sallyport", "addresses");
	local means = { ascii = function(name) return name; end; unicode = function(name) return name; end };

	local function seconds(work)
		local begun = os.clock();
		work();
		return os.clock() - begun;
	end

	it("is the same for ten keywords and ten thousand in twenty sets", function()
		local small, large = keywords.new(), keywords.new();
		local function add(index, id, first, last)
			local set = {};
			for number = first, last do set[#set + 1] = ("word%d of many"):format(number); end
			index:add(id, set);
		end
		add(small, 1, 1, 10);
		for id = 1, 20 do add(large, id, id * 500 - 499, id * 500); end
		local text = keywords.prepare(folding.fold(("some words of a text "):rep(700)));
		local function look(set) return seconds(function() for _ = 1, 20 do set:found(text); end end); end
		assert.is_true(look(large) < look(small) * 3 + 0.05);
		assert.same({}, large:found(text));
		large:add("more", { "words of a" });
		assert.same({ more = true }, large:found(text));
	end);

	it("is small for a hundred thousand blocked names", function()
		local names = {};
		for at = 1, 100000 do names[at] = ("host%d.bad.example"):format(at); end
		local list = addresses.blocklist(names);
		local text = ("https://www.host0.good.example/a/b?c "):rep(400);
		assert.is_true(seconds(function() assert.is_false(addresses.blocked({ list }, addresses.found(text, means))); end) < 0.5);
		assert.is_true(addresses.blocked({ list }, addresses.found(text .. "x.host99999.bad.example", means)));
	end);
end);

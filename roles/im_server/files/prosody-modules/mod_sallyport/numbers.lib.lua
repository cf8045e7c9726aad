-- SPDX-License-Identifier: GPL-3.0-or-later
-- Finds numbers that prove themselves by their digits: payment cards, accounts, people. Each place of a text is looked at a
-- bounded number of times. What could be any number counts only with its name in the same text. Pure.

local M = {};

-- Digits of issuers (ISO/IEC 7812): the first digits from and to, and how many there are in all.
local ISSUERS = {
	{ "4", "4", { [16] = true; [19] = true } }, -- Visa
	{ "51", "55", { [16] = true } }, { "2221", "2720", { [16] = true } }, -- Mastercard
	{ "34", "34", { [15] = true } }, { "37", "37", { [15] = true } }, -- American Express
	{ "300", "305", { [14] = true } }, { "36", "36", { [14] = true } }, { "38", "39", { [14] = true } }, -- Diners Club
	{ "6011", "6011", { [16] = true; [19] = true } }, { "644", "659", { [16] = true; [19] = true } }, -- Discover
	{ "3528", "3589", { [16] = true; [19] = true } }, -- JCB
	{ "62", "62", { [16] = true; [17] = true; [18] = true; [19] = true } }, -- UnionPay
	{ "5018", "5018", { [16] = true } }, { "5020", "5020", { [16] = true } }, { "5038", "5038", { [16] = true } }, -- Maestro
	{ "6759", "6759", { [16] = true } }, { "6761", "6763", { [16] = true } },
};

-- ISO/IEC 7812-1, annex B.
local function luhn(digits)
	local sum, double = 0, false;
	for at = #digits, 1, -1 do
		local digit = digits:byte(at) - 48;
		if double then digit = digit * 2 > 9 and digit * 2 - 9 or digit * 2; end
		sum, double = sum + digit, not double;
	end
	return sum % 10 == 0;
end

local function is_card(digits)
	for _, issuer in ipairs(ISSUERS) do
		local first = digits:sub(1, #issuer[1]);
		if first >= issuer[1] and first <= issuer[2] and issuer[3][#digits] then
			-- a number of one digit only is an example
			return luhn(digits) and digits:find("[^" .. digits:sub(-1) .. "]") ~= nil;
		end
	end
	return false;
end

local DAYS = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

local function is_date(day, month)
	return DAYS[month] ~= nil and day >= 1 and day <= DAYS[month];
end

local function weighted(digits, weights)
	local sum = 0;
	for at, weight in ipairs(weights) do sum = sum + weight * (digits:byte(at) - 48); end
	return sum;
end

-- Fødselsnummer and D-nummer (day + 40), H-nummer (month + 40): two check digits.
local FIRST_NO, SECOND_NO = { 3, 7, 6, 1, 8, 9, 4, 5, 2, 1 }, { 5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1 };

local function is_norwegian(digits)
	local day, month = tonumber(digits:sub(1, 2)), tonumber(digits:sub(3, 4));
	return #digits == 11 and is_date(day > 40 and day - 40 or day, month > 40 and month - 40 or month)
		and weighted(digits, FIRST_NO) % 11 == 0 and weighted(digits, SECOND_NO) % 11 == 0;
end

-- Personnummer and samordningsnummer (day + 60): Luhn over ten digits.
local function is_swedish(digits)
	local ten = digits:sub(-10);
	local day = tonumber(ten:sub(5, 6));
	return (#digits == 10 or #digits == 12 and (digits:find("^19") or digits:find("^20")))
		and is_date(day > 60 and day - 60 or day, tonumber(ten:sub(3, 4))) and luhn(ten);
end

-- Burgerservicenummer: the test of eleven.
local function is_dutch(digits)
	return #digits == 9 and weighted(digits, { 9, 8, 7, 6, 5, 4, 3, 2, -1 }) % 11 == 0 and digits ~= "000000000";
end

-- Steuerliche Identifikationsnummer: one of the first ten digits stands there twice or three times; ISO/IEC 7064, MOD 11,10.
local function is_german(digits)
	if #digits ~= 11 or digits:sub(1, 1) == "0" then return false; end
	local times, product = {}, 10;
	for at = 1, 10 do
		local digit = digits:byte(at) - 48;
		times[digit] = (times[digit] or 0) + 1;
		local sum = (digit + product) % 10;
		product = (sum == 0 and 10 or sum) * 2 % 11;
	end
	local repeated = 0;
	for _, count in pairs(times) do
		if count > 3 then return false; end
		if count > 1 then repeated = repeated + 1; end
	end
	return repeated == 1 and (11 - product) % 10 == digits:byte(11) - 48;
end

-- Social Security number: no check digit, so only its form (SSA, POMS RM 10201.035).
local function is_american(digits)
	local area = digits:sub(1, 3);
	return #digits == 9 and area ~= "000" and area ~= "666" and area < "900" and digits:sub(4, 5) ~= "00" and digits:sub(6) ~= "0000";
end

-- What reads as a time of day behind a date of these years is a time stamp more often than a person.
local function is_time_stamp(digits)
	local year = tonumber(digits:sub(1, -9));
	if #digits == 10 then year = 2000 + year; end
	return year >= 2015 and year < 2050 and digits:sub(-4) < "2400" and digits:sub(-2) < "60";
end

local function named(list)
	local set = {};
	for word in list:gmatch("%S+") do set[word] = true; end
	return set;
end

-- Numbers that count up are weeks, sizes or prices. A few of them count up by chance, in equal steps they do not.
local function is_series(groups, first, last)
	local step, even = groups[first + 1] - groups[first], true;
	for at = first + 1, last do
		local by = groups[at] - groups[at - 1];
		if #groups[at] ~= #groups[first] or by == 0 or by < 0 and by ~= step then return false; end
		even = even and by == step;
	end
	return last - first >= 3 and even or last - first >= 6 and step > 0;
end

-- Two numbers of telephones of Norway, one behind the other or below it.
local PHONE, TWO_PHONES = { "2-2-2-2", "3-2-3" }, {};
for _, one in ipairs(PHONE) do
	for _, other in ipairs(PHONE) do TWO_PHONES[one .. "-" .. other] = select(2, one:gsub("-", "")) + 2; end
end

-- For each: the check; the forms in which it counts by itself, as lengths of its groups of digits, and those in which it
-- does with one blank or hyphen between them (tight); whether any groups do that are all there is (whole), and which do not
-- (never); whether it may stand behind a plus, as a telephone does; whether telephones and series may look like it; what is
-- more often something else (doubtful); whether it may begin with a date as such. With one of its words in the text it counts
-- in any groups, and if it has no check digit, only with the usual marks between them, and in a loose form, or as a whole with
-- a word that means nothing else (sure).
local KINDS = {
	["card"] = {
		check = is_card; whole = true; least = 14; most = 19; plus = true; phones = true; -- and series
		forms = named "14 15 16 17 18 19 4-4-4-4 4-4-4-4-3 4-6-5 4-6-4";
		tight = named "8-8 4-4-4-3 4-4-4-2 6-10 6-6-4 4-6-6 4-4-8 8-4-4 4-8-4";
	};
	["id-no"] = {
		check = is_norwegian; whole = true; least = 11; most = 11; forms = named "11 6-5 2-2-2-5 2-2-2-3-2 6-3-2";
		never = named "4-2-5"; -- an account
	};
	["id-se"] = {
		check = is_swedish; least = 10; most = 12; forms = named "12 8-4 6-4 4-2-2-4"; doubtful = is_time_stamp; dated = true;
		words = named "personnummer personnumret personnr pnr samordningsnummer";
	};
	["id-nl"] = {
		check = is_dutch; least = 9; most = 9; forms = {}; words = named "bsn bsnnummer burgerservicenummer burgerservicenr sofinummer";
	};
	["id-de"] = {
		check = is_german; least = 11; most = 11; forms = named "2-3-3-3";
		words = named "steuer steuerid steuernr idnr identifikationsnummer steueridentifikationsnummer steuernummer";
	};
	["id-us"] = {
		check = is_american; least = 9; most = 9; usual = true; forms = named "3-2-4"; loose = named "9"; words = named "ssn ssns social";
		sure = named "ssn ssns"; -- a social evening has a telephone of nine digits, too
	};
};

local MOST_GROUPS = 5; -- of a form

local function has_one(words, present)
	for word in pairs(words) do
		if present[word] then return true; end
	end
	return false;
end

-- All of them, or all but one at an end: a list of marks, scores or votes holds a number that fits somewhere in it. Behind a
-- card may be the month in which it expires.
local function in_single(digits, kind)
	local parts = { digits, digits:sub(2), digits:sub(1, -2) };
	local expires = kind.phones and (digits:match("()[01]%d[2-4]%d$") or digits:match("()[01]%d20%d%d$"));
	if expires then parts[4] = digits:sub(1, expires - 1); end
	for _, part in ipairs(parts) do
		if #part >= kind.least and #part <= kind.most and kind.check(part) then return true; end
	end
	return false;
end

local function form_of(groups)
	local lengths = {};
	for at, group in ipairs(groups) do lengths[at] = #group; end
	return table.concat(lengths, "-");
end

-- Are all groups one number?
local function is_whole(groups, digits, kind)
	if not groups.close or #digits < kind.least or #digits > kind.most or not kind.check(digits) then return false; end
	local form = form_of(groups);
	if kind.never and kind.never[form] then return false; end
	if not kind.phones or groups.expires then return true; end
	local second = TWO_PHONES[form];
	return not (second and groups.between[second] == " ") and (#groups < 4 or not is_series(groups, 1, #groups));
end

local function is_tight(groups, first, last)
	for at = first + 1, last do
		if groups.between[at] ~= " " and groups.between[at] ~= "-" then return false; end
	end
	return true;
end

-- Looks at the groups of digits that stand together, from each of them on.
-- @param known one of its words is in the text
-- @param whole any groups count that are all there is
local function in_groups(groups, kind, known, whole)
	local all = table.concat(groups);
	if whole and (kind.plus or not groups.plus[1]) then
		if is_whole(groups, all, kind) then return true; end
		if groups.single then return in_single(all, kind); end
	end
	if groups.single then return false; end
	local any = known and not kind.usual;
	for first = 1, #groups do
		local digits, form = "", "";
		for at = first, math.min(#groups, first + (any and kind.most or MOST_GROUPS) - 1) do
			if not kind.plus and groups.plus[first] then break; end
			digits, form = digits .. groups[at], (at > first and form .. "-" or "") .. #groups[at];
			if #digits > kind.most then break; end
			if #digits >= kind.least then
				local fits = any or kind.forms[form] or known and kind.loose[form] or kind.tight and kind.tight[form] and is_tight(groups, first, at);
				if fits and kind.check(digits) and (known or not (kind.doubtful and kind.doubtful(digits)))
					and not (kind.phones and at - first >= 3 and is_series(groups, first, at)) then return true; end
			end
		end
	end
	return false;
end

-- A date is no part of a longer number, nor is an address of IPv4 or, when it is shortened, of IPv6.
local DATES = { "%f[%d][12][09]%d%d[-./][01]?%d[-./][0-3]?%d%f[%D]", "%f[%d][0-3]?%d[-./][01]?%d[-./][12][09]%d%d%f[%D]" };
local IPV4 = "%f[%w.](%d%d?%d?)%.(%d%d?%d?)%.(%d%d?%d?)%.(%d%d?%d?)%f[^%w.]";

local function without_ipv4(...)
	for _, octet in ipairs({ ... }) do
		if tonumber(octet) > 255 then return nil; end
	end
	return "x";
end

-- Behind a card, the month in which it expires, of the years 2020 to 2049: "12/10" is a day. What stands in its place is in no folded text.
local EXPIRED = "\1";
local EXPIRY = {
	"(%d)[%p ]?[%p ]?[%p ]?%f[%d/]0[1-9] ?/ ?[2-4]%d%f[^%d/]", "(%d)[%p ]?[%p ]?[%p ]?%f[%d/]1[0-2] ?/ ?[2-4]%d%f[^%d/]",
	"(%d)[%p ]?[%p ]?[%p ]?%f[%d/]0[1-9] ?/ ?20%d%d%f[^%d/]", "(%d)[%p ]?[%p ]?[%p ]?%f[%d/]1[0-2] ?/ ?20%d%d%f[^%d/]",
};

local SHORTEST = 9; -- digits

local function new_groups(close, usual)
	return { close = close; usual = usual; between = {}; plus = {} };
end

-- Adds what stands together, when it is long enough; and digits that stand one by one apart from what is beside them.
local function add(found, groups)
	local digits = #table.concat(groups);
	if digits < SHORTEST then return; end
	found[#found + 1] = groups;
	local single = new_groups(false, groups.usual);
	if #groups == digits then groups.single = true; end
	for at = 1, #groups + 1 do
		if groups[at] and #groups[at] == 1 then
			single[#single + 1] = groups[at];
		else
			if #single >= SHORTEST and #single < #groups then
				single.single = true;
				found[#found + 1] = single;
			end
			single = new_groups(false, groups.usual);
		end
	end
end

-- What may stand between two groups: what people write in a number, or any mark.
local USUAL, ANY = "(%+?)(%d[%d ._/+-]*)(" .. EXPIRED .. "?)", "(%+?)(%d[%d%p ]*)(" .. EXPIRED .. "?)";

-- Splits a run of digits where there are more than three marks between two of them.
local function add_run(found, run, usual, plus, expired)
	local groups = new_groups(usual, usual);
	for between, group in run:gmatch("(%D*)(%d+)") do
		if #between > 3 then
			add(found, groups);
			groups = new_groups(usual, usual);
		end
		if #between > 1 or between == "/" then groups.close = false; end
		groups[#groups + 1] = group;
		groups.between[#groups] = between;
		groups.plus[#groups] = between == "" and plus or between:find(".%+$") ~= nil;
	end
	groups.expires = expired;
	add(found, groups);
end

local function without_ipv6(token)
	return select(2, token:gsub("::", "")) == 1 and "x" or token;
end

local function add_runs(found, text)
	for plus, run, expired in text:gmatch(USUAL) do add_run(found, run, true, plus ~= "", expired ~= ""); end
	for plus, run, expired in text:gmatch(ANY) do
		if run:find("[^%d ._/+-]") then add_run(found, run, false, plus ~= "", expired ~= ""); end
	end
end

-- @return what stands together, and the same with the dates, if there are any
local function runs(text)
	if not text:find("%d") then return {}; end
	if text:find("::", 1, true) then text = text:gsub("[%x:]+", without_ipv6); end
	local found, dated = {}, nil;
	if text:find("%d[-./]%d") then
		text = text:gsub(IPV4, without_ipv4);
		local dates, whole = 0, text;
		for _, date in ipairs(DATES) do
			local count;
			text, count = text:gsub(date, "x");
			dates = dates + count;
		end
		if dates > 0 then
			dated = {};
			add_runs(dated, whole);
		end
	end
	add_runs(found, text);
	if text:find("%d ?/ ?%d") then
		local expiries = 0;
		for _, expiry in ipairs(EXPIRY) do
			local count;
			text, count = text:gsub(expiry, "%1" .. EXPIRED);
			expiries = expiries + count;
		end
		if expiries > 0 then add_runs(found, text); end
	end
	return found, dated;
end

-- What stands behind the country and the check digits, by country: so many digits (n), letters (a), or both (c) (SWIFT IBAN
-- registry).
local IBAN = {};
for country, parts in ([[
	ad 8n12c ae 19n al 8n16c at 16n az 4a20c ba 16n be 12n bg 4a6n8c bh 4a14c bi 23n br 23n1a1c by 4c4n16c ch 5n12c cr 18n cy 8n16c
	cz 20n de 18n dj 23n dk 14n do 4c20n ee 16n eg 25n es 20n fi 14n fk 2a12n fo 14n fr 10n11c2n gb 4a14n ge 2a16n gi 4a15c gl 14n
	gr 7n16c gt 24c hr 17n hu 24n ie 4a14n il 19n iq 4a15n is 22n it 1a10n12c jo 4a4n18c kw 4a22c kz 3n13c lb 4n20c lc 4a24c
	li 5n12c lt 16n lu 3n13c lv 4a13c ly 21n mc 10n11c2n md 20c me 18n mk 3n10c2n mn 16n mr 23n mt 4a5n18c mu 4a19n3a ni 4a20n
	nl 4a10n no 11n om 3n16c pk 4a16c pl 24n ps 4a21c pt 21n qa 4a21c ro 4a16c rs 18n ru 14n15c sa 2n18c sc 4a20n3a sd 14n se 20n
	si 15n sk 20n sm 1a10n12c so 19n st 21n sv 4a20n tl 19n tn 20n tr 6n16c ua 6n19c va 18n vg 4a16n xk 16n ye 4a4n18c
]]):gmatch("(%a%a) (%w+)") do
	local length, form = 4, "^%a%a%d%d";
	for count, kind in parts:gmatch("(%d+)(%a)") do
		length = length + count;
		form = form .. ({ n = "%d"; a = "%a"; c = "%w" })[kind]:rep(tonumber(count));
	end
	IBAN[country] = { length = length; form = form .. "$"; only_digits = parts:find("^%d+n$") ~= nil };
end

-- ISO 13616, ISO/IEC 7064 MOD 97-10.
local function is_iban(text)
	local rest = 0;
	for mark in (text:sub(5) .. text:sub(1, 4)):gmatch("%w") do
		local value = tonumber(mark, 36);
		rest = (value > 9 and rest * 100 + value or rest * 10 + value) % 97;
	end
	return rest == 1;
end

local BANK = 8; -- so far reach the country, the check digits and the letters of the bank

-- From this word on: its marks and those of the words behind it, as many as the country has.
local function is_account(words, first, account)
	local text, at, fours, spoken = "", first, true, false;
	while words[at] and #text < account.length do
		local word = words[at];
		if #text >= 4 and word:find("^%a%a+$") then
			if account.only_digits then return false; end
			-- a word of letters further back is a part of it in groups of four alone: "by 12 June 2026 at noon"
			spoken = spoken or #text + #word > BANK;
		end
		text, at = text .. word, at + 1;
		fours = fours and (#word == 4 or #text == account.length);
	end
	return #text == account.length and (fours or not spoken) and text:find(account.form) ~= nil and is_iban(text);
end

-- Where the name of an account is beside it, its country may stand apart: "article no 1200793805823" has 15 marks, too.
local IBAN_WORDS = named "iban konto kontonr kontonummer";

local function has_iban(words, present)
	if not table.concat(words):find("%d") then return false; end
	local known = has_one(IBAN_WORDS, present);
	for first, word in ipairs(words) do
		local start = word;
		for at = first + 1, math.min(#words, first + 3) do
			if #start >= 4 then break; end
			start = start .. words[at];
		end
		local account = start:find("^%a%a%d%d") and IBAN[start:sub(1, 2)];
		local apart = account and #word == 2 and #words[first + 1] > 2;
		if account and (known or not apart) and is_account(words, first, account) then return true; end
	end
	return false;
end

--- Words in which a number is, at most: the longest account, by its letters and digits.
M.REACH = 0;
for _, account in pairs(IBAN) do M.REACH = math.max(M.REACH, account.length); end

-- Bytes of the longest number of another kind, and one digit more or the month of its expiry at an end, with three marks
-- behind each.
local SEAM = 0;
for _, kind in pairs(KINDS) do SEAM = math.max(SEAM, 4 * (kind.most + 7)); end

--- Of two texts, one behind the other, what may hold a number that begins in the one and ends in the other.
-- @param cut the last word of the one and the first of the other, in one
function M.seam(before, now, cut)
	if not (before:find("%d[%p ]*$", -SEAM) and now:find("^[%p ]*%d")) then return cut; end
	-- an address of IPv6 is known by the whole of it
	local first = before:sub(1, -SEAM - 1):match("^.*[^%x:]()") or 1;
	local stop = #now > SEAM and now:match("^[%x:]*()", SEAM + 1) or #now + 1;
	return before:sub(first) .. " " .. now:sub(1, stop - 1) .. cut;
end

--- The kinds of numbers that there are, as a set.
M.KINDS = { iban = true };
for name in pairs(KINDS) do M.KINDS[name] = true; end

local function in_runs(list, kind, known, present)
	local whole = kind.whole or known and (not kind.sure or has_one(kind.sure, present));
	for _, groups in ipairs(list) do
		if (groups.usual or not kind.usual) and in_groups(groups, kind, known, whole) then return true; end
	end
	return false;
end

local function has(name, text, present)
	if name == "iban" then return has_iban(text.words, present); end
	if not text.runs then text.runs, text.dated_runs = runs(text.folded); end
	local kind = KINDS[name];
	local known = kind.words ~= nil and has_one(kind.words, present);
	return in_runs(text.runs, kind, known, present)
		or known and kind.dated and text.dated_runs ~= nil and in_runs(text.dated_runs, kind, known, present);
end

-- The same is asked for each rule, and found once.
local function has_once(name, text, present, kept)
	if text[kept] == nil then text[kept] = {}; end
	local known = text[kept];
	if known[name] == nil then known[name] = has(name, text, present); end
	return known[name];
end

--- Is there a number of one of these kinds?
-- @param kinds list of names
-- @param text  { folded = text; words = list of its words; present = set of them }, and what is found is kept in it
function M.found(kinds, text)
	for _, name in ipairs(kinds) do
		if has_once(name, text, text.present, "numbers") then return true; end
	end
	return false;
end

local ANY_WORD = setmetatable({}, { __index = function() return true; end });

--- May there be a number of one of these kinds, or a part of what makes it one: the number without its name, or the name?
function M.has_part(kinds, text)
	for _, name in ipairs(kinds) do
		local words = name == "iban" and IBAN_WORDS or KINDS[name].words;
		if words and has_one(words, text.present) or has_once(name, text, ANY_WORD, "parts_of_numbers") then return true; end
	end
	return false;
end

return M;

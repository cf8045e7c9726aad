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
	return (#digits == 10 or digits:find("^19") or digits:find("^20")) and is_date(day > 60 and day - 60 or day, tonumber(ten:sub(3, 4)))
		and luhn(ten);
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

-- For each: the check; the forms in which it counts by itself, as lengths of its groups of digits; whether any groups do
-- that are all there is; words that must be there for other forms; and whether it counts with the usual marks between its
-- groups alone, as it has no check digit.
local function named(list)
	local set = {};
	for word in list:gmatch("%S+") do set[word] = true; end
	return set;
end

local KINDS = {
	["card"] = {
		check = is_card; whole = true; least = 14; most = 19;
		forms = named "14 15 16 17 18 19 4-4-4-4 4-4-4-4-3 4-6-5 4-6-4 8-8";
	};
	["id-no"] = { check = is_norwegian; whole = true; least = 11; most = 11; forms = named "11 6-5 2-2-2-5 2-2-2-3-2 6-3-2" };
	["id-se"] = {
		check = is_swedish; least = 10; most = 12; forms = named "12 8-4 6-4 4-2-2-4"; loose = named "10";
		words = named "personnummer personnumret personnr pnr samordningsnummer";
	};
	["id-nl"] = {
		check = is_dutch; least = 9; most = 9; forms = {}; loose = named "9 3-3-3 4-2-3"; words = named "bsn burgerservicenummer sofinummer";
	};
	["id-de"] = {
		check = is_german; least = 11; most = 11; forms = named "2-3-3-3"; loose = named "11";
		words = named "steuer steuerid idnr identifikationsnummer steueridentifikationsnummer steuernummer";
	};
	["id-us"] = {
		check = is_american; least = 9; most = 9; usual = true; forms = named "3-2-4"; loose = named "9"; words = named "ssn social";
	};
};

local MOST_GROUPS = 5; -- of a form

local function has_one(words, present)
	for word in pairs(words) do
		if present[word] then return true; end
	end
	return false;
end

-- All of them, or all but one at an end: a list of marks, scores or votes holds a number that fits somewhere in it.
local function in_single(digits, kind)
	for _, part in ipairs({ digits, digits:sub(2), digits:sub(1, -2) }) do
		if #part >= kind.least and #part <= kind.most and kind.check(part) then return true; end
	end
	return false;
end

-- Looks at the groups of digits that stand together, from each of them on.
local function in_groups(groups, kind, present)
	local whole = 0;
	for _, group in ipairs(groups) do whole = whole + #group; end
	if kind.whole and groups.close and whole >= kind.least and whole <= kind.most and kind.check(table.concat(groups)) then return true; end
	if groups.single and kind.whole then return in_single(table.concat(groups), kind); end
	for first = 1, #groups do
		local digits, form = "", "";
		for at = first, math.min(#groups, first + MOST_GROUPS - 1) do
			digits, form = digits .. groups[at], (at > first and form .. "-" or "") .. #groups[at];
			if #digits > kind.most then break; end
			if #digits >= kind.least then
				local fits = kind.forms[form] or kind.loose and kind.loose[form] and has_one(kind.words, present);
				if fits and kind.check(digits) then return true; end
			end
		end
	end
	return false;
end

-- A date is no part of a longer number, nor is an address of IPv4 or, when it is shortened, of IPv6.
local OTHERS = {
	"%f[%w.]%d%d?%d?%.%d%d?%d?%.%d%d?%d?%.%d%d?%d?%f[^%w.]",
	"%f[%d][12][09]%d%d[-./][01]?%d[-./][0-3]?%d%f[%D]", "%f[%d][0-3]?%d[-./][01]?%d[-./][12][09]%d%d%f[%D]",
};

local SHORTEST = 9; -- digits

-- Adds what stands together, when it is long enough; and digits that stand one by one apart from what is beside them.
local function add(found, groups)
	local digits = #table.concat(groups);
	if digits < SHORTEST then return; end
	found[#found + 1] = groups;
	local single = { usual = groups.usual };
	if #groups == digits then groups.single = true; end
	for at = 1, #groups + 1 do
		if groups[at] and #groups[at] == 1 then
			single[#single + 1] = groups[at];
		else
			if #single >= SHORTEST and #single < #groups then
				single.single = true;
				found[#found + 1] = single;
			end
			single = { usual = groups.usual };
		end
	end
end

-- What may stand between two groups: what people write in a number, or any mark.
local USUAL, ANY = "%d[%d ._/+-]*", "%d[%d%p ]*";

-- Splits a run of digits where there are more than three marks between two of them.
local function add_run(found, run, usual)
	local groups = { close = usual; usual = usual };
	for between, group in run:gmatch("(%D*)(%d+)") do
		if #between > 3 then
			add(found, groups);
			groups = { close = usual; usual = usual };
		end
		if #between > 1 or between == "/" and #group > 4 then groups.close = false; end
		groups[#groups + 1] = group;
	end
	add(found, groups);
end

local function without_ipv6(token)
	return select(2, token:gsub("::", "")) == 1 and "x" or token;
end

local function runs(text)
	if not text:find("%d") then return {}; end
	if text:find("::", 1, true) then text = text:gsub("[%x:]+", without_ipv6); end
	if text:find("%d[-./]%d") then
		for _, other in ipairs(OTHERS) do text = text:gsub(other, "x"); end
	end
	local found = {};
	for run in text:gmatch(USUAL) do add_run(found, run, true); end
	for run in text:gmatch(ANY) do
		if run:find("[^%d ._/+-]") then add_run(found, run, false); end
	end
	return found;
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

local function has_iban(words)
	for first, word in ipairs(words) do
		local start = word;
		for at = first + 1, math.min(#words, first + 3) do
			if #start >= 4 then break; end
			start = start .. words[at];
		end
		local account = start:find("^%a%a%d%d") and IBAN[start:sub(1, 2)];
		if account and is_account(words, first, account) then return true; end
	end
	return false;
end

--- Words in which a number is, at most: the longest account, by its letters and digits.
M.REACH = 0;
for _, account in pairs(IBAN) do M.REACH = math.max(M.REACH, account.length); end

-- Bytes of the longest number of another kind, and one digit more at an end, with three marks behind each.
local SEAM = 0;
for _, kind in pairs(KINDS) do SEAM = math.max(SEAM, 4 * (kind.most + 1)); end

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

--- Is there a number of one of these kinds?
-- @param kinds list of names
-- @param text  { folded = text; words = list of its words; present = set of them; runs = made here }
-- @param present the words that count as being there, or nil for those of the text
function M.found(kinds, text, present)
	for _, name in ipairs(kinds) do
		if name == "iban" then
			if has_iban(text.words) then return true; end
		else
			text.runs = text.runs or runs(text.folded);
			for _, groups in ipairs(text.runs) do
				if (groups.usual or not KINDS[name].usual) and in_groups(groups, KINDS[name], present or text.present) then return true; end
			end
		end
	end
	return false;
end

local ANY_WORD = setmetatable({}, { __index = function() return true; end });

--- May there be a number of one of these kinds, or a part of what makes it one: the number without its name, or the name?
function M.has_part(kinds, text)
	for _, name in ipairs(kinds) do
		local words = KINDS[name] and KINDS[name].words;
		if words and has_one(words, text.present) then return true; end
	end
	return M.found(kinds, text, ANY_WORD);
end

return M;

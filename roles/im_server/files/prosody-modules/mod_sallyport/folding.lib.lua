-- SPDX-License-Identifier: GPL-3.0-or-later
-- Texts as they are compared: what looks alike is one letter, what is not seen is not there. Everything here takes time in
-- proportion to the text's length. Pure.

-- Prosody reads a library again for each place that asks for it, and this one has a table of many thousand marks.
if module.sallyport_folding then return module.sallyport_folding; end

local letters = module:require "alike";

local M = {};
module.sallyport_folding = M;

-- What a reader does not see, but a program that looks for a name would stumble over: first and last mark of each range
-- (Unicode's Default_Ignorable_Code_Point, and what separates lines).
local UNSEEN = {
	{ 0xAD, 0xAD }, -- soft hyphen
	{ 0x34F, 0x34F }, -- grapheme joiner
	{ 0x61C, 0x61C }, -- Arabic letter mark
	{ 0x115F, 0x1160 }, { 0x3164, 0x3164 }, { 0xFFA0, 0xFFA0 }, -- fillers of Hangul
	{ 0x17B4, 0x17B5 }, -- vowels of Khmer that nobody writes
	{ 0x180B, 0x180F }, -- Mongolian selectors and vowel separator
	{ 0x200B, 0x200F }, -- zero width, directions
	{ 0x2028, 0x202E }, -- separators, directions
	{ 0x2060, 0x206F }, -- joiners, isolates
	{ 0xFE00, 0xFE0F }, -- variation selectors
	{ 0xFEFF, 0xFEFF }, -- byte order mark
	{ 0xFFF0, 0xFFFB }, -- reserved, notes between lines
	{ 0x1BCA0, 0x1BCA3 }, { 0x1D173, 0x1D17A }, -- of shorthand, of music
	{ 0xE0000, 0xE0FFF }, -- tags, more selectors, reserved
};

-- Strokes and dots upon other letters that no language needs in so many, and vowels that Hebrew and Arabic may leave out.
local UPON = {
	{ 0x483, 0x489 }, { 0x5B0, 0x5BD }, { 0x5BF, 0x5BF }, { 0x5C1, 0x5C2 }, { 0x5C4, 0x5C5 }, { 0x5C7, 0x5C7 }, { 0x64B, 0x652 },
	{ 0x1AB0, 0x1AFF }, { 0x1DC0, 0x1DFF }, { 0x20D0, 0x20FF }, { 0xFE20, 0xFE2F },
};

-- Not seen within a word, and no part of an address.
local UNSEEN_IN_WORDS = { { 0x80, 0x9F }, { 0x1D159, 0x1D159 } };

-- Other full stops that count as one in a name (RFC 3490, 3.1), and the wide forms of the marks in a link.
local ALIKE = {
	["\227\128\130"] = "."; ["\239\188\142"] = "."; ["\239\189\161"] = ".";
	["\239\188\154"] = ":"; ["\239\188\143"] = "/";
};

-- Marks between words.
local BETWEEN = {
	{ 0xA0, 0xA9 }, { 0xAB, 0xB1 }, { 0xB4, 0xB4 }, { 0xB6, 0xB8 }, { 0xBB, 0xBF }, { 0xD7, 0xD7 }, { 0xF7, 0xF7 },
	{ 0x5C0, 0x5C0 }, { 0x5C3, 0x5C3 }, { 0x5C6, 0x5C6 },
	{ 0x60C, 0x60D }, { 0x61B, 0x61B }, { 0x61F, 0x61F }, { 0x66A, 0x66D }, { 0x964, 0x965 }, { 0x1680, 0x1680 },
	{ 0x2000, 0x2BFF }, { 0x2E00, 0x2E7F },
	{ 0x3000, 0x3004 }, { 0x3008, 0x3030 }, { 0x30FB, 0x30FB }, { 0xFE10, 0xFE19 }, { 0xFE30, 0xFE6F }, { 0xFF5F, 0xFF65 },
	{ 0xFFE0, 0xFFFD }, { 0x1F000, 0x1FAFF },
};
local DASHES = {
	{ 0x2D7, 0x2D7 }, { 0x5BE, 0x5BE }, { 0x2010, 0x2015 }, { 0x2212, 0x2212 }, { 0xFE58, 0xFE58 }, { 0xFE63, 0xFE63 }, { 0xFF0D, 0xFF0D },
};

-- A mark in UTF-8; busted may run on a Lua that has no library for it.
local function encoded(code)
	local function tail(shift) return 0x80 + math.floor(code / shift) % 64; end
	if code < 0x800 then return string.char(0xC0 + math.floor(code / 64), tail(1)); end
	if code < 0x10000 then return string.char(0xE0 + math.floor(code / 4096), tail(64), tail(1)); end
	return string.char(0xF0 + math.floor(code / 262144), tail(4096), tail(64), tail(1));
end

local function add(set, ranges, instead)
	for _, range in ipairs(ranges) do
		for code = range[1], range[2] do set[encoded(code)] = instead; end
	end
end

-- What stands for each of these marks when `instead` stands for those that are not seen.
local function replacements(instead)
	local set = {};
	for mark, usual in pairs(ALIKE) do set[mark] = usual; end
	add(set, UNSEEN, instead);
	return set;
end

M.WITHOUT, M.APART = replacements(""), replacements(" ");

local ONE = "[\194-\244][\128-\191]+"; -- a mark beyond ASCII

local FOLDED = {};
add(FOLDED, BETWEEN, " ");
add(FOLDED, DASHES, "-");
add(FOLDED, UPON, "");
add(FOLDED, UNSEEN_IN_WORDS, "");
for code = 0xFF01, 0xFF5E do FOLDED[encoded(code)] = string.char(code - 0xFEE0):lower(); end
for plain, marks in pairs(letters.alike) do
	for mark in marks:gmatch(ONE) do FOLDED[mark] = plain; end
end
for letter, small in letters.small:gmatch("(" .. ONE .. ")(" .. ONE .. ")") do FOLDED[letter] = small; end
for mark, usual in pairs(M.WITHOUT) do FOLDED[mark] = usual; end
add(FOLDED, { { 0x2028, 0x2029 } }, " "); -- lines and paragraphs

-- Letters in one by a letter and a mark on it, which may be written apart (NFD).
local COMPOSED = {};
for letter, mark, one in letters.composed:gmatch("([%l\194-\244][\128-\191]*)(" .. ONE .. ")([%l\194-\244][\128-\191]*)") do
	COMPOSED[letter .. mark] = one;
end

-- A letter and what stands on it, and letters of Greek that are written with the same bytes; a mark on no such letter is no more.
local function compose(letter, marks)
	local before;
	for mark in marks:gmatch(ONE) do
		local high, low = mark:byte(1, 2);
		if high == 205 and low > 175 then
			before = before or {};
			before[#before + 1], letter = letter, mark;
		else
			letter = COMPOSED[letter .. mark] or letter;
		end
	end
	return before and table.concat(before) .. letter or letter;
end

-- Syllables of Korea by their first letter, vowel and last letter (The Unicode Standard, 3.12).
local function syllable(first, vowel) return encoded(0xAC00 + ((first:byte() - 128) * 21 + vowel:byte() - 161) * 28); end

local function closed_syllable(open, high, low)
	local a, b, c = open:byte(1, 3);
	local code, last = (a - 224) * 4096 + (b - 128) * 64 + c - 128, (high:byte() - 134) * 64 + low:byte() - 167;
	if code >= 0xAC00 and code < 0xD7A4 and (code - 0xAC00) % 28 == 0 and last > 0 and last < 28 then return encoded(code + last); end
end

-- Each kind of mark is looked for first: most texts have none of them.
local function composed(text)
	if text:find("[\204\205]") then
		text = text:gsub("([%l\194-\244][\128-\191]*)([\204\205][\128-\191\204\205]*)", compose);
		text = text:gsub("\204[\128-\191]", ""):gsub("\205[\128-\175]", "");
	end
	if text:find("\227\130\153", 1, true) or text:find("\227\130\154", 1, true) then -- of kana
		text = text:gsub("\227[\129-\131][\128-\191]\227\130[\153\154]", COMPOSED);
		text = text:gsub("(\227[\129-\131][\128-\191])\227\130[\153\154]", "%1"); -- one that stands alone is a word
	end
	if text:find("\217", 1, true) then -- of Arabic
		text = text:gsub("[\216-\219][\128-\191]\217[\147-\149]", COMPOSED);
	end
	if text:find("\225\132", 1, true) then
		text = text:gsub("\225\132([\128-\146])\225\133([\161-\181])", syllable);
		text = text:gsub("([\234-\237][\128-\191][\128-\191])\225([\134\135])([\128-\191])", closed_syllable);
	end
	return text;
end

-- Letters that people take for hyphens between digits: a letter of Arabic that only makes words longer, an apostrophe, a
-- dot of Chinese, the sign for a long vowel of Japan, a vowel of Korea.
local TATWEEL = "\217\128";
local HYPHENS = {};
add(HYPHENS, { { 0x640, 0x640 }, { 0x2BC, 0x2BC }, { 0xA78F, 0xA78F }, { 0x30FC, 0x30FC }, { 0x3161, 0x3161 } }, "-");

local function hyphens_only(between)
	local made = between:gsub(ONE, HYPHENS);
	return not made:find("[\128-\255]") and made or nil;
end

local function with_hyphens(text)
	for mark in pairs(HYPHENS) do
		if text:find(mark, 1, true) then return (text:gsub("%d[^%w\128-\255]*[\128-\255][^%w]*%f[%d]", hyphens_only)); end
	end
	return text;
end

local function without_tatweel(text)
	local rest = text:gsub(TATWEEL, "");
	return rest:find("[%w\128-\255]") and rest or text; -- one that stands alone is a word
end

--- A text with small letters, one kind of full stop, and something else for each mark that is not seen.
-- @param marks WITHOUT or APART
function M.plain(text, marks)
	return (text:lower():gsub(ONE, marks));
end

--- A text as rules compare it: plain(), and letters of other alphabets that look alike are one; what is no letter and no
-- digit of any is one of ASCII.
function M.fold(text)
	if text:find("\127", 1, true) then text = text:gsub("\127", ""); end
	text = text:lower():gsub("%c", " ");
	if not text:find("[\128-\255]") then return text; end
	text = with_hyphens(composed((text:gsub(ONE, FOLDED))));
	if text:find(TATWEEL, 1, true) then text = without_tatweel(text); end
	return text;
end

-- Scripts without spaces between words, or with endings right behind (of China, Japan and Korea): each mark is a word.
local WORD_BY_ITSELF = "([\227-\237][\128-\191]+)";

--- A folded text with a blank on both sides of each mark that is a word by itself.
function M.one_by_one(text)
	return text:find("[\227-\237]") and text:gsub(WORD_BY_ITSELF, " %1 ") or text;
end

--- The words of a folded text, in order.
function M.words(text)
	local words = {};
	for word in M.one_by_one(text):gmatch("[%w\128-\255]+") do words[#words + 1] = word; end
	return words;
end

M.ONE = ONE;

return M;

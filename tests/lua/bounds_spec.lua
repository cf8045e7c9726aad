-- SPDX-License-Identifier: GPL-3.0-or-later
local helper = dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "./") .. "helper.lua");
local bounds = helper.load("sallyport", "bounds");

local LONG, FITS = ("n"):rep(bounds.LONGEST_NAMESPACE + 1), ("n"):rep(bounds.LONGEST_NAMESPACE);

-- Whether the scanner lets this pass, in pieces of so many bytes.
local function passes(text, size)
	local scan = bounds.scanner();
	for at = 1, #text, size do
		if not scan(text:sub(at, at + size - 1)) then return false; end
	end
	return true;
end

local HEADER = "<?xml version='1.0'?><stream:stream to='x' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

local REFUSED = {
	["of an element"] = "<x xmlns='%s'/>";
	["in the other quotes"] = '<x xmlns="%s"/>';
	["of a prefix"] = "<x xmlns:p='%s'/>";
	["with spaces around"] = "<x xmlns \n\t = \r\n '%s'/>";
	["after other attributes"] = "<x a='xmlns' b=\"it's > this\" xmlns:p='%s'/>";
	["after marked text"] = "<x><![CDATA[<a b=\"' ]] > ]>]]]><y xmlns='%s'/></x>";
	["after words with quotes and brackets"] = "<x>it's \"so\" > that xmlns='</x><x xmlns='%s'/>";
	["with an end of a tag in it"] = "<x xmlns='>>%s'/>";
	["with the other quote in it"] = "<x xmlns='\"%s'/>";
	["after an end"] = "<x></x ><x xmlns='%s'/>";
	["in the beginning of a stream"] = "<?xml version='1.0'?><stream:stream xmlns='%s'>";
	["after another namespace"] = "<x xmlns='a' xmlns:b='%s'/>";
};

describe("the name of a namespace", function()
	for name, text in pairs(REFUSED) do
		it("may not be long " .. name, function()
			for _, before in ipairs({ "", HEADER }) do
				for _, size in ipairs({ 1, 2, 3, 7, 100, 100000 }) do
					assert.is_false(passes(before .. text:format(LONG), size), size);
				end
			end
		end);
	end

	it("may be as long as it is for any use", function()
		assert.is_true(passes(HEADER .. ("<x xmlns='%s' xmlns:p=\"%s\"/>"):format(FITS, FITS), 10));
	end);

	it("is not whatever else is long", function()
		for _, text in ipairs({
			"<x a='%s'/>"; "<x>%s</x>"; "<x>xmlns='%s</x>"; "<x><![CDATA[<x xmlns='%s'/>]]></x>"; "<x xmlns='u' a='%s'/>"; "<%s/>";
			"<x xmlns='u'>%s</x>"; "<x xmlns='u' a='xmlns' href='https://x.example/?xmlns=%s'/>";
		}) do
			for _, size in ipairs({ 1, 2, 3, 7, 100000 }) do
				assert.is_true(passes(HEADER .. text:format(LONG), size), text);
			end
		end
	end);

	it("is not looked for in other encodings: there are none", function()
		assert.is_false(passes("\255\254<\0x\0", 100));
	end);

	it("takes a time in proportion to the length", function()
		for _, piece in ipairs({ "<", "<a ", "xmlns", "<a xmlns", "'", "<a b='", "<![CDATA[", "]]", "]]>", ">", "<a b='c'>", " " }) do
			for _, before in ipairs({ "", "<a ", "<a b='", "<![CDATA[" }) do
				for _, size in ipairs({ 1, 8 }) do
					local begun = os.clock();
					passes(before .. piece:rep(math.floor(size * 8192 / #piece)), size);
					assert.is_true(os.clock() - begun < 0.5, before .. piece);
				end
			end
		end
	end);
end);

describe("a stream", function()
	local stream, fed, limits, resets;

	before_each(function()
		fed, limits, resets = {}, {}, 0;
		stream = {
			feed = function(_, data) fed[#fed + 1] = data; return true; end;
			reset = function() resets = resets + 1; end;
			set_stanza_size_limit = function(_, bytes, elements) limits[#limits + 1] = { bytes, elements }; end;
		};
		bounds.bind(stream, 10000);
	end);

	it("is bounded in elements from its beginning, and whenever the bytes change", function()
		stream:set_stanza_size_limit(65536);
		stream:set_stanza_size_limit(65536, 5);
		assert.same({ { 10000, 1200 }, { 65536, 1200 }, { 65536, 5 } }, limits);
	end);

	it("gets nothing after a name that is too long", function()
		assert.is_true(stream:feed("<x xmlns='" .. FITS));
		local ok, why = stream:feed("nn");
		assert.is_nil(ok);
		assert.equal("stanza-too-large", why);
		assert.is_nil(stream:feed("'/>"));
		assert.equal(1, #fed);
	end);

	it("begins anew with another parser, whatever the last one had begun", function()
		stream:feed("<auth/><x a=\"");
		stream:reset();
		assert.equal(1, resets);
		assert.is_true(stream:feed("<x xmlns=\"u"));
		assert.is_nil(stream:feed(LONG));
	end);
end);

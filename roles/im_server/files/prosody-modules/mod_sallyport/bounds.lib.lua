-- SPDX-License-Identifier: GPL-3.0-or-later
-- What a stream may make the parser keep. A namespace's name is kept once for each element and each attribute in it: a stanza
-- of some kilobytes can take gigabytes. So such names are short, and a stanza has so many elements and no more. Pure.

local M = {};

M.MOST_ELEMENTS = 1200; -- what is broader than the decision point lets pass, but not by so much, is refused as any stanza is
M.LONGEST_NAMESPACE = 256; -- bytes, as they are written; those of the specifications have less than 80

--- Reads a stream as it comes, in pieces of any size, as far as it must to know the names of namespaces.
-- What is no XML may be misread: the parser behind ends the stream at the same place.
-- @return function(data) -> false when a name is too long, else true
function M.scanner()
	local where, quote, named, length, tail = "text", nil, nil, nil, nil;
	local steps = {};

	-- @param at where to go on; @return where the next step goes on, nil to wait for more, false for a fault
	function steps.text(data, at)
		local found = data:find("<", at, true);
		if found then where = "begun"; end
		return found and found + 1;
	end

	function steps.begun(data, at)
		where, named, tail = data:sub(at, at) == "!" and "marked" or "tag", false, "";
		return at;
	end

	-- Marked as text; comments and document types are not let pass by the parser.
	function steps.marked(data, at)
		local text = tail .. data:sub(at);
		local _, last = text:find("]]>", 1, true);
		if last then where = "text"; else tail = text:sub(-2); end
		return last and at + last - #tail;
	end

	function steps.tag(data, at)
		local found = data:find("[\"'>]", at);
		local text = tail .. data:sub(at, found and found - 1);
		named = named or text:find("xmlns", 1, true) ~= nil;
		if not found then
			tail = text:sub(-4);
			return nil;
		end
		quote = data:sub(found, found);
		where, length = quote == ">" and "text" or "value", 0;
		return found + 1;
	end

	function steps.value(data, at)
		local found = data:find(quote, at, true);
		length = length + (found or #data + 1) - at;
		if named and length > M.LONGEST_NAMESPACE then return false; end
		if found then where, named, tail = "tag", false, ""; end
		return found and found + 1;
	end

	return function(data)
		-- there is none in UTF-8, and in each other encoding that the parser takes without being told
		if data:find("\0", 1, true) then return false; end
		local at = 1;
		while at and at <= #data do at = steps[where](data, at); end
		return at ~= false;
	end;
end

--- Bounds a stream of Prosody (util/xmppstream). Its modules say how many bytes a stanza may have, and forget the elements:
-- their settings for these (c2s_max_child_elements, s2s_max_child_elements) reach no parser in Prosody 13.0.1.
-- @param bytes what holds now
function M.bind(stream, bytes)
	local feed, reset, limit = stream.feed, stream.reset, stream.set_stanza_size_limit;
	local is_short = M.scanner();
	local good = true;

	function stream.feed(self, data)
		good = good and is_short(data);
		-- Prosody ends the stream for this
		if not good then return nil, "stanza-too-large"; end
		return feed(self, data);
	end

	-- A stream begins anew with a parser of its own, which gets what comes after the piece that is being read.
	function stream.reset(...)
		is_short = M.scanner();
		return reset(...);
	end

	function stream.set_stanza_size_limit(self, new_bytes, elements)
		return limit(self, new_bytes, elements or M.MOST_ELEMENTS);
	end
	stream:set_stanza_size_limit(bytes);
end

return M;

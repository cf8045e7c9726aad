-- SPDX-License-Identifier: GPL-3.0-or-later
-- What the scanner's answer means: clean, or a rule that refuses the file and a reason in plain words. Pure.

local M = {};

-- Beginnings of the names that the scanner gives to what it finds; the first that fits counts, anything else is a virus.
-- ClamAV puts .UNOFFICIAL behind names of sets that are not its own.
local KINDS = {
	{ "Sallyport.Kind.executable.", "kind-executable" };
	{ "Sallyport.Kind.script.", "kind-script" };
	{ "Sallyport.Kind.macro.", "kind-macro" };
	{ "Sallyport.Kind.unreadable.", "kind-unreadable" };
	{ "Heuristics.OLE2.ContainsMacros", "kind-macro" };
	{ "Heuristics.Encrypted.", "kind-encrypted" };
	{ "Heuristics.Limits.Exceeded", "too-deep" };
};

local REASONS = {
	virus = "the scanner found %s in it";
	["kind-executable"] = "programs are not permitted here, also not inside of other files";
	["kind-script"] = "scripts are not permitted here, also not inside of other files";
	["kind-macro"] = "documents with macros are not permitted here";
	["kind-encrypted"] = "it is encrypted, so that nobody can look whether it is harmless";
	["kind-unreadable"] = "it is packed in a way that the scanner cannot look into; an ordinary zip or tar.gz can be shared";
	["too-deep"] = "it is packed too deeply, or too large when unpacked, to be looked at whole";
	scanner = "the scanner cannot look at it now; try again in a few minutes";
	sender = "you are not among the people of this site today";
	slot = "it is not what this place was asked for";
	taken = "something was sent to this place already; share the file anew";
	log = "the server cannot record it";
	["no-policy"] = "the server's decision point is not ready";
};

--- The rule for a name that the scanner gave.
function M.rule(name)
	for _, kind in ipairs(KINDS) do
		if name:sub(1, #kind[1]) == kind[1] then return kind[2]; end
	end
	return "virus";
end

--- A reason in plain words, as the second half of a sentence.
function M.reason(rule, name)
	return REASONS[rule]:format(name or "");
end

--- Reads an answer to INSTREAM. Anything but the two forms that are known is a fault: then nobody knows what the file is.
-- @return "clean"; or "found" and the name; or "fault" and the answer
function M.read(answer)
	if answer == "stream: OK" then return "clean"; end
	local name = answer:match("^stream: ([%w%p]+) FOUND$");
	if name then return "found", name; end
	return "fault", (answer:gsub("[^%g ]", "?"):sub(1, 200));
end

return M;

-- SPDX-License-Identifier: GPL-3.0-or-later
-- Talks to clamd over its socket without ever waiting for it. Pure: the connection and the timer are handed in.

local M = {};

local LONGEST = 4096; -- bytes of an answer

-- A piece as INSTREAM has it: its length in four bytes, the highest first; then the piece.
local function counted(data)
	local length = #data;
	return string.char(math.floor(length / 16777216), math.floor(length / 65536) % 256, math.floor(length / 256) % 256, length % 256) .. data;
end

-- A conversation: what is sent comes from `more`, called whenever all before is sent; the answer ends with a zero byte.
-- @param means { connect = function(listener) -> connection (write, destroy) or nil and why,
--               timer = function(seconds, callback) -> function that stops it }
-- @param done  function(answer, nil) or function(nil, why, whether it was late), called once
-- @return a function that ends it without a word, and one that asks `more` again
local function converse(means, first, more, seconds, done)
	local over, connection, stop = false, nil, nil;
	local heard, ended, idle = "", false, false;

	local function finish(...)
		if over then return; end
		over = true;
		if stop then stop(); end
		if connection then connection:destroy(); end
		if done then done(...); end
	end

	local function pump()
		if over or ended then return; end
		local data, why = more();
		if data == false then return finish(nil, why); end
		idle = data == "";
		ended = data == nil;
		connection:write(ended and "\0\0\0\0" or idle and "" or counted(data));
	end

	local listener = {
		ondrain = function() if more and not idle then pump(); end end;
		ondisconnect = function(_, why) finish(nil, "the scanner ended the connection: " .. tostring(why or "closed")); end;
		onreadtimeout = function() return true; end; -- the timer here decides
		onincoming = function(_, data)
			heard = heard .. data;
			-- an answer before everything was sent is no verdict on the whole
			if more and not ended then return finish(nil, "the scanner answered too early: " .. heard:gsub("[^%g ]", " "):sub(1, 200)); end
			if heard:find("\0", 1, true) == #heard then return finish(heard:sub(1, -2)); end
			if #heard > LONGEST or heard:find("\0", 1, true) then finish(nil, "the scanner's answer is not of its protocol"); end
		end;
	};

	local why;
	connection, why = means.connect(listener);
	if not connection then
		finish(nil, "the scanner does not answer: " .. tostring(why));
		return finish, finish;
	end
	local function late() finish(nil, ("the scanner did not answer within %d seconds"):format(seconds), true); end
	if seconds then stop = means.timer(seconds, late); end
	connection:write(first);
	return function()
		done = nil;
		finish();
	end, function(limit)
		if limit and not over then
			if stop then stop(); end
			seconds = limit;
			stop = means.timer(seconds, late);
		end
		if idle then pump(); end
	end;
end

--- Has something scanned.
-- @param source  function() -> bytes; "" when there are none yet; nil at the end; false and why when they cannot be read
-- @param seconds that it may take; nil while the source still grows
-- @param done    function(answer) or function(nil, why, late)
-- @return cancel = function(), go_on = function(seconds): the source has more; from now on the time counts
function M.scan(means, source, seconds, done)
	return converse(means, "zINSTREAM\0", source, seconds, done);
end

--- Gives a command, as PING, and hands on the answer.
function M.ask(means, command, seconds, done)
	converse(means, "z" .. command .. "\0", nil, seconds, done);
end

return M;

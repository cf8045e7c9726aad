-- SPDX-License-Identifier: GPL-3.0-or-later
local helper = dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "./") .. "helper.lua");
local limiter = helper.load("auth_sallyport", "limiter");

describe("the limit on wrong passwords", function()
	local clock, sizes, limits;

	local function cache(size)
		local held = {};
		sizes[#sizes + 1] = size;
		return { get = function(_, key) return held[key]; end; set = function(_, key, value) held[key] = value; end };
	end

	local function wrong(times, name, address)
		local began;
		for _ = 1, times do began = limits:failed(name or "alice", address or "10.0.0.1") or began; end
		return began;
	end

	before_each(function()
		clock, sizes = 0, {};
		limits = limiter.new({ attempts = 10; address_attempts = 30; seconds = 900 }, cache, function() return clock; end);
	end);

	it("locks the account at that address only", function()
		assert.is_nil(wrong(9));
		assert.is_false(limits:locked("alice", "10.0.0.1"));
		assert.equal("account", wrong(1));
		assert.is_true(limits:locked("alice", "10.0.0.1"));
		assert.is_false(limits:locked("alice", "10.0.0.2"));
		assert.is_false(limits:locked("bob", "10.0.0.1"));
	end);

	it("ends after the set time, whatever was tried meanwhile", function()
		wrong(10);
		clock = 899;
		wrong(3);
		assert.is_true(limits:locked("alice", "10.0.0.1"));
		clock = 900;
		assert.is_false(limits:locked("alice", "10.0.0.1"));
		assert.is_nil(wrong(9));
	end);

	it("is cleared by the right password", function()
		wrong(9);
		limits:succeeded("alice", "10.0.0.1");
		assert.is_nil(wrong(9));
		assert.equal("account", wrong(1));
	end);

	it("counts an address over all accounts, and a right password does not clear that", function()
		for number = 1, 29 do
			assert.is_nil(wrong(1, "name" .. number));
			limits:succeeded("mine", "10.0.0.1");
		end
		assert.equal("address", wrong(1, "name30"));
		assert.is_true(limits:locked("anybody", "10.0.0.1"));
		assert.is_false(limits:locked("anybody", "10.0.0.2"));
	end);

	it("forgets slow mistakes", function()
		wrong(9);
		clock = 901;
		assert.is_nil(wrong(9));
	end);

	it("takes a network of IPv6 for one address", function()
		for host = 1, 10 do limits:failed("alice", ("fd21:3:2::%x"):format(host)); end
		assert.is_true(limits:locked("alice", "fd21:3:2:0:ffff::1"));
		assert.is_false(limits:locked("alice", "fd21:3:2:1::1"));
		for written, place in pairs({
			["10.1.2.3"] = "10.1.2.3"; ["::1"] = "::1"; unknown = "unknown"; ["::ffff:10.1.2.3"] = "::ffff:10.1.2.3";
			["FD21:3:2:0:1:2:3:4"] = "fd21:3:2:0::/64"; ["fd21:0003:2:0000::5"] = "fd21:3:2:0::/64";
			["fd21::"] = "fd21:0:0:0::/64"; ["::5"] = "0:0:0:0::/64"; ["fe80::1%eth0"] = "fe80:0:0:0::/64";
		}) do
			assert.equal(place, limiter.place(written));
		end
	end);

	it("ends for an address as well", function()
		for number = 1, 30 do limits:failed("name" .. number, "10.0.0.1"); end
		clock = 899;
		assert.is_true(limits:locked("anybody", "10.0.0.1"));
		clock = 900;
		assert.is_false(limits:locked("anybody", "10.0.0.1"));
	end);

	it("is bounded", function()
		assert.same({ 10000, 10000 }, sizes);
	end);
end);

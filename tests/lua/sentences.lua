-- SPDX-License-Identifier: GPL-3.0-or-later
-- Ordinary sentences of work in six languages, full of numbers: returns a list of 5,000, the same each time.

-- made the same way each time: a generator of our own (Park and Miller)
local state = 20260101;
local function random(most)
	state = state * 16807 % 2147483647;
	return state % most + 1;
end
local function one_of(list) return list[random(#list)]; end
local function digits(count)
	local made = tostring(random(9));
	for _ = 2, count do made = made .. (random(10) - 1); end
	return made;
end
local function spread(...)
	local made = {};
	for at, count in ipairs({ ... }) do made[at] = digits(count); end
	return table.concat(made, " ");
end

local SENTENCES = {
	{ "Could you look at order %s before %s? My number is %s.", "The invoice %s of %s is over %s, please pay it.", "We meet at %s in room %s, call %s when you are late.", "The part %s weighs %s and costs %s.", "Tracking: %s, delivered %s.", "The secretary resigned on %s, see ticket %s and %s." },
	{ "Kan du titta på order %s före %s? Mitt nummer är %s.", "Fakturan %s från %s är på %s.", "Vi ses %s i rum %s, ring %s om du blir sen.", "Artikel %s väger %s och kostar %s." },
	{ "Kan du se på ordre %s før %s? Nummeret mitt er %s.", "Fakturaen %s av %s er på %s.", "Vi møtes %s på rom %s, ring %s.", "Kunde %s har bedt om %s innen %s." },
	{ "Kannst du dir Auftrag %s bis %s ansehen? Meine Nummer ist %s.", "Die Rechnung %s vom %s beträgt %s.", "Wir treffen uns am %s in Raum %s, ruf %s an.", "Kundennummer %s, Vorgang %s, Betrag %s." },
	{ "Kun je order %s voor %s bekijken? Mijn nummer is %s.", "De factuur %s van %s is %s.", "We zien elkaar %s in kamer %s, bel %s.", "Klant %s vraagt om %s op %s." },
	{ "Peux-tu regarder la commande %s avant le %s ? Mon numéro est le %s.", "La facture %s du %s est de %s.", "Заказ %s от %s, сумма %s.", "Позвони мне %s, комната %s, заказ %s." },
};
local THINGS = {
	function() return digits(4 + random(6)); end, -- orders, customers, tickets
	function() return one_of({ "PO-", "INV", "A", "#", "TCK-" }) .. digits(5 + random(5)); end,
	function() return ("20%02d-%02d-%02d"):format(20 + random(9), random(12), random(28)); end,
	function() return ("%d.%d.20%02d %02d:%02d"):format(random(28), random(12), 20 + random(9), random(24) - 1, random(60) - 1); end,
	function() return ("%d %s"):format(random(28), one_of({ "May", "maj", "mai", "Mai", "mei", "мая" })); end,
	function() return "07" .. random(9) .. "-" .. spread(3, 2, 2); end, -- telephone numbers
	function() return "+46 70 " .. spread(3, 2, 2); end,
	function() return "+47 " .. spread(2, 2, 2, 2); end,
	function() return "0" .. digits(3) .. "/" .. digits(7); end,
	function() return "+49 " .. spread(3, 8); end,
	function() return "(555) " .. digits(3) .. "-" .. digits(4); end,
	function() return spread(3, 3) .. " kr"; end, -- amounts
	function() return digits(2) .. "." .. digits(3) .. "," .. digits(2) .. " €"; end,
	function() return "$" .. digits(1) .. "," .. digits(3) .. "," .. digits(3); end,
	function() return digits(3) .. " kg"; end,
	function() return ("10.%d.%d.%d"):format(random(254), random(254), random(254)); end,
	function() return "v" .. random(9) .. "." .. random(20) .. "." .. random(99); end,
	function() return digits(8) .. "-" .. digits(4); end, -- part numbers that look like more
	function() return "https://shop.example/item/" .. digits(7); end,
	function() return "00" .. digits(18); end, -- a parcel (SSCC)
	function() return digits(5) .. " " .. one_of({ "Umeå", "Oslo", "Köln", "Delft", "Austin" }); end,
	function() return random(60) .. ":" .. random(59); end,
};

local sentences = {};
for at = 1, 5000 do
	local thing = function() return one_of(THINGS)(); end;
	sentences[at] = one_of(one_of(SENTENCES)):format(thing(), thing(), thing());
end

return sentences;

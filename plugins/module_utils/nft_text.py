# SPDX-License-Identifier: GPL-3.0-or-later
"""The text in which `nft -s list table` shows a table: taken apart, compared, put together again.

Source: nft(8). What happens by itself is no part of it: values of counters, handles, elements of dynamic sets.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_OPENS = re.compile(r"^(?P<kind>[a-z][a-z ]*?) (?P<name>\S+) \{$")
_STAYS = re.compile(
    r'[io]ifname "lo" accept$|ct state established,related accept$|icmpv6 type \{ nd-|.* accept comment "R2 ssh'
)
_QUOTED = re.compile(r'"[^"]*"')


@dataclass(frozen=True)
class Block:
    """A chain, a set, a counter or another thing of a table.

    Attributes:
        lines: a chain's hook and its rules; the attributes of anything else. In their order.
        elements: of a set or map, sorted; none of a dynamic one.
    """

    lines: tuple[str, ...] = ()
    elements: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: its family and name, as `inet sallyport`.
        flags: lines of the table itself, as `flags dormant` or a comment.
        blocks: what is in it, by kind and name, as `chain input`.
    """

    name: str
    flags: tuple[str, ...] = ()
    blocks: dict[str, Block] = field(default_factory=dict)

    def text(self) -> str:
        """Return the table as nft takes it; sets and counters stand before the chains."""
        # sets and counters first, as a reader expects them; nft itself takes the blocks of a table in any order
        order = sorted(self.blocks, key=lambda head: head.startswith("chain "))
        parts = [f"\t{line}\n" for line in self.flags]
        parts += [_block_text(head, self.blocks[head]) for head in order]
        return f"table {self.name} {{\n" + "\n".join(parts) + "}\n"


def parse(text: str) -> Table:
    """Take the text of one table apart.

    Args:
        text: what `nft -s list table` printed.

    Raises:
        ValueError: It is no such text.
    """
    lines = _joined([line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")])
    opening = re.fullmatch(r"table (\S+ \S+) \{(?: #.*)?", lines[0]) if lines else None
    if opening is None or lines[-1] != "}":
        raise ValueError(f"this is no table as nft lists it: {text[:80]!r}")
    flags: list[str] = []
    blocks: dict[str, Block] = {}
    head = ""
    body: list[str] = []
    for line in lines[1:-1]:
        if head and line == "}":
            blocks[head], head, body = _block(body), "", []
        elif head:
            body.append(line)
        elif opens := _OPENS.match(line):
            head = f"{opens['kind']} {opens['name']}"
        else:
            flags.append(line)
    return Table(opening[1], tuple(flags), blocks)


def is_timed(head: str, block: Block) -> bool:
    """Tell whether a block is a set whose elements are put in by somebody else, for a time.

    Args:
        head: its kind and name.
        block: the block.
    """
    flags = [line for line in block.lines if line.startswith("flags ")]
    return head.startswith("set ") and any("dynamic" in line and "timeout" in line for line in flags)


def compare(live: Table | None, wanted: Table) -> list[str]:
    """Name what differs between a table in force and the one that should be.

    Args:
        live: the one in force; None when there is none.
        wanted: the one that should be.

    Returns:
        One line for each rule, element or other thing that is missing or too much; empty when nothing differs.
    """
    if live is None:
        return [f"table {wanted.name}: is absent, should be there"]
    found = [*_lines(f"table {wanted.name}", "", live.flags, wanted.flags)]
    for head in [*wanted.blocks, *(head for head in live.blocks if head not in wanted.blocks)]:
        if head not in live.blocks:
            found.append(f"{head}: is missing, should be there")
        elif head not in wanted.blocks:
            found.append(f"{head}: is there, should not be")
        else:
            found += _compare_blocks(head, live.blocks[head], wanted.blocks[head])
    return found


def closed(table: Table) -> Table:
    """Return what a machine is left with when its rules cannot be loaded: itself, and who administers it.

    Args:
        table: the whole table. Kept of its chains are the rules for the machine's own loopback, for established
            connections, and those whose comment begins with `R2 ssh`.
    """
    blocks = {}
    for head, block in table.blocks.items():
        if head.startswith("set ") and block.elements:
            blocks[head] = block
        elif head.startswith("chain ") and any(map(_is_hook, block.lines)):
            blocks[head] = Block(tuple(line for line in block.lines if _is_hook(line) or _STAYS.match(line)))
    return Table(table.name, table.flags, blocks)


def _compare_blocks(head: str, live: Block, wanted: Block) -> Iterator[str]:
    if head.startswith("chain "):
        hooks = [tuple(line for line in block.lines if _is_hook(line)) for block in (live, wanted)]
        if hooks[0] != hooks[1]:
            yield f"{head}: is {_quote(hooks[0])}, should be {_quote(hooks[1])}"
        rules = [tuple(line for line in block.lines if not _is_hook(line)) for block in (live, wanted)]
        yield from _lines(head, "rule in ", *rules)
    else:
        yield from _lines(head, "", live.lines, wanted.lines)
        yield from _lines(head, "element of ", live.elements, wanted.elements)


def _lines(head: str, what: str, live: tuple[str, ...], wanted: tuple[str, ...]) -> Iterator[str]:
    matcher = difflib.SequenceMatcher(a=live, b=wanted, autojunk=False)
    for tag, start, end, new_start, new_end in matcher.get_opcodes():
        if tag != "equal":
            yield from (f"{what}{head}: `{line}` is too much" for line in live[start:end])
            yield from (f"{what}{head}: `{line}` is missing" for line in wanted[new_start:new_end])


def _quote(lines: tuple[str, ...]) -> str:
    return f"`{'; '.join(lines)}`" if lines else "without a hook"


def _joined(lines: list[str]) -> list[str]:
    """Join the elements of a set that nft spreads over several lines."""
    joined: list[str] = []
    for line in lines:
        if joined and joined[-1].startswith("elements = {") and not joined[-1].endswith("}"):
            joined[-1] += f" {line}"
        else:
            joined.append(line)
    return joined


def _block(body: list[str]) -> Block:
    elements = [line for line in body if line.startswith("elements = {")]
    rest = tuple(line for line in body if not line.startswith("elements = {"))
    if not elements or any(line.startswith("flags ") and "dynamic" in line for line in rest):
        return Block(rest)
    inner = elements[0].removeprefix("elements = {").removesuffix("}")
    return Block(rest, tuple(sorted(_split(inner))))


def _split(elements: str) -> Iterator[str]:
    """Split at commas, those within quotes excepted."""
    kept: list[str] = []

    def keep(match: re.Match[str]) -> str:
        kept.append(match[0])
        return f"\0{len(kept) - 1}\0"

    for part in _QUOTED.sub(keep, elements).split(","):
        if part.strip():
            yield re.sub(r"\0(\d+)\0", lambda match: kept[int(match[1])], part.strip())


def _is_hook(line: str) -> bool:
    return line.startswith("type ") and " hook " in line


def _block_text(head: str, block: Block) -> str:
    lines = [*block.lines]
    if block.elements:
        lines.append("elements = { " + ",\n\t\t\t     ".join(block.elements) + " }")
    return f"\t{head} {{\n" + "".join(f"\t\t{line}\n" for line in lines) + "\t}\n"

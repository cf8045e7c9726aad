# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading YAML with the line of every setting, and without what YAML can do but a settings file never needs.

PyYAML's loader forgets where a value stood, lets the later of two equal keys win in silence, and expands aliases
without limit. This reader walks PyYAML's events instead. Values mean the same as to Ansible, which reads the same files
(YAML 1.1: `no` is false, 2026-01-01 a date). Source: PyYAML's documentation; YAML 1.1, https://yaml.org/spec/1.1/.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.sallyport.im.plugins.plugin_utils.faults import Fault, Location, show_location, show_value

LARGEST_FILE = 1024 * 1024
"""Bytes. A site of ten thousand people stays below."""
DEEPEST = 20
"""Levels of nesting. libyaml takes time with the square of the depth: a small file could keep it busy for minutes."""
LONGEST_NUMBER = 100
"""Characters. Python refuses to read very long numbers; no setting needs more than a few digits."""
Parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
KINDS = {bool: "true or false", int: "a number", float: "a number", type(None): "nothing"}


@dataclass
class Source:
    """A YAML file that was read.

    Attributes:
        file: where it stands.
        value: what it holds: dict, tuple, str, int, float, bool, None, date; dicts have only text as keys.
        lines: the line, from 1, of each setting by its location.
        faults: what was wrong with it; the value holds what could still be read.
    """

    file: Path
    value: object = None
    lines: dict[Location, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def line(self, location: Location) -> int:
        """Find the line of a setting, or of the nearest one around it that exists.

        Args:
            location: the way to the setting.

        Returns:
            A line, from 1.
        """
        while location and location not in self.lines:
            location = location[:-1]
        return self.lines.get(location, 1)

    def fault(
        self, location: Location, message: str, *, value: str = "", allowed: str = "", nearest: str | None = None
    ) -> Fault:
        """Make a fault of a setting in this file.

        Args:
            location: the way to the setting.
            message: what is wrong.
            value: what stands there, quoted for a message.
            allowed: what may stand there.
            nearest: the valid name that was probably meant.

        Returns:
            The fault, with file and line; it is not added to `faults`.
        """
        return Fault(
            message=message,
            file=self.file,
            line=self.line(location),
            location=location,
            value=value,
            allowed=allowed,
            nearest=nearest,
        )


class _Stop(Exception):
    """The rest of the file cannot be understood; the fault that says why is in the source already."""


def read(file: Path) -> Source:
    """Read a YAML file that holds one mapping.

    Args:
        file: the file; at most 1 MiB, which is looked at before anything is read.

    Returns:
        What was read. Its `faults` name everything that is wrong with the file as YAML: it is missing, too large, not
        UTF-8, not YAML, not a mapping, has duplicate keys, keys that are no text, anchors, aliases or tags.
    """
    source = Source(file)
    text = _text(source)
    if text is None:
        return source
    try:
        _Reader(source, text).document()
    except _Stop:
        source.value = None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join(part for part in (error.context, error.problem) if part) or "it cannot be parsed"
        _not_yaml(source, problem, mark.line + 1 if mark else 0, mark.column + 1 if mark else 0)
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        column = len(before) - before.rfind("\n")
        _not_yaml(
            source,
            f"the character {show_value(_char(error, text))} is not allowed in YAML",
            before.count("\n") + 1,
            column,
        )
    return source


def _char(error: yaml.reader.ReaderError, text: str) -> str:
    return text[error.position] if 0 <= error.position < len(text) else str(error.character)


def _not_yaml(source: Source, problem: str, line: int, column: int) -> None:
    source.value = None
    source.faults.append(
        Fault(
            message=f"this is not YAML (line {line}, column {column}): {problem}",
            file=source.file,
            line=line,
            allowed="YAML; often a wrong indentation, a missing colon, or an open quote or bracket a few lines above",
        )
    )


def _text(source: Source) -> str | None:
    """Return the file's text, or add the fault that says why there is none."""

    def refuse(message: str, allowed: str, line: int = 0) -> None:
        source.faults.append(Fault(message=message, file=source.file, line=line, allowed=allowed))

    try:
        about = source.file.stat()
        if not stat.S_ISREG(about.st_mode):
            refuse("this is not a regular file", "a YAML file")
            return None
        if about.st_size > LARGEST_FILE:
            size = about.st_size / LARGEST_FILE
            refuse(f"the file is {size:.1f} MiB large and was not read", "at most 1 MiB; is this the right file?")
            return None
        with source.file.open("rb") as stream:
            content = stream.read(LARGEST_FILE + 1)[:LARGEST_FILE]
    except FileNotFoundError:
        refuse("there is no such file", "a site has this file; `make new-site` makes a whole site")
        return None
    except OSError as error:
        refuse(f"the file cannot be read: {error.strerror}", "a file that you may read")
        return None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        refuse(f"byte {error.start + 1} (line {line}) is not UTF-8", "text in UTF-8; save the file as UTF-8", line)
        return None


class _Reader:
    """Builds values from PyYAML's events."""

    def __init__(self, source: Source, text: str) -> None:
        self.source = source
        self.events: Iterator[Any] = yaml.parse(text, Loader=Parser)
        self.resolver: Any = yaml.resolver.Resolver()
        self.constructor: Any = yaml.constructor.SafeConstructor()

    def document(self) -> None:
        """Read the only document into the source."""
        next(self.events)  # the stream starts
        event = next(self.events)
        if isinstance(event, yaml.StreamEndEvent):
            # no line: there is none
            self.source.faults.append(
                Fault(message="the file is empty", file=self.source.file, allowed="a mapping of settings")
            )
            raise _Stop
        event = next(self.events)
        if not isinstance(event, yaml.MappingStartEvent):
            self.stop(event, (), "the file does not hold a mapping", "settings as `name: value`, one below the other")
        self.source.value = self.node(event, ())
        next(self.events)  # the document ends
        event = next(self.events)
        if not isinstance(event, yaml.StreamEndEvent):
            self.add(event, (), "a second document begins here", "one document; remove the line `---`")

    def add(self, event: Any, location: Location, message: str, allowed: str, value: str = "") -> None:
        """Add a fault at an event's place."""
        self.source.faults.append(
            Fault(
                message=message,
                file=self.source.file,
                line=event.start_mark.line + 1,
                location=location,
                allowed=allowed,
                value=value,
            )
        )

    def stop(self, event: Any, location: Location, message: str, allowed: str) -> None:
        """Add a fault and give up."""
        self.add(event, location, message, allowed)
        raise _Stop

    def node(self, event: Any, location: Location) -> object:
        """Read the value that begins with an event."""
        self.source.lines.setdefault(location, event.start_mark.line + 1)
        if len(location) > DEEPEST:
            self.stop(event, location[:4], f"this is nested deeper than {DEEPEST} levels", "a few levels")
        if isinstance(event, yaml.AliasEvent):
            self.stop(
                event, location, f"*{event.anchor} stands for a value from elsewhere", "the value itself, repeated"
            )
        if event.anchor is not None:
            self.add(
                event,
                location,
                f"&{event.anchor} marks this value for use elsewhere",
                "the value without a mark; repeat it where it is needed",
            )
        if event.tag is not None:
            self.add(
                event, location, f"the tag {show_value(event.tag)} is not understood here", "the value without a tag"
            )
        if isinstance(event, yaml.MappingStartEvent):
            return self.mapping(location)
        if isinstance(event, yaml.SequenceStartEvent):
            return self.sequence(location)
        return self.scalar(event)

    def sequence(self, location: Location) -> tuple[object, ...]:
        """Read a list, up to its end."""
        items: list[object] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            items.append(self.node(event, (*location, len(items))))
        return tuple(items)

    def mapping(self, location: Location) -> dict[str, object]:
        """Read a mapping, up to its end."""
        found: dict[str, object] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key = self.key(event, location)
            here = (*location, key)
            if key in found:
                self.add(
                    event,
                    here,
                    f"{show_value(key)} stands here twice, first in line {self.source.lines[here]}",
                    "each name once; remove one of the two or join them",
                )
                self.skip(next(self.events))
                continue
            # the line of the name and not of the value, which may begin further below
            self.source.lines[here] = event.start_mark.line + 1
            found[key] = self.node(next(self.events), here)
        return found

    def key(self, event: Any, location: Location) -> str:
        """Read the name of a setting."""
        if not isinstance(event, yaml.ScalarEvent):
            self.stop(event, location, "a list, a mapping or an alias stands where a name should", "a name")
        value = self.scalar(event)
        text = str(event.value)
        if text == "<<" and event.implicit[0]:
            self.stop(event, location, "<< merges settings from elsewhere", "the settings themselves, repeated")
        if not isinstance(value, str):
            kind = KINDS.get(type(value), "a date")
            self.add(
                event,
                (*location, text),
                f"the name {text} is read by YAML as {kind}",
                f'write "{text}" in quotes',
                text,
            )
        return text

    def skip(self, event: Any) -> None:
        """Pass over the value of a duplicate key."""
        depth = 0
        while True:
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth == 0:
                return
            event = next(self.events)

    def scalar(self, event: Any) -> object:
        """Read a single value as Ansible reads it; what only looks like a date or a number stays text."""
        text = str(event.value)
        if not event.implicit[0] or len(text) > LONGEST_NUMBER:
            return text
        tag = self.resolver.resolve(yaml.ScalarNode, text, (True, False))
        if tag in ("tag:yaml.org,2002:merge", "tag:yaml.org,2002:value"):
            return text
        try:
            return self.constructor.construct_object(yaml.ScalarNode(tag, text))
        except (ValueError, OverflowError, yaml.YAMLError):
            return text


def locations(source: Source) -> list[str]:
    """List the settings that a file holds.

    Args:
        source: a file that was read.

    Returns:
        Their paths, in the order of the file.
    """
    return [show_location(location) for location in source.lines if location]

# SPDX-License-Identifier: GPL-3.0-or-later
"""What may stand in a site file, told to people: the words in messages, the JSON Schema for editors, the reference."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.sallyport.im.plugins.plugin_utils.faults import Location
from ansible_collections.sallyport.im.plugins.plugin_utils.site_file import SiteYaml

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Schema = Mapping[str, Any]


@functools.cache
def model_schema() -> Schema:
    """Make the JSON Schema of a site file.

    Returns:
        The schema (JSON Schema 2020-12) as pydantic makes it from the settings; `allowed` in it is the kit's own.
    """
    return SiteYaml.model_json_schema()


def resolve(node: Schema) -> Schema:
    """Follow a reference, and look past the choice between a value and nothing.

    Args:
        node: a part of the schema.

    Returns:
        What it means; what stands beside a reference (default, description) wins.
    """
    if "$ref" in node:
        target = model_schema()["$defs"][node["$ref"].rpartition("/")[2]]
        return {**target, **{key: value for key, value in node.items() if key != "$ref"}}
    if "anyOf" in node:
        first = next(choice for choice in node["anyOf"] if choice.get("type") != "null")
        return {**resolve(first), **{key: value for key, value in node.items() if key != "anyOf"}}
    return node


def _entry(node: Schema) -> Schema:
    """Return what may stand below each id of a mapping from ids; empty for other kinds."""
    for found in node.get("patternProperties", {}).values():
        return {**found}
    return {}


def look_up(location: Location) -> Schema:
    """Find what may stand at a place of the site file.

    Args:
        location: the way to the setting.

    Returns:
        The part of the schema; empty when there is no such setting.
    """
    node: Schema = resolve(model_schema())
    for step in location:
        below = node.get("properties", {})
        node = node.get("items", {}) if isinstance(step, int) else below.get(step, _entry(node))
        node = resolve(node)
    return node


def allowed(node: Schema) -> str:
    """Say what may stand at a place.

    Args:
        node: its part of the schema.

    Returns:
        Plain words, as `a whole number from 1 to 3650`; empty when nothing is known.
    """
    node = resolve(node)
    match node:
        case {"allowed": str(words)}:
            text = words
        case {"enum": list(choices)}:
            text = " or ".join(map(str, choices))
        case {"const": value}:
            text = str(value)
        case {"type": "integer", "minimum": lowest, "maximum": highest}:
            text = f"a whole number from {lowest} to {highest}"
        case {"type": "boolean"}:
            text = "true or false"
        case {"type": "array", "items": items}:
            each = "a mapping" if "properties" in resolve(items) else allowed(items)
            text = f"a list{' with at least one entry' if node.get('minItems') else ''}; each entry: {each}"
        case {"type": "object", "properties": dict(names)}:
            text = f"a mapping with {', '.join(names)}"
        case {"type": "object"} if _entry(node).get("type") == "string":
            text = f"a mapping; each key: {allowed(node.get('propertyNames', {}))}; each value: {allowed(_entry(node))}"
        case {"type": "object"}:
            text = "a mapping from ids to their settings"
        case _:
            text = ""
    return text


def places_of(name: str) -> list[str]:
    """Find all settings of a name, wherever they belong.

    Args:
        name: the last part of a setting's path.

    Returns:
        Paths as `sallyport.retention.messages_days`.
    """
    return [path for path, _node, _required in settings() if path.rpartition(".")[2] == name]


def settings() -> Iterator[tuple[str, Schema, bool]]:
    """List every setting there is, in the order of the reference.

    Yields:
        Its path (`[]` for any entry of a list, `<id>` for any id), its part of the schema, and whether it is required.
    """
    yield from _walk("", resolve(model_schema()))


def _walk(path: str, node: Schema) -> Iterator[tuple[str, Schema, bool]]:
    for name, inner in node.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        resolved = resolve(inner)
        yield here, resolved, name in node.get("required", [])
        if resolved.get("type") == "array":
            yield from _walk(f"{here}[]", resolve(resolved["items"]))
        elif _entry(resolved):
            yield from _walk(f"{here}.<id>", resolve(_entry(resolved)))
        else:
            yield from _walk(here, resolved)


def _published(node: Any) -> Any:
    """Turn the kit's own words into ones that editors show, and drop what only repeats a name."""
    if isinstance(node, list):
        return [_published(item) for item in node]
    if not isinstance(node, dict):
        return node
    result = {key: _published(value) for key, value in node.items() if key != "allowed"}
    if isinstance(result.get("title"), str):
        del result["title"]
    if "patternProperties" in result:
        result["additionalProperties"] = False
    if "description" in result or "allowed" in node:
        words = [
            one_line(str(result.get("description", ""))),
            f"Allowed: {node['allowed']}." if "allowed" in node else "",
        ]
        result["description"] = " ".join(word for word in words if word)
    return result


def one_line(text: str) -> str:
    """Join the lines of a text.

    Args:
        text: as it stands in the source.

    Returns:
        The same on one line.
    """
    return " ".join(text.split())


def json_schema() -> str:
    """Write docs/site.schema.json.

    Returns:
        Its text.
    """
    schema = {"$schema": DIALECT, "title": "Sallyport site file", **_published(model_schema())}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def reference() -> str:
    """Write docs/site-file.md.

    Returns:
        Its text.
    """
    lines = [
        "# The site file",
        "",
        "An administrator edits one file for each site, `inventories/<site>/group_vars/all/site.yml`. These are all of",
        "its settings; anything else in it is refused. `make check SITE=<site>` reads the file, touches no host, and",
        "names everything that is wrong at once. Editors that know JSON Schema complete and check it by",
        "`docs/site.schema.json`, which its first line names.",
        "",
        "Made from the kit by `make docs`; do not edit.",
        "",
    ]
    for path, node, required in settings():
        short = path.removeprefix("sallyport.")
        if path == "sallyport":
            continue
        lines += [f"### `{short}`", "", one_line(str(node.get("description", ""))), ""]
        words = allowed(node)
        if words and "properties" not in node:
            lines.append(f"- Allowed: {words}")
        if required:
            lines.append("- Must be given")
        elif "properties" not in node:
            lines.append(f"- Default: {_default(node.get('default'))}")
        if lines[-1]:
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _default(value: object) -> str:
    match value:
        case None:
            return "none"
        case []:
            return "an empty list"
        case bool():
            return f"`{str(value).lower()}`"
    return f"`{value}`"

# SPDX-License-Identifier: GPL-3.0-or-later
"""Telling what pydantic found in plain words: path, value, what is allowed, the nearest valid name, file and line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.sallyport.im.plugins.plugin_utils.faults import Fault, Location, nearest, show_value
from ansible_collections.sallyport.im.plugins.plugin_utils.schema import allowed, look_up, places_of
from ansible_collections.sallyport.im.plugins.plugin_utils.yaml_source import Source
from pydantic import ValidationError

EXPECTED = {
    "string_type": "text is expected here",
    "int_type": "a whole number is expected here",
    "bool_type": "true or false is expected here",
    "tuple_type": "a list is expected here",
    "dict_type": "a mapping is expected here",
    "model_type": "a mapping is expected here",
    "literal_error": "this is not one of the choices",
    "greater_than_equal": "this is too small",
    "less_than_equal": "this is too large",
}
"""What pydantic calls an error, and what to say of it."""


def explain(error: ValidationError, source: Source) -> list[Fault]:
    """Turn pydantic's errors into faults.

    Args:
        error: what pydantic raised for the file's content.
        source: the file.

    Returns:
        A fault for each error. A required setting whose name is only misspelt is one fault and not two.
    """
    details = error.errors(include_url=False)
    missing = {_location(detail) for detail in details if detail["type"] == "missing"}
    faults: list[Fault] = []
    for detail in details:
        if detail["type"] == "extra_forbidden":
            faults.append(_unknown(detail, source, missing))
    for detail in details:
        location = _location(detail)
        if detail["type"] == "missing":
            if location in missing:
                faults.append(source.fault(location, "this setting is missing", allowed=allowed(look_up(location))))
        elif detail["type"] != "extra_forbidden":
            faults.append(_wrong(detail, source))
    return faults


def _location(detail: Mapping[str, Any]) -> Location:
    # pydantic marks an error of a mapping's key with a last step of its own
    steps: Iterable[str | int] = detail["loc"]
    return tuple(step for step in steps if step != "[key]")


def _unknown(detail: Mapping[str, Any], source: Source, missing: set[Location]) -> Fault:
    """Name a setting that does not exist, and the one that was meant."""
    location = _location(detail)
    *around, name = location
    names = list(look_up(tuple(around)).get("properties", {}))
    meant = nearest(name, names)
    if meant is not None:
        missing.discard((*around, meant))
    elsewhere = places_of(str(name))
    message = "there is no setting of this name"
    if elsewhere and meant is None:
        message += f" here; it belongs to {' or '.join(elsewhere)}"
    return source.fault(location, message, value=show_value(detail["input"]), allowed=", ".join(names), nearest=meant)


def _wrong(detail: Mapping[str, Any], source: Source) -> Fault:
    """Say what is wrong with a value."""
    location = _location(detail)
    value = show_value(detail["input"])
    is_key = detail["loc"][-1] == "[key]"
    node = look_up(location[:-1]).get("propertyNames", {}) if is_key else look_up(location)
    if detail["type"] == "value_error":
        message = str(detail["ctx"]["error"])
    else:
        message = EXPECTED.get(detail["type"], str(detail["msg"]))
    return source.fault(
        location,
        f"{value}: {message}",
        value=value,
        allowed=allowed(node),
        nearest=nearest(detail["input"], map(str, node.get("enum", []))),
    )

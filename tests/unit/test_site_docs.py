# SPDX-License-Identifier: GPL-3.0-or-later
"""What is published about the site file is what the kit does."""

from __future__ import annotations

import importlib
import json
import re
from typing import Any

import pytest
import yaml
from ansible_collections.sallyport.im.plugins.plugin_utils import schema, version
from unit.sites import BASE_SITE, EXTERNAL_SITE, ROOT

# it ships no types
jsonschema: Any = importlib.import_module("jsonschema")
SCHEMA = json.loads(schema.json_schema())


def test_the_schema_in_docs_is_not_stale() -> None:
    assert (ROOT / "docs" / "site.schema.json").read_text(encoding="utf-8") == schema.json_schema(), "run: make docs"


def test_the_reference_in_docs_is_not_stale() -> None:
    assert (ROOT / "docs" / "site-file.md").read_text(encoding="utf-8") == schema.reference(), "run: make docs"


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def as_json(text: str) -> object:
    """Read YAML as an editor's language server does, for which a date is text."""
    return json.loads(json.dumps(yaml.safe_load(text), default=str))


def test_the_schema_accepts_what_the_kit_accepts() -> None:
    demo = ROOT / "inventories" / "demo" / "group_vars" / "all" / "site.yml"
    for text in (BASE_SITE, EXTERNAL_SITE, demo.read_text(encoding="utf-8")):
        assert not [error.message for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(as_json(text))]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("calls: refuse", "cals: refuse"),
        ("id: bob", "id: Bob"),
        ("id: bob", "id: probe-x"),
        ("    board: {title", "    probes: {title"),
        ("calls: refuse", "calls: maybe"),
        ("attempts: 10", "attempts: 2"),
        ("im.fjord.example", "intranet"),
        ('[10.20.0.0/24, "fd12:20:0:1::/64"]', "[]"),
        ("until: 2027-06-30", "until: soon"),
        ("company: Fjord AS", "company: ''"),
    ],
)
def test_the_schema_refuses_what_the_kit_refuses(old: str, new: str) -> None:
    assert old in BASE_SITE
    errors = jsonschema.Draft202012Validator(SCHEMA).iter_errors(as_json(BASE_SITE.replace(old, new)))
    assert [error.message for error in errors]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("until: 2027-06-30}}", "until: 2027-06-30 17:30:00}}"),
        ("until: 2026-12-31 17:30", "until: 2026-12-31T17:30"),
        ("reason: Audit, ", ""),
        ("owner: Alice Ek", "owner: ''"),
        ("contacts: {nora:", "contacts: {Nora:"),
        ("contacts: {}\n", "\n"),
        ("partners/north.crt", "partners/north.key"),
        ("100]", "10]"),
        ("partner_links: permit", "partner_links: perhaps"),
        ("whole_domain: true", "whole_domain: 1"),
        ("{service: irc, ", "{"),
        ("addresses: [203.0.113.9/32]", "addresses: [203.0.113.9]"),
    ],
)
def test_the_schema_refuses_the_same_of_external_im(old: str, new: str) -> None:
    assert EXTERNAL_SITE.count(old)
    errors = jsonschema.Draft202012Validator(SCHEMA).iter_errors(as_json(EXTERNAL_SITE.replace(old, new, 1)))
    assert [error.message for error in errors]


def test_the_reference_tells_of_settings_inside_of_optional_ones() -> None:
    paths = {path for path, _node, _required in schema.settings()}
    assert {"sallyport.people[].external.reason", "sallyport.partners[].owner"} <= paths
    assert "sallyport.consumer_im.permitted[].service" in paths


@pytest.mark.parametrize("site", ["demo", "example"])
def test_site_files_name_the_schema(site: str) -> None:
    file = ROOT / "inventories" / site / "group_vars" / "all" / "site.yml"
    first = file.read_text(encoding="utf-8").splitlines()[0]
    found = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert found is not None
    assert (file.parent / found[1]).resolve() == ROOT / "docs" / "site.schema.json"


def test_every_setting_is_explained() -> None:
    for path, node, _required in schema.settings():
        assert node.get("description"), path
        assert schema.allowed(node), path


def test_the_version_is_the_same_everywhere() -> None:
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))
    assert galaxy["version"] == version.KIT_VERSION
    assert f'version = "{version.KIT_VERSION}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")

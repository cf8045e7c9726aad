# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that roles put on hosts, loaded as modules; they have no ending, and run on the host by themselves."""

from __future__ import annotations

import importlib.util
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def load_program(path: str) -> Any:
    """Load a program.

    Args:
        path: below the root of the kit.

    Returns:
        Its module.
    """
    name = Path(path).name.replace("-", "_")
    spec = importlib.util.spec_from_loader(name, SourceFileLoader(name, str(ROOT / path)))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

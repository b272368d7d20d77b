"""examples/home_commands as modules: its scripts are no package."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

EXAMPLE = Path(__file__).parents[2] / "examples" / "home_commands"
HANDWRITTEN = EXAMPLE / "handwritten.csv"
MODEL = EXAMPLE / "model"


def load(name: str) -> ModuleType:
    """One of the example's scripts; they import grammar.py by its bare name."""
    if name != "grammar":
        load("grammar")
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, EXAMPLE / f"{name}.py")
        assert spec is not None and spec.loader is not None
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]

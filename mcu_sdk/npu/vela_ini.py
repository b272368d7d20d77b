"""Vela's description of systems around an NPU: Arm/vela.ini of the installed ethos-u-vela."""

from __future__ import annotations

import configparser
import importlib.util
from pathlib import Path

from mcu_sdk.errors import ToolMissingError

SYSTEM, MODE = "System_Config", "Memory_Mode"
"""The kinds of sections; a section's name is its kind, a point and its own name."""


def require_vela() -> None:
    """Raises ToolMissingError when Arm's compiler is not installed."""
    if importlib.util.find_spec("ethosu") is None or importlib.util.find_spec("ethosu.vela") is None:
        raise ToolMissingError(
            "Vela, Arm's compiler for Ethos-U, was expected; the package ethos-u-vela is not installed.",
            hint="Install it: pip install ethos-u-vela",
        )


def read_sections() -> dict[tuple[str, str], dict[str, str]]:
    """Each section's keys and values by (kind, name), those that it inherits included.

    Raises ToolMissingError without Vela.
    """
    require_vela()
    spec = importlib.util.find_spec("ethosu")
    assert spec is not None and spec.submodule_search_locations is not None
    parser = configparser.ConfigParser()
    for folder in spec.submodule_search_locations:
        parser.read(Path(folder) / "config_files" / "Arm" / "vela.ini", encoding="utf-8")
    found: dict[tuple[str, str], dict[str, str]] = {}
    for section in parser.sections():
        kind, _, name = section.partition(".")
        if name:
            inherited = parser.get(section, "inherit", fallback="")
            values = dict(parser[inherited]) if inherited in parser else {}
            found[kind, name] = values | dict(parser[section])
    return found

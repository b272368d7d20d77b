"""What the CI files of a project are filled in with: packages, and whether the project can be made again from its repository."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mcu_sdk.board.board import Board
from mcu_sdk.project import manifest

TEMPLATES = (".github/workflows/firmware.yml.j2", ".gitlab-ci.yml.j2", "vcpkg-configuration.json.j2")
"""For whoever owns the project: written once, and not for a profiled twin."""
FVP_TEMPLATE = "vcpkg-configuration.json.j2"
"""Written only where the board can be simulated by an FVP."""

_CROSS = ("gcc-arm-none-eabi", "libnewlib-arm-none-eabi", "libstdc++-arm-none-eabi-newlib", "g++")
_SIMULATORS = {"qemu": ("qemu-system-arm",)}
_KEPT_BY_THE_PROJECT = ("pte", "tokenizer")
"""Inputs whose content a project has itself."""


def context(board: Board, inputs: Mapping[str, manifest.Input]) -> dict[str, Any]:
    """Of the templates in TEMPLATES. `inputs`: what the project is made from, by option."""
    simulators = [package for name in board.simulator for package in _SIMULATORS.get(name, ())]
    elsewhere = [
        role
        for role, entry in inputs.items()
        if entry.kind in ("folder", "file") and role not in _KEPT_BY_THE_PROJECT
    ]
    flags = [f"--{role.replace('_', '-')}" for role in elsewhere]
    return {
        "packages": " ".join(("g++",) if board.is_host else (*_CROSS, *simulators)),
        "regenerates": not elsewhere,
        "missing": ", ".join(role.replace("_", " ") for role in elsewhere),
        "regenerate_flags": " ".join(f"{flag} PATH" for flag in flags),
        "has_fvp": "fvp" in board.simulator,
        "versions": manifest.versions(),
    }

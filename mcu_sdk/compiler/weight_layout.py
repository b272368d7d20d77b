"""How int8 weights lie in a .pte."""

from __future__ import annotations

from typing import Literal

WeightLayout = Literal["rows", "helium-8x16"]
"""Row by row, or in groups of 8 rows and blocks of 16 columns (compiler/ops/packed.py), as Helium streams them. Every
core reads both."""


def layout_for(*, helium: bool) -> WeightLayout:
    """What a core with or without Helium reads fastest."""
    return "helium-8x16" if helium else "rows"

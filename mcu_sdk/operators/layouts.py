"""How weights lie in a .pte: what the lowering writes, the kernels read and the emitters check."""

from __future__ import annotations

from typing import Literal

WeightLayout = Literal["rows", "helium-8x16"]
"""int8 weights row by row, or in groups of 8 rows and blocks of 16 columns (reference/packed.py), as Helium streams
them. Every core reads both."""

ROWS = 8
"""Of one block, int8 or int4."""
COLUMNS = 16
"""Of one block of int8."""

GROUP = 32
"""Columns of one block of int4 (reference/int4.py): they share a factor."""
NIBBLE_BYTES = ROWS * GROUP // 2
BLOCK_BYTES = NIBBLE_BYTES + 2 * ROWS
"""Of int4: the nibbles, and a bfloat16 factor for each row."""


def layout_for(*, helium: bool) -> WeightLayout:
    """What a core with or without Helium reads fastest."""
    return "helium-8x16" if helium else "rows"

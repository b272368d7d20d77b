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


MOST_PADDING = 1.5
"""Times a weight may grow where int8 is packed: a matrix of two rows would become four times as large, and hardly faster."""


def packed_bytes(rows: int, columns: int) -> int:
    """Of an int8 matrix in "helium-8x16"; its rows as they are where that would be mostly padding."""
    padded = _up(rows, ROWS) * _up(columns, COLUMNS)
    return padded if padded <= MOST_PADDING * rows * columns else rows * columns


def int4_bytes(rows: int, columns: int) -> int:
    """Of the same matrix in blocks of int4, its factors among them."""
    return _up(rows, ROWS) // ROWS * (_up(columns, GROUP) // GROUP) * BLOCK_BYTES


def _up(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple

"""What a .pte's instructions say of how its weights lie, and what a report says of that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mcu_sdk.operators.layouts import WeightLayout
from mcu_sdk.operators.table import Operator, Work
from mcu_sdk.planning.instruction import Instruction


def layout_of(instructions: Iterable[Instruction]) -> WeightLayout:
    """What a .pte's instructions read: weights that are packed at all are packed for Helium."""
    packed = any(row.layout != "rows" for row in _rows(instructions))
    return "helium-8x16" if packed else "rows"


def _rows(instructions: Iterable[Instruction]) -> Iterable[Operator]:
    return (row for instruction in instructions if (row := instruction.row) is not None)


def layout_notes(instructions: Iterable[Instruction], *, helium: bool) -> list[str]:
    """What to say of a .pte of this SDK whose weights lie row by row, though the core has Helium."""
    instructions = list(instructions)
    linears = sum(row.work is Work.PRODUCT and bool(row.packed) for row in _rows(instructions))
    if not helium or linears == 0 or layout_of(instructions) != "rows":
        return []
    return [
        f"The weights of {linears} linears lie row by row. Compiled for the board, compile_module(..., board=...), they "
        "take about half the instructions."
    ]


def weight_notes(facts: Mapping[str, Any]) -> list[str]:
    """What to say of linears that keep int8 where int4 was asked for."""
    kept = facts.get("kept_int8") or []
    if not kept:
        return []
    some = ", ".join(kept[:4]) + (" and more" if len(kept) > 4 else "")
    return [
        f"{len(kept)} of {len(kept) + facts['int4_linears']} linears keep int8 weights, because int4 in blocks of 8 x 32 "
        f"would not be smaller: {some}."
    ]

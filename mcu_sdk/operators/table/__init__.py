"""What is known of each operator, one row for each: the only place that knows operators by their names.

A file for each kind of kernel (firmware/kernels/). A row of ours gives the schema that reference/ registers with torch;
lowering, planning, reports and the wrappers for ExecuTorch's runtime ask the rows for the rest. Operators of ExecuTorch
and ATen have a row where something but their emitter has to know them; its arguments are those that torch registers, up
to the last one that matters here. Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Iterable

from mcu_sdk.operators.table import (
    attention,
    audio,
    conv,
    elementwise,
    image,
    layout,
    linear,
    norm,
    quantize,
    recurrent,
    reduce,
)
from mcu_sdk.operators.table.names import is_in_place, is_out_variant, plain_overload, variant
from mcu_sdk.operators.table.row import OWN, Operator, Work

KINDS = (linear, layout, quantize, norm, reduce, elementwise, attention, recurrent, conv, audio, image)
"""The files, each with its ROWS."""

OPERATORS: dict[str, Operator] = {row.name: row for kind in KINDS for row in kind.ROWS}
"""By name: "mcu::linear_s8", and "mcu::linear_s8.packed" for an overload that has a row of its own."""


def own_operators() -> Iterable[Operator]:
    """The rows of this SDK's operators."""
    return (row for row in OPERATORS.values() if row.is_ours)


def called_operators() -> dict[str, Operator]:
    """The rows of those that ExecuTorch's runtime can call a kernel of ours for, by name: all of this SDK, of ExecuTorch's
    for Cortex-M those that models of ours have (their specification is executorch/backends/cortex_m/ops/operators.py), and those
    of its own libraries that compute floats: their kernels round otherwise."""
    return {name: row for name, row in OPERATORS.items() if row.call}


def find(operator: str, overload: str = "") -> Operator | None:
    """The row of an operator in any of its forms; None if it has none.

    An overload without a row of its own is the operator's ("aten::mm.out", "aten::add.Tensor_out").
    """
    name = variant(operator, overload)
    return OPERATORS.get(name) or OPERATORS.get(name.partition(".")[0])


__all__ = [
    "KINDS",
    "OPERATORS",
    "OWN",
    "Operator",
    "Work",
    "called_operators",
    "find",
    "is_in_place",
    "is_out_variant",
    "own_operators",
    "plain_overload",
    "variant",
]

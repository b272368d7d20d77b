"""Emitter of the linear with int4 weights. Schema: mcu_sdk/operators/table.py; kernel: firmware/kernels/."""

from __future__ import annotations

from collections.abc import Sequence

from mcu_sdk.operators.layouts import BLOCK_BYTES, GROUP, ROWS
from mcu_sdk.planning.emitters.checks import (
    apart,
    call,
    integer,
    optional_tensor,
    out_tensor,
    rows_of,
    shape_is,
    tensor,
)
from mcu_sdk.planning.instruction import DType, Instruction, KernelCall
from mcu_sdk.planning.registry import emits, unsupported

S8, F32 = DType.S8, DType.F32
ALIGNMENT = 16
"""Bytes: a vector's, and a block is nine of them."""


@emits("mcu::linear_s4")
def linear_s4(instruction: Instruction) -> Sequence[KernelCall]:
    x, x_scale = tensor(instruction, 0, S8), tensor(instruction, 1, F32)
    weight, bias = tensor(instruction, 2, S8), optional_tensor(instruction, 3, F32)
    n, out = integer(instruction, 4), out_tensor(instruction, 5, F32)
    rows, k = rows_of(instruction, x)
    if n < 1 or out.elements != rows * n:
        unsupported(instruction, "the output's size does not match")
    if x_scale.elements != rows:
        unsupported(instruction, f"there are {x_scale.elements} input scales for {rows} rows")
    shape_is(instruction, weight, "the int4 weight", -(-n // ROWS), -(-k // GROUP), BLOCK_BYTES)
    if not weight.is_constant:
        unsupported(instruction, "its int4 weight is no constant")
    if weight.offset % ALIGNMENT:
        unsupported(
            instruction,
            f"its int4 weight is at byte {weight.offset} of the file, no multiple of {ALIGNMENT}",
        )
    if bias is not None:
        shape_is(instruction, bias, "the bias", n)
    apart(instruction, out, x, x_scale, weight, bias)
    return call("linear_s4", x, x_scale, weight, bias, out, rows, k, n)

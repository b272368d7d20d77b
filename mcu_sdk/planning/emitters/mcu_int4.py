"""Emitter of the linear with int4 weights. Schema: mcu_sdk/operators/table; kernel: firmware/kernels/."""

from __future__ import annotations

from collections.abc import Sequence

from mcu_sdk.operators.layouts import BLOCK_BYTES, GROUP, ROWS
from mcu_sdk.planning.emitters.checks import (
    apart,
    call,
    optional_tensor,
    out_tensor,
    shape_is,
    tensor,
)
from mcu_sdk.planning.emitters.mcu_linear import one_scale_a_row
from mcu_sdk.planning.emitters.mcu_packed import sizes_with_count, weight_in_blocks
from mcu_sdk.planning.instruction import DType, Instruction, KernelCall
from mcu_sdk.planning.registry import emits

S8, F32 = DType.S8, DType.F32


@emits("mcu::linear_s4")
def linear_s4(instruction: Instruction) -> Sequence[KernelCall]:
    x, x_scale = tensor(instruction, 0, S8), tensor(instruction, 1, F32)
    bias, out = optional_tensor(instruction, 3, F32), out_tensor(instruction, 5, F32)
    rows, k, n = sizes_with_count(instruction, x, out, 4)
    one_scale_a_row(instruction, x_scale, rows)
    weight = weight_in_blocks(instruction, 2, "int4 weight", -(-n // ROWS), -(-k // GROUP), BLOCK_BYTES)
    if bias is not None:
        shape_is(instruction, bias, "the bias", n)
    apart(instruction, out, x, x_scale, weight, bias)
    return call("linear_s4", x, x_scale, weight, bias, out, rows, k, n)

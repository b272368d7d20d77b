"""Emitters of the linears of a mixture of experts, packed or not. Schemas: mcu_sdk/operators/table.py."""

from __future__ import annotations

from collections.abc import Sequence

from mcu_sdk.operators.layouts import COLUMNS, ROWS
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
from mcu_sdk.planning.emitters.mcu_linear import check_sum, one_scale_a_row
from mcu_sdk.planning.emitters.mcu_packed import weight_in_blocks
from mcu_sdk.planning.instruction import DType, Instruction, KernelCall, Parameters, Tensor
from mcu_sdk.planning.registry import emits, unsupported

S8, S64, F32 = DType.S8, DType.S64, DType.F32


@emits("mcu::expert_linear_s8")
def expert_linear_s8(instruction: Instruction) -> Sequence[KernelCall]:
    weight = tensor(instruction, 2, S8)
    if len(weight.shape) != 3:
        unsupported(instruction, "the weight has to have the axes experts, channels and inputs")
    experts, n, k = weight.shape
    return _emitted(instruction, "expert_linear_s8", weight, (experts, n, k), n)


@emits("mcu::expert_linear_s8.packed")
def expert_linear_s8_packed(instruction: Instruction) -> Sequence[KernelCall]:
    n = integer(instruction, 6)
    _, k = rows_of(instruction, tensor(instruction, 0, S8))
    experts = (*tensor(instruction, 3, F32).shape, 0)[0]
    shape = experts, -(-n // ROWS), -(-k // COLUMNS), ROWS, COLUMNS
    weight = weight_in_blocks(instruction, 2, "packed weight", *shape)
    return _emitted(instruction, "expert_linear_s8_packed", weight, (experts, n, k), -(-n // ROWS) * ROWS)


def _emitted(
    instruction: Instruction, name: str, weight: Tensor, sizes: tuple[int, int, int], channels: int
) -> list[KernelCall]:
    """The call for `sizes` experts, n and k; `channels`: the scales that an expert has."""
    x, x_scale = tensor(instruction, 0, S8), tensor(instruction, 1, F32)
    weight_scale, bias = tensor(instruction, 3, F32), optional_tensor(instruction, 4, F32)
    expert, out = tensor(instruction, 5, S64), out_tensor(instruction, len(instruction.arguments) - 1, F32)
    experts, n, k = sizes
    rows, length = rows_of(instruction, x)
    if length != k or rows not in (1, expert.elements) or n < 1:
        unsupported(instruction, f"the weight's shape does not match {rows} rows of {length}")
    if out.elements != expert.elements * n:
        unsupported(instruction, "the output's size does not match")
    check_sum(instruction, k)
    one_scale_a_row(instruction, x_scale, rows)
    shape_is(instruction, weight_scale, "the weight's scale", experts, channels)
    if bias is not None:
        shape_is(instruction, bias, "the bias", experts, channels)
    apart(instruction, out, x, x_scale, weight, weight_scale, bias, expert)
    fields = ("rows", expert.elements), ("step", int(rows > 1)), ("experts", experts), ("k", k), ("n", n)
    return call(name, x, x_scale, weight, weight_scale, bias, expert, out, Parameters("McuExperts", fields))

"""Emitters of the linears of a mixture of experts, with int8 weights, packed or not, and int4 ones. Schemas: mcu_sdk/operators/table."""

from __future__ import annotations

from collections.abc import Sequence

from mcu_sdk.operators.layouts import BLOCK_BYTES, COLUMNS, GROUP, ROWS
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
    scale = _weight_scale(instruction, experts, n, k)
    return _emitted(instruction, "expert_linear_s8", (weight, scale), (experts, n, k), n)


@emits("mcu::expert_linear_s8.packed")
def expert_linear_s8_packed(instruction: Instruction) -> Sequence[KernelCall]:
    n = integer(instruction, 6)
    _, k = rows_of(instruction, tensor(instruction, 0, S8))
    experts = (*tensor(instruction, 3, F32).shape, 0)[0]
    channels = -(-n // ROWS) * ROWS
    shape = experts, -(-n // ROWS), -(-k // COLUMNS), ROWS, COLUMNS
    weight = weight_in_blocks(instruction, 2, "packed weight", *shape)
    scale = _weight_scale(instruction, experts, channels, k)
    return _emitted(instruction, "expert_linear_s8_packed", (weight, scale), (experts, n, k), channels)


@emits("mcu::expert_linear_s4")
def expert_linear_s4(instruction: Instruction) -> Sequence[KernelCall]:
    n = integer(instruction, 5)
    _, k = rows_of(instruction, tensor(instruction, 0, S8))
    experts = (*tensor(instruction, 2, S8).shape, 0)[0]
    shape = experts, -(-n // ROWS), -(-k // GROUP), BLOCK_BYTES
    weight = weight_in_blocks(instruction, 2, "int4 weight", *shape)
    return _emitted(instruction, "expert_linear_s4", (weight,), (experts, n, k), n)


def _weight_scale(instruction: Instruction, experts: int, channels: int, k: int) -> Tensor:
    """The scales of int8 weights, whose sums of k products an int32 has to hold."""
    check_sum(instruction, k)
    scale = tensor(instruction, 3, F32)
    shape_is(instruction, scale, "the weight's scale", experts, channels)
    return scale


def _emitted(
    instruction: Instruction,
    name: str,
    weights: tuple[Tensor, ...],
    sizes: tuple[int, int, int],
    channels: int,
) -> list[KernelCall]:
    """The call for `sizes` experts, n and k. `weights`: the third argument and, for int8, the fourth; `channels`: the biases
    that an expert has."""
    x, x_scale = tensor(instruction, 0, S8), tensor(instruction, 1, F32)
    behind = 2 + len(weights)
    bias, expert = optional_tensor(instruction, behind, F32), tensor(instruction, behind + 1, S64)
    out = out_tensor(instruction, len(instruction.arguments) - 1, F32)
    experts, n, k = sizes
    rows, length = rows_of(instruction, x)
    if length != k or rows not in (1, expert.elements) or n < 1:
        unsupported(instruction, f"the weight's shape does not match {rows} rows of {length}")
    if out.elements != expert.elements * n:
        unsupported(instruction, "the output's size does not match")
    one_scale_a_row(instruction, x_scale, rows)
    if bias is not None:
        shape_is(instruction, bias, "the bias", experts, channels)
    apart(instruction, out, x, x_scale, *weights, bias, expert)
    fields = ("rows", expert.elements), ("step", int(rows > 1)), ("experts", experts), ("k", k), ("n", n)
    return call(name, x, x_scale, *weights, bias, expert, out, Parameters("McuExperts", fields))

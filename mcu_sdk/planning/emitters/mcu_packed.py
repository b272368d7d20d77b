"""Emitters of the int8 linears and the embedding with packed weights. Schemas: mcu_sdk/operators/table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

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
from mcu_sdk.planning.emitters.mcu_linear import (
    check_multipliers,
    check_sum,
    one_scale_a_row,
    summed,
    zero_point_of,
)
from mcu_sdk.planning.instruction import Argument, DType, Instruction, KernelCall, Tensor
from mcu_sdk.planning.registry import emits, unsupported

S8, S32, S64, F32 = DType.S8, DType.S32, DType.S64, DType.F32
ALIGNMENT = 16
"""Bytes: a vector's. A core may fetch a block that lies across two lines of memory twice."""


def packed_weight(instruction: Instruction, index: int, rows: int, columns: int) -> Tensor:
    """Argument `index`, for a matrix of this size: int8[ceil(rows / 8), ceil(columns / 16), 8, 16], aligned."""
    shape = -(-rows // ROWS), -(-columns // COLUMNS), ROWS, COLUMNS
    return weight_in_blocks(instruction, index, "packed weight", *shape)


def weight_in_blocks(instruction: Instruction, index: int, what: str, *shape: int) -> Tensor:
    """Argument `index`, a constant int8[shape] that vectors are loaded from."""
    weight = tensor(instruction, index, S8)
    shape_is(instruction, weight, f"the {what}", *shape)
    if not weight.is_constant:
        unsupported(instruction, f"its {what} is no constant")
    if weight.offset % ALIGNMENT:
        unsupported(
            instruction, f"its {what} is at byte {weight.offset} of the file, no multiple of {ALIGNMENT}"
        )
    return weight


def _channels(instruction: Instruction, value: Tensor | None, what: str, count: int) -> None:
    """Refuse constants that are not padded as the groups of rows are."""
    if value is not None:
        shape_is(instruction, value, what, -(-count // ROWS) * ROWS)


def _sizes(instruction: Instruction, x: Tensor, out: Tensor, index: int) -> tuple[int, int, int]:
    """As sizes_with_count, for rows whose products an int32 holds."""
    rows, k, n = sizes_with_count(instruction, x, out, index)
    check_sum(instruction, k)
    return rows, k, n


def sizes_with_count(instruction: Instruction, x: Tensor, out: Tensor, index: int) -> tuple[int, int, int]:
    """(rows, k, n) of x[..., k] and out[..., n]; n is argument `index`."""
    rows, k = rows_of(instruction, x)
    n = integer(instruction, index)
    if n < 1 or out.elements != rows * n:
        unsupported(instruction, "the output's size does not match")
    return rows, k, n


def _linear(name: str, rows: int, *arguments: Argument) -> list[KernelCall]:
    """`mcu_<name>` or, for one row, mcu_<name>_row, which needs no code for several. Tensors come before numbers."""
    if rows == 1:
        return call(f"{name}_row", *arguments)
    at = next(index for index, argument in enumerate(arguments) if isinstance(argument, int))
    return call(name, *arguments[:at], rows, *arguments[at:])


@emits("mcu::embedding_s8.packed")
def embedding_s8(instruction: Instruction) -> Sequence[KernelCall]:
    scale, ids = tensor(instruction, 1, F32), tensor(instruction, 2, S64)
    n, out = integer(instruction, 3), out_tensor(instruction, 4, F32)
    if n < 1 or out.elements != ids.elements * n:
        unsupported(instruction, "the output does not have one row for each id")
    vocabulary = scale.elements
    weight = packed_weight(instruction, 0, vocabulary, n)
    _channels(instruction, scale, "the scale", vocabulary)
    apart(instruction, out, weight, scale, ids)
    return call("embedding_s8_packed", weight, scale, ids, out, ids.elements, vocabulary, n)


@emits("mcu::linear_s8.packed")
def linear_s8(instruction: Instruction) -> Sequence[KernelCall]:
    x, x_scale = tensor(instruction, 0, S8), tensor(instruction, 1, F32)
    weight_scale, bias = tensor(instruction, 3, F32), optional_tensor(instruction, 4, F32)
    out = out_tensor(instruction, 6, F32)
    rows, k, n = _sizes(instruction, x, out, 5)
    weight = packed_weight(instruction, 2, n, k)
    one_scale_a_row(instruction, x_scale, rows)
    _channels(instruction, weight_scale, "the weight's scale", n)
    _channels(instruction, bias, "the bias", n)
    apart(instruction, out, x, x_scale, weight, weight_scale, bias)
    return _linear("linear_s8_packed", rows, x, x_scale, weight, weight_scale, bias, out, k, n)


@emits("mcu::linear_s8_static.packed")
def linear_s8_static(instruction: Instruction) -> Sequence[KernelCall]:
    x, offset, scale = (
        tensor(instruction, 0, S8),
        tensor(instruction, 2, S32),
        tensor(instruction, 3, F32),
    )
    bias, out = optional_tensor(instruction, 4, F32), out_tensor(instruction, 6, F32)
    rows, k, n = _sizes(instruction, x, out, 5)
    weight = packed_weight(instruction, 1, n, k)
    for what, value in (("the offset", offset), ("the scale", scale), ("the bias", bias)):
        _channels(instruction, value, what, n)
    apart(instruction, out, x, weight, offset, scale, bias)
    return _linear("linear_s8_static_packed", rows, x, weight, offset, scale, bias, out, k, n)


@emits("mcu::linear_s8_requantize.packed")
def linear_s8_requantize(instruction: Instruction) -> Sequence[KernelCall]:
    x, constants = tensor(instruction, 0, S8), tensor(instruction, 2, S32)
    zero_point, low, high = (zero_point_of(instruction, i) for i in (3, 4, 5))
    out = out_tensor(instruction, 7, S8)
    rows, k, n = _sizes(instruction, x, out, 6)
    weight = packed_weight(instruction, 1, n, k)
    _check_constants(instruction, constants, n)
    apart(instruction, out, x, weight, constants)
    numbers = (k, n, zero_point, low, high)
    return _linear("linear_s8_requantize_packed", rows, x, weight, constants, out, *numbers)


@emits("mcu::linear_s8_add_s16.packed", "mcu::linear_s8_add_s16_.packed")
def linear_s8_add_s16(instruction: Instruction) -> Sequence[KernelCall]:
    added, out, x = summed(instruction, 5)
    constants = tensor(instruction, 3, S32)
    rows, k, n = _sizes(instruction, x, out, 4)
    weight = packed_weight(instruction, 2, n, k)
    _check_constants(instruction, constants, n)
    apart(instruction, out, x, weight, constants)
    return call("linear_s8_add_s16_packed", added, x, weight, constants, out, rows, k, n)


def _check_constants(instruction: Instruction, constants: Tensor, n: int) -> None:
    """Refuse biases, multipliers and shifts that are not side by side, or that the kernels do not take."""
    shape_is(instruction, constants, "what it is requantized with", -(-n // ROWS), 3, ROWS)
    if constants.data is None:
        unsupported(instruction, "its multipliers and shifts have to be constants")
    values = np.frombuffer(constants.data, "<i4", constants.elements).reshape(-1, 3, ROWS)
    check_multipliers(instruction, values[:, 1], values[:, 2], largest_shift=0)

"""Emitters of the int8 linears, of the quantization before them and of the embedding, packed or not.

Schemas: mcu_sdk/operators/table; kernels: firmware/kernels/.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mcu_sdk.operators.limits import LONGEST_SUM
from mcu_sdk.planning.emitters.checks import (
    apart,
    call,
    integer,
    number,
    optional_tensor,
    out_tensor,
    rows_of,
    same_elements,
    same_or_apart,
    shape_is,
    tensor,
)
from mcu_sdk.planning.instruction import (
    ConstantArray,
    DType,
    Instruction,
    KernelCall,
    Parameters,
    Scratch,
    Tensor,
)
from mcu_sdk.planning.registry import emits, unsupported

S8, S16, S32, S64, F32 = DType.S8, DType.S16, DType.S32, DType.S64, DType.F32


@emits("mcu::quantize_rows")
def quantize_rows(instruction: Instruction) -> Sequence[KernelCall]:
    x, q, scale = tensor(instruction, 0, F32), out_tensor(instruction, 1, S8), out_tensor(instruction, 2, F32)
    rows, n = rows_of(instruction, x)
    same_elements(instruction, x, q)
    if scale.elements != rows:
        unsupported(instruction, f"there are {scale.elements} scales for {rows} rows")
    apart(instruction, q, x, scale)
    apart(instruction, scale, x)
    return call("quantize_rows", x, q, scale, rows, n)


@emits("mcu::quantize")
def quantize(instruction: Instruction) -> Sequence[KernelCall]:
    x, out = tensor(instruction, 0, F32), out_tensor(instruction, 3, S8)
    count = same_elements(instruction, x, out)
    apart(instruction, out, x)
    inverse, zero_point = inverse_scale(instruction, 1), zero_point_of(instruction, 2)
    return call("quantize", x, out, count, inverse, zero_point, -128, 127)


def inverse_scale(instruction: Instruction, index: int) -> float:
    """1 / scale as one float32 division."""
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        scale = np.float32(number(instruction, index))
        inverse = float(np.float32(1) / scale)
    if not np.isfinite(scale) or scale <= 0:
        unsupported(instruction, f"its scale is {scale}, not a positive number")
    if inverse == float("inf"):
        unsupported(instruction, f"its scale {scale} is too small to divide by")
    return inverse


def zero_point_of(instruction: Instruction, index: int) -> int:
    value = integer(instruction, index)
    if not -128 <= value <= 127:
        unsupported(instruction, f"its zero point is {value}, not within int8")
    return value


@emits("mcu::embedding_s8")
def embedding_s8(instruction: Instruction) -> Sequence[KernelCall]:
    weight, scale, ids = tensor(instruction, 0, S8), tensor(instruction, 1, F32), tensor(instruction, 2, S64)
    return embedding_call(instruction, weight, scale, ids, out_tensor(instruction, 3, F32))


def embedding_call(
    instruction: Instruction, weight: Tensor, scale: Tensor, ids: Tensor, out: Tensor
) -> Sequence[KernelCall]:
    """The rows `ids` of weight[v, n], each times its own of scale[v]; refused for other shapes."""
    if len(weight.shape) != 2:
        unsupported(instruction, "the table has to have two axes")
    vocabulary, n = weight.shape
    shape_is(instruction, scale, "the scale", vocabulary)
    if out.elements != ids.elements * n:
        unsupported(instruction, "the output does not have one row for each id")
    apart(instruction, out, weight, scale, ids)
    return call("embedding_s8", weight, scale, ids, out, ids.elements, vocabulary, n)


def _linear_shape(instruction: Instruction, x: Tensor, weight: Tensor, out: Tensor) -> tuple[int, int, int]:
    """(rows, k, n) of x[..., k], weight[n, k], out[..., n]."""
    rows, k = rows_of(instruction, x)
    if len(weight.shape) != 2 or weight.shape[1] != k:
        unsupported(instruction, f"the weight's shape does not match rows of {k}")
    n = weight.shape[0]
    if out.elements != rows * n:
        unsupported(instruction, "the output's size does not match")
    check_sum(instruction, k)
    return rows, k, n


def check_sum(instruction: Instruction, k: int) -> None:
    """Refuse rows whose products an int32 may not hold."""
    if k >= LONGEST_SUM:
        unsupported(instruction, f"rows of {k} elements can overflow a 32-bit sum")


def one_scale_a_row(instruction: Instruction, scales: Tensor, rows: int) -> None:
    """Refuse scales of quantized rows that are not as many as the rows."""
    if scales.elements != rows:
        unsupported(instruction, f"there are {scales.elements} input scales for {rows} rows")


@emits("mcu::linear_s8")
def linear_s8(instruction: Instruction) -> Sequence[KernelCall]:
    x, x_scale = tensor(instruction, 0, S8), tensor(instruction, 1, F32)
    weight, weight_scale = tensor(instruction, 2, S8), tensor(instruction, 3, F32)
    bias, out = optional_tensor(instruction, 4, F32), out_tensor(instruction, 5, F32)
    rows, k, n = _linear_shape(instruction, x, weight, out)
    one_scale_a_row(instruction, x_scale, rows)
    shape_is(instruction, weight_scale, "the weight's scale", n)
    if bias is not None:
        shape_is(instruction, bias, "the bias", n)
    apart(instruction, out, x, x_scale, weight, weight_scale, bias)
    return _by_pairs("linear_s8", x, x_scale, weight, weight_scale, bias, out, rows, k, n)


@emits("mcu::linear_s8_static")
def linear_s8_static(instruction: Instruction) -> Sequence[KernelCall]:
    x, weight = tensor(instruction, 0, S8), tensor(instruction, 1, S8)
    offset, scale = tensor(instruction, 2, S32), tensor(instruction, 3, F32)
    bias, out = optional_tensor(instruction, 4, F32), out_tensor(instruction, 5, F32)
    rows, k, n = _linear_shape(instruction, x, weight, out)
    shape_is(instruction, offset, "the offset", n)
    shape_is(instruction, scale, "the scale", n)
    if bias is not None:
        shape_is(instruction, bias, "the bias", n)
    apart(instruction, out, x, weight, offset, scale, bias)
    return _by_pairs("linear_s8_static", x, weight, offset, scale, bias, out, rows, k, n)


def _by_pairs(name: str, *arguments: Tensor | int | None) -> list[KernelCall]:
    """`mcu_<name>` or, for several rows, mcu_<name>_pairs with scratch for one pair behind the tensors; the last arguments
    are rows, k and n."""
    rows, k, _ = arguments[-3:]
    assert isinstance(rows, int) and isinstance(k, int)
    if rows == 1:
        return call(name, *arguments)
    return call(f"{name}_pairs", *arguments[:-3], Scratch(two_rows_scratch(k, pairs=1)), *arguments[-3:])


@emits("mcu::linear_s8_requantize")
def linear_s8_requantize(instruction: Instruction) -> Sequence[KernelCall]:
    x, weight = tensor(instruction, 0, S8), tensor(instruction, 1, S8)
    bias, multiplier, shift = (tensor(instruction, i, S32) for i in (2, 3, 4))
    zero_point, low, high = (zero_point_of(instruction, i) for i in (5, 6, 7))
    out = out_tensor(instruction, 8, S8)
    rows, k, n = _linear_shape(instruction, x, weight, out)
    for what, value in (("the bias", bias), ("the multiplier", multiplier), ("the shift", shift)):
        shape_is(instruction, value, what, n)
    check_requantization(instruction, multiplier, shift)
    apart(instruction, out, x, weight, bias, multiplier, shift)
    numbers = zero_point, low, high
    if rows > 1 and shifts_right(shift):
        return several_rows(x, weight, bias, multiplier, shift, out, (rows, k, n), numbers)
    return call("linear_s8_requantize", x, weight, bias, multiplier, shift, out, rows, k, n, *numbers)


@emits("mcu::linear_s8_add_s16", "mcu::linear_s8_add_s16_")
def linear_s8_add_s16(instruction: Instruction) -> Sequence[KernelCall]:
    added, out, x = summed(instruction, 6)
    weight = tensor(instruction, 2, S8)
    bias, multiplier, shift = (tensor(instruction, i, S32) for i in (3, 4, 5))
    rows, k, n = _linear_shape(instruction, x, weight, out)
    for what, value in (("the bias", bias), ("the multiplier", multiplier), ("the shift", shift)):
        shape_is(instruction, value, what, n)
    check_requantization(instruction, multiplier, shift)
    apart(instruction, out, x, weight, bias, multiplier, shift)
    return call("linear_s8_add_s16", added, x, weight, bias, multiplier, shift, out, rows, k, n)


def summed(instruction: Instruction, out_index: int) -> tuple[Tensor, Tensor, Tensor]:
    """(what a linear adds to, the sums, its input): arguments 0, `out_index` or 0 where it is in place, and 1."""
    added, x = tensor(instruction, 0, S16), tensor(instruction, 1, S8)
    out = out_tensor(instruction, 0 if instruction.in_place else out_index, S16)
    same_elements(instruction, added, out)
    same_or_apart(instruction, out, added)
    return added, out, x


def shifts_right(*shifts: Tensor | int) -> bool:
    """Whether every shift is one to the right, as the kernels for two rows at a time want it."""
    values = [np.frombuffer(s.data or b"", "<i4") if isinstance(s, Tensor) else np.array(s) for s in shifts]
    return all((value < 0).all() for value in values)


def two_rows_scratch(k: int, *, pairs: int = 8) -> int:
    """Bytes of the pairs of rows, at most `pairs`, that kernels/linear/two_rows_s8.h lays out together for any core."""
    blocks = -(-k // 16)
    return 64 * blocks * max(1, min(pairs, 16 // blocks))


def several_rows(
    x: Tensor,
    weight: Tensor | ConstantArray,
    bias: Tensor | ConstantArray,
    multiplier: Tensor | ConstantArray,
    shift: Tensor | ConstantArray,
    out: Tensor,
    sizes: tuple[int, int, int],
    numbers: tuple[int, int, int],
    *,
    one_factor: bool = False,
) -> list[KernelCall]:
    """A linear of (rows, k, n), two rows at a time; numbers: zero point, low and high. `one_factor`: for all channels."""
    fields = (*zip(("rows", "k", "n"), sizes, strict=True), ("step", 0 if one_factor else 1))
    limits = zip(("zero_point", "low", "high"), numbers, strict=True)
    linear = Parameters("McuLinearRows", (*fields, *limits))
    scratch = Scratch(two_rows_scratch(sizes[1]))
    return call("linear_rows_s8", x, weight, bias, multiplier, shift, out, linear, scratch)


def check_requantization(instruction: Instruction, multiplier: Tensor, shift: Tensor) -> None:
    """Multipliers and shifts have to be known and within what the kernel computes with."""
    if multiplier.data is None or shift.data is None:
        unsupported(instruction, "its multipliers and shifts have to be constants")
    check_multipliers(
        instruction,
        np.frombuffer(multiplier.data, "<i4", multiplier.elements),
        np.frombuffer(shift.data, "<i4", shift.elements),
        31,
    )


def check_multipliers(
    instruction: Instruction, multiplier: NDArray[np.int32], shift: NDArray[np.int32], largest_shift: int
) -> None:
    """Refuse negative multipliers and shifts outside -31 .. largest_shift."""
    if (multiplier < 0).any():
        unsupported(instruction, "a multiplier is negative")
    if ((shift < -31) | (shift > largest_shift)).any():
        unsupported(instruction, f"a shift is not within -31 .. {largest_shift}")

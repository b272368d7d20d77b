"""Emitters of ExecuTorch's `cortex_m::` operators.

Their specification is executorch/backends/cortex_m/ops/operators.py: kernels give the same integers.
"""

from __future__ import annotations

from collections.abc import Sequence

from mcu_sdk.operators.limits import LONGEST_DOT
from mcu_sdk.planning.emitters.aten_elementwise import Operand, broadcast_call
from mcu_sdk.planning.emitters.aten_layout import padded, permuted
from mcu_sdk.planning.emitters.checks import (
    apart,
    call,
    count_is,
    integer,
    integers,
    is_contiguous,
    number,
    optional_tensor,
    out_tensor,
    rows_of,
    same_elements,
    same_or_apart,
    tensor,
)
from mcu_sdk.planning.emitters.mcu_linear import several_rows, shifts_right, two_rows_scratch
from mcu_sdk.planning.emitters.memory_order import CHANNELS_LAST, elementwise, elementwise_but, stored
from mcu_sdk.planning.emitters.quantized_decomposed import int8, int8_range
from mcu_sdk.planning.emitters.strided import axis_of
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

S8, S32 = DType.S8, DType.S32


def requantization(
    instruction: Instruction, multiplier: object, shift: object, *, signed: bool = False
) -> tuple[int, int]:
    """(multiplier, shift) of kernels/quantize/requantize.h, checked; below 0 only a `signed` multiplier may be."""
    for value in (multiplier, shift):
        if isinstance(value, bool) or not isinstance(value, int):
            unsupported(instruction, f"{value!r} is no multiplier or shift")
    assert isinstance(multiplier, int) and isinstance(shift, int)
    least = 1 - 2**31 if signed else 0
    if not least <= multiplier < 2**31 or not -31 <= shift <= 31:
        unsupported(instruction, f"it requantizes by {multiplier} and a shift of {shift}")
    return multiplier, shift


def _requantization_at(instruction: Instruction, index: int, *, signed: bool = False) -> tuple[int, int]:
    values = integer(instruction, index), integer(instruction, index + 1)
    return requantization(instruction, *values, signed=signed)


def _operands(instruction: Instruction, *indices: int) -> list[Operand]:
    values = [tensor(instruction, i, S8) for i in indices]
    return [Operand(value, value.shape) for value in values]


@emits("cortex_m::quantized_add")
@elementwise
def quantized_add(instruction: Instruction) -> Sequence[KernelCall]:
    """(a, zero point, multiplier, shift, b, the same, zero point, multiplier, shift of out, low, high, out).

    A difference is a sum with a multiplier below 0.
    """
    count_is(instruction, 14)
    out = out_tensor(instruction, 13, S8)
    fields: list[tuple[str, int]] = []
    for name, index in (("a", 1), ("b", 5), ("out", 8)):
        multiplier, shift = _requantization_at(instruction, index + 1, signed=name != "out")
        fields += [(f"{name}_zero_point", int8(instruction, index))]
        fields += [(f"{name}_multiplier", multiplier), (f"{name}_shift", shift)]
    low, high = int8_range(instruction, 11, 12)
    scales = Parameters("McuQuantizedAdd", (*fields, ("low", low), ("high", high)))
    return broadcast_call(instruction, "quantized_add", out, _operands(instruction, 0, 4), scales)


@emits("cortex_m::quantized_mul")
@elementwise
def quantized_mul(instruction: Instruction) -> Sequence[KernelCall]:
    """(a, zero point, b, zero point, zero point, multiplier, shift of out, out)."""
    count_is(instruction, 8)
    out = out_tensor(instruction, 7, S8)
    points = zip(("a", "b", "out"), (int8(instruction, index) for index in (1, 3, 4)), strict=True)
    multiplier, shift = _requantization_at(instruction, 5)
    fields = ((f"{name}_zero_point", point) for name, point in points)
    scales = Parameters("McuQuantizedMul", (*fields, ("multiplier", multiplier), ("shift", shift)))
    return broadcast_call(instruction, "quantized_mul", out, _operands(instruction, 0, 2), scales)


@emits("cortex_m::quantized_div")
@elementwise
def quantized_div(instruction: Instruction) -> Sequence[KernelCall]:
    """(a, zero point, b, zero point, zero point of out, scale of a over those of b and out, out); nothing broadcasts."""
    import numpy as np

    count_is(instruction, 7)
    a, b, out = tensor(instruction, 0, S8), tensor(instruction, 2, S8), out_tensor(instruction, 6, S8)
    points = [int8(instruction, index) for index in (1, 3, 4)]
    with np.errstate(over="ignore"):
        scale = float(np.float32(number(instruction, 5)))
    if not 0 < scale < float("inf"):
        unsupported(instruction, f"its scale is {number(instruction, 5)}")
    if a.shape != b.shape:
        unsupported(instruction, f"it divides {list(a.shape)} by {list(b.shape)}")
    count = same_elements(instruction, a, b, out)
    same_or_apart(instruction, out, a, b)
    return call("quantized_div", a, b, out, count, *points, scale) if count else []


@emits("cortex_m::quantized_activation")
@elementwise_but(1)
def quantized_activation(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, table, out)."""
    count_is(instruction, 3)
    x, table, out = tensor(instruction, 0, S8), tensor(instruction, 1, S8), out_tensor(instruction, 2, S8)
    if table.elements != 256:
        unsupported(instruction, f"its table has {table.elements} entries where 256 are wanted")
    count = same_elements(instruction, x, out)
    same_or_apart(instruction, out, x)
    apart(instruction, out, table)
    return call("lookup_s8", x, table, out, count) if count else []


@emits("cortex_m::quantized_linear")
def quantized_linear(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, weight, bias, kernel_sum, input_offset, filter_offset, output_offset, [multiplier], [shift], high, low, out).

    Files lowered for Helium carry kernel_sum, which holds the bias and the input's offset; others the bias alone.
    The second form is turned into the first here, so that either runs on every core.
    """
    count_is(instruction, 12)
    x, weight, out = tensor(instruction, 0, S8), tensor(instruction, 1, S8), out_tensor(instruction, 11, S8)
    bias, kernel_sum = optional_tensor(instruction, 2, S32), optional_tensor(instruction, 3, S32)
    rows, k = rows_of(instruction, x)
    if len(weight.shape) != 2 or weight.shape[1] != k or out.elements != rows * weight.shape[0]:
        unsupported(instruction, "its shapes do not match")
    n = weight.shape[0]
    if k >= LONGEST_DOT:
        unsupported(instruction, f"rows of {k} elements can overflow a 32-bit sum")
    if integer(instruction, 5) != 0:
        unsupported(instruction, "its weights have a zero point")
    for value in (bias, kernel_sum):
        if value is not None and value.elements != n:
            unsupported(instruction, f"there are {value.elements} sums or biases for {n} outputs")
    offset = offset_of(instruction, 4)
    addend = folded_bias(instruction, weight, bias, offset) if kernel_sum is None else kernel_sum
    multipliers, shifts = integers(instruction, 7), integers(instruction, 8)
    if not multipliers or not shifts:
        unsupported(instruction, "its multiplier or shift is missing")
    factors = requantization(instruction, multipliers[0], shifts[0])
    low, high = int8_range(instruction, 10, 9)
    apart(instruction, out, x, weight, bias, kernel_sum)
    if out.elements == 0:
        return []
    point = int8(instruction, 6)
    if rows > 1 and shifts_right(factors[1]):
        multiplier, shift = (ConstantArray("int32_t", (factor,) * 4) for factor in factors)
        numbers = point, low, high
        return several_rows(x, weight, addend, multiplier, shift, out, (rows, k, n), numbers, one_factor=True)
    fields = (("zero_point", point), ("low", low), ("high", high))
    scales = Parameters("McuRequantization", (("multiplier", factors[0]), ("shift", factors[1]), *fields))
    return call("linear_s8_per_tensor", x, weight, addend, out, rows, k, n, scales)


def folded_bias(instruction: Instruction, weight: Tensor, bias: Tensor | None, offset: int) -> ConstantArray:
    """bias + offset * sum(weight) for each output, the weight's first axis, wrapping as int32."""
    import numpy as np

    if weight.data is None or (bias is not None and bias.data is None):
        unsupported(instruction, "its weights and bias have to be constants")
    n = weight.shape[0]
    sums = (
        np.frombuffer(weight.data, np.int8, weight.elements).reshape(n, -1).sum(axis=1, dtype=np.int64)
        * offset
    )
    if bias is not None and bias.data is not None:
        sums = sums + np.frombuffer(bias.data, "<i4", n)
    return ConstantArray("int32_t", tuple(sums.astype(np.int32).tolist()))


def offset_of(instruction: Instruction, index: int) -> int:
    """What is added to int8 numbers: a zero point with its sign turned, -127 .. 128."""
    value = integer(instruction, index)
    if not -127 <= value <= 128:
        unsupported(instruction, f"argument {index} is {value}, not a zero point with its sign turned")
    return value


@emits("cortex_m::quantized_batch_matmul")
def quantized_batch_matmul(instruction: Instruction) -> Sequence[KernelCall]:
    """(a, offset, b transposed, offset, zero point, multiplier, shift, scratch, out): a[batch,m,k], b[batch,n,k]."""
    count_is(instruction, 9)
    a, b, out = tensor(instruction, 0, S8), tensor(instruction, 2, S8), out_tensor(instruction, 8, S8)
    if len(a.shape) != 3 or len(b.shape) != 3 or a.shape[0] != b.shape[0] or a.shape[2] != b.shape[2]:
        unsupported(instruction, "its shapes do not match")
    (batch, m, k), n = a.shape, b.shape[1]
    if out.elements != batch * m * n:
        unsupported(instruction, "its output's size does not match")
    if k >= LONGEST_DOT:
        unsupported(instruction, f"rows of {k} elements can overflow a 32-bit sum")
    offsets = offset_of(instruction, 1), offset_of(instruction, 3)
    point, factors = int8(instruction, 4), _requantization_at(instruction, 5)
    apart(instruction, out, a, b)
    if out.elements == 0:
        return []
    sizes = (("batch", batch), ("m", m), ("k", k), ("n", n))
    shifted = (("a_offset", offsets[0]), ("b_offset", offsets[1]), ("zero_point", point))
    scales = (("multiplier", factors[0]), ("shift", factors[1]))
    matmul = Parameters("McuBatchMatmul", (*sizes, *shifted, *scales))
    if m > 1 and shifts_right(factors[1]):
        return call("batch_matmul_rows_s8", a, b, out, matmul, Scratch(two_rows_scratch(k, pairs=1) + 4 * n))
    return call("batch_matmul_s8", a, b, out, matmul)


@emits("cortex_m::softmax")
def softmax(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, dim, zero point, output zero point, multiplier, shift, diff_min, out)."""
    import numpy as np

    count_is(instruction, 8)
    x, out = tensor(instruction, 0, S8), out_tensor(instruction, 7, S8)
    rows, n = rows_of(instruction, x)
    if axis_of(instruction, integer(instruction, 1), len(x.shape)) != len(x.shape) - 1:
        unsupported(instruction, "it runs along an axis that is not the last")
    if integer(instruction, 3) != -128:
        unsupported(
            instruction, f"its output's zero point is {integer(instruction, 3)} where it is -128 always"
        )
    multiplier, shift = _requantization_at(instruction, 4)
    # The multiplier stands for the input's scale with 26 bits of fraction.
    scale = float(np.float32(multiplier / 2.0**31 * 2.0**shift / 2.0**26))
    if not scale > 0:
        unsupported(instruction, f"its input's scale is {scale}")
    same_elements(instruction, x, out)
    same_or_apart(instruction, out, x)
    return call("softmax_s8", x, out, rows, n, scale, int8(instruction, 2), Scratch(4 * n)) if rows else []


@emits("cortex_m::transpose")
def transpose(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, permutation, out)."""
    count_is(instruction, 3)
    return permuted(instruction, tensor(instruction, 0), integers(instruction, 1), out_tensor(instruction, 2))


@emits("cortex_m::pad")
def pad(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, amounts before, amounts after, value, out); four amounts for the last four axes.

    They are in the order of memory, which for images is that of channels last, even where both orders are the
    same bytes.
    """
    count_is(instruction, 5)
    sides = [integers(instruction, 1), integers(instruction, 2)]
    value = int8(instruction, 3)
    x, out = instruction.arguments[0], instruction.arguments[4]
    if isinstance(x, Tensor) and isinstance(out, Tensor) and not is_contiguous(x):
        x, out = (stored(instruction, each, CHANNELS_LAST) for each in (x, out))
        if (
            x.dtype is not S8
            or out.dtype is not S8
            or out.is_constant
            or any(len(side) != 4 for side in sides)
        ):
            unsupported(instruction, "its images or amounts are not what it takes")
        return padded(instruction, x, sides[0], sides[1], value, out)
    x, out = tensor(instruction, 0, S8), out_tensor(instruction, 4, S8)
    rank = len(x.shape)
    if rank > 4 or any(len(side) != 4 for side in sides):
        unsupported(instruction, "four amounts before and after, for at most four axes, are wanted")
    if rank == 4 and (x.shape[1] == 1 or x.shape[2] == x.shape[3] == 1):
        sides = [[side[0], side[3], side[1], side[2]] for side in sides]
    if any(side[axis] for side in sides for axis in range(4 - rank)):
        unsupported(instruction, "it pads an axis that its input does not have")
    before, after = (side[4 - rank :] for side in sides)
    return padded(instruction, x, before, after, value, out)

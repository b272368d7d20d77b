"""Emitters of quantize and dequantize, with one scale and with one a channel; ExecuTorch has two names for them."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, prod

from mcu_sdk.planning.emitters.checks import (
    apart,
    call,
    count_is,
    integer,
    number,
    out_tensor,
    same_elements,
    tensor,
)
from mcu_sdk.planning.emitters.memory_order import elementwise
from mcu_sdk.planning.emitters.strided import axis_of
from mcu_sdk.planning.instruction import ConstantArray, DType, Instruction, KernelCall, Tensor
from mcu_sdk.planning.registry import emits, unsupported

S8, S16, S32, S64, F32, F64 = DType.S8, DType.S16, DType.S32, DType.S64, DType.F32, DType.F64


def int8(instruction: Instruction, index: int) -> int:
    """An integer within int8."""
    value = integer(instruction, index)
    if not -128 <= value <= 127:
        unsupported(instruction, f"argument {index} is {value}, not within int8")
    return value


def int8_range(instruction: Instruction, low_index: int, high_index: int) -> tuple[int, int]:
    """(low, high) within int8."""
    low, high = int8(instruction, low_index), int8(instruction, high_index)
    if low > high:
        unsupported(instruction, f"its range from {low} to {high} is empty")
    return low, high


def _float32(instruction: Instruction, value: float, what: str) -> float:
    import numpy as np

    with np.errstate(over="ignore"):
        rounded = float(np.float32(value))
    if not isfinite(rounded):
        unsupported(instruction, f"its {what} {value} is no number of float32")
    return rounded


def inverse_of(instruction: Instruction, scale: float) -> float:
    """1 / scale, divided in float64 and rounded to float32, as PyTorch does with a scale that is a Python number."""
    if not (isfinite(scale) and scale > 0):
        unsupported(instruction, f"its scale is {scale}, not a positive number")
    return _float32(instruction, 1.0 / scale, "inverse scale")


_SCALAR_TYPES = {S8: 1, S16: 2}
"""ExecuTorch's numbers of the integers that are quantized to."""


def _limits(instruction: Instruction, quantized: DType = S8) -> tuple[int, int]:
    """quant_min and quant_max, for an operator whose argument behind them says the quantized type."""
    kind = instruction.arguments[5]
    if isinstance(kind, bool) or kind not in (None, _SCALAR_TYPES[quantized]):
        unsupported(instruction, f"its quantized type is number {kind!r}, not that of {quantized!r}")
    if quantized is S8:
        return int8_range(instruction, 3, 4)
    low, high = _int16(instruction, 3), _int16(instruction, 4)
    if low > high:
        unsupported(instruction, f"its range from {low} to {high} is empty")
    return low, high


def _int16(instruction: Instruction, index: int) -> int:
    value = integer(instruction, index)
    if not -(1 << 15) <= value < 1 << 15:
        unsupported(instruction, f"argument {index} is {value}, not within int16")
    return value


@emits("cortex_m::quantize_per_tensor", "quantized_decomposed::quantize_per_tensor")
@elementwise
def quantize_per_tensor(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, scale, zero_point, low, high, dtype, out)."""
    count_is(instruction, 7)
    x, out = tensor(instruction, 0, F32), out_tensor(instruction, 6, S8, S16)
    count = same_elements(instruction, x, out)
    inverse = inverse_of(instruction, number(instruction, 1))
    low, high = _limits(instruction, out.dtype)
    apart(instruction, out, x)
    if out.dtype is S16:
        limits = (inverse, _int16(instruction, 2), low, high)
        return call("quantize_s16", x, out, count, *limits) if count else []
    zero_point = int8(instruction, 2)
    return call("quantize", x, out, count, inverse, zero_point, low, high) if count else []


@emits("cortex_m::dequantize_per_tensor")
@elementwise
def dequantize_of_cortex_m(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, scale, zero_point, low, high, dtype, out)."""
    count_is(instruction, 7)
    return _dequantize(instruction)


@emits("quantized_decomposed::dequantize_per_tensor")
@elementwise
def dequantize_per_tensor(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, scale, zero_point, low, high, dtype, output dtype, out)."""
    count_is(instruction, 8)
    return _dequantize(instruction)


def _dequantize(instruction: Instruction) -> Sequence[KernelCall]:
    x, out = tensor(instruction, 0, S8, S16), out_tensor(instruction, len(instruction.arguments) - 1, F32)
    count = same_elements(instruction, x, out)
    scale = _float32(instruction, number(instruction, 1), "scale")
    _limits(instruction, x.dtype)
    apart(instruction, out, x)
    if x.dtype is S16:
        return call("dequantize_s16", x, out, count, scale, _int16(instruction, 2)) if count else []
    zero_point = int8(instruction, 2)
    return call("dequantize", x, out, count, scale, zero_point) if count else []


def _channels(
    instruction: Instruction, x: Tensor, out: Tensor, axis_index: int
) -> tuple[tuple[int, int, int], list[float], ConstantArray]:
    """((outer, channels, inner), scales, zero points); scales and zero points have to be constants."""
    import numpy as np

    same_elements(instruction, x, out)
    if not x.shape:
        unsupported(instruction, "its input has no axes")
    axis = axis_of(instruction, integer(instruction, axis_index), len(x.shape))
    sizes = prod(x.shape[:axis]), x.shape[axis], prod(x.shape[axis + 1 :])
    scale, zero_point = tensor(instruction, 1, F32, F64), tensor(instruction, 2, S64, S32)
    if scale.data is None or zero_point.data is None:
        unsupported(instruction, "its scales and zero points have to be constants")
    if not scale.elements == zero_point.elements == sizes[1]:
        unsupported(instruction, f"{sizes[1]} scales and zero points are wanted")
    kinds = {F32: "<f4", F64: "<f8", S64: "<i8", S32: "<i4"}
    scales = np.frombuffer(scale.data, kinds[scale.dtype], scale.elements).tolist()
    points = np.frombuffer(zero_point.data, kinds[zero_point.dtype], zero_point.elements).tolist()
    if any(not -128 <= point <= 127 for point in points):
        unsupported(instruction, "a zero point is not within int8")
    apart(instruction, out, x)
    return sizes, scales, ConstantArray("int32_t", tuple(points))


@emits("quantized_decomposed::quantize_per_channel")
def quantize_per_channel(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, scales, zero_points, axis, low, high, dtype, out)."""
    count_is(instruction, 8)
    x, out = tensor(instruction, 0, F32), out_tensor(instruction, 7, S8)
    sizes, scales, points = _channels(instruction, x, out, 3)
    inverses = ConstantArray("float", tuple(inverse_of(instruction, scale) for scale in scales))
    low, high = int8_range(instruction, 4, 5)
    return call("quantize_channels", x, inverses, points, out, *sizes, low, high) if x.elements else []


@emits("quantized_decomposed::dequantize_per_channel")
def dequantize_per_channel(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, scales, zero_points, axis, low, high, dtype, out); a later schema has an output type before out."""
    count_is(instruction, 8, 9)
    x, out = tensor(instruction, 0, S8), out_tensor(instruction, len(instruction.arguments) - 1, F32)
    sizes, scales, points = _channels(instruction, x, out, 3)
    table = ConstantArray("float", tuple(_float32(instruction, scale, "scale") for scale in scales))
    return call("dequantize_channels", x, table, points, out, *sizes) if x.elements else []

"""The emitter of ExecuTorch's transposed convolution, `cortex_m::quantized_transpose_conv2d`."""

from __future__ import annotations

from collections.abc import Sequence

from mcu_sdk.operators.limits import LARGEST_STEP, MOST_TAPS
from mcu_sdk.planning.emitters.checks import LIMIT, apart, call, count_is, integers, optional_tensor, tensor
from mcu_sdk.planning.emitters.cortex_m import offset_of
from mcu_sdk.planning.emitters.cortex_m_images import window_of
from mcu_sdk.planning.emitters.mcu_linear import check_requantization
from mcu_sdk.planning.emitters.memory_order import CHANNELS_LAST, stored
from mcu_sdk.planning.emitters.quantized_decomposed import int8, int8_range
from mcu_sdk.planning.instruction import DType, Instruction, KernelCall, Parameters, Tensor
from mcu_sdk.planning.registry import emits, unsupported

S8, S32 = DType.S8, DType.S32


@emits("cortex_m::quantized_transpose_conv2d")
def quantized_transpose_conv2d(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, weight [out][y][x][in], bias, stride, padding, output_padding, dilation, input_offset, output_offset,
    multipliers, shifts, low, high, scratch, output scratch, out); groups are not in ExecuTorch's definition either.
    """
    count_is(instruction, 16)
    x, out = _image(instruction, 0), _image(instruction, 15)
    if out.is_constant:
        unsupported(instruction, "its output is a constant")
    weight, bias = tensor(instruction, 1, S8), optional_tensor(instruction, 2, S32)
    window = _window(instruction, x, weight, out)
    multiplier, shift = tensor(instruction, 9, S32), tensor(instruction, 10, S32)
    for value in (bias, multiplier, shift):
        if value is not None and value.elements != out.shape[3]:
            unsupported(instruction, f"biases, multipliers and shifts for {out.shape[3]} channels are wanted")
    check_requantization(instruction, multiplier, shift)
    apart(instruction, out, x, weight, bias, multiplier, shift)
    low, high = int8_range(instruction, 11, 12)
    fields = (("offset", offset_of(instruction, 7)), ("zero_point", int8(instruction, 8)))
    convolution = Parameters("McuTransposeConvolution", (*fields, ("low", low), ("high", high)))
    return call("transpose_conv2d_s8", x, weight, bias, multiplier, shift, out, window, convolution)


def _image(instruction: Instruction, index: int) -> Tensor:
    """Argument `index` as [batch][height][width][channels] of int8."""
    value = instruction.arguments[index]
    if not isinstance(value, Tensor) or value.dtype is not S8 or len(value.shape) != 4:
        unsupported(instruction, f"argument {index} is no image of int8")
    if not 1 <= value.elements <= LIMIT:
        unsupported(instruction, f"argument {index} has {value.elements:,} elements")
    return stored(instruction, value, CHANNELS_LAST)


def _window(instruction: Instruction, x: Tensor, weight: Tensor, out: Tensor) -> Parameters:
    """McuWindow of firmware/kernels/conv/window.h, where the output has the size that follows from the rest."""
    if len(weight.shape) != 4 or min(weight.shape) < 1 or weight.shape[3] != x.shape[3]:
        unsupported(
            instruction, f"a weight with four axes, the last for {x.shape[3]} input channels, is wanted"
        )
    outputs, *size, inputs = weight.shape
    if out.shape[3] != outputs or out.shape[0] != x.shape[0]:
        unsupported(instruction, "its shapes do not match")
    if max(size) > LARGEST_STEP or inputs * size[0] * size[1] >= MOST_TAPS:
        unsupported(instruction, "its window can overflow a 32-bit sum")
    stride, padding, dilation = (_pair(instruction, i, least) for i, least in ((3, 1), (4, 0), (6, 1)))
    more = _pair(instruction, 5, 0)
    for axis in (0, 1):
        reach = (x.shape[1 + axis] - 1) * stride[axis] + dilation[axis] * (size[axis] - 1) + 1
        if out.shape[1 + axis] != reach - 2 * padding[axis] + more[axis]:
            unsupported(instruction, "its output's size does not follow from its input's")
    return window_of(x, out, (size[0], size[1]), stride, padding, dilation)


def _pair(instruction: Instruction, index: int, least: int) -> tuple[int, int]:
    """(y, x)."""
    values = integers(instruction, index)
    if len(values) != 2 or not all(least <= value <= LARGEST_STEP for value in values):
        unsupported(
            instruction, f"argument {index} is {values}, not two numbers from {least} to {LARGEST_STEP}"
        )
    return values[0], values[1]

"""Emitters of ExecuTorch's `cortex_m::` convolutions and pools, and of our own; images have channels last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mcu_sdk.operators.limits import LARGEST_STEP, MOST_TAPS
from mcu_sdk.planning.emitters.checks import (
    LIMIT,
    apart,
    boolean,
    call,
    count_is,
    integer,
    integers,
    number,
    optional_tensor,
    out_tensor,
    tensor,
)
from mcu_sdk.planning.emitters.cortex_m import folded_bias, offset_of, requantization
from mcu_sdk.planning.emitters.mcu_linear import (
    check_requantization,
    several_rows,
    shifts_right,
    two_rows_scratch,
)
from mcu_sdk.planning.emitters.memory_order import CHANNELS_LAST, stored
from mcu_sdk.planning.emitters.quantized_decomposed import int8, int8_range
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
LARGEST_TABLE = 1 << 14
"""Bytes of weights that are written into the plan in another order than the file's; it holds them once more."""
_PIXEL_BYTES, _MORE_PIXELS, _MOST_PIXELS = 64, 20, 84
"""Of kernels/conv/depthwise_conv2d_s8.h: what a pixel takes, for how many there is room beside those under the lines
that are computed at a time, and the most of these."""


def _image(instruction: Instruction, index: int, written: bool = False) -> Tensor:
    """Argument `index` as [batch][height][width][channels] of int8."""
    value = instruction.arguments[index]
    if not isinstance(value, Tensor) or value.dtype is not S8 or len(value.shape) != 4:
        unsupported(instruction, f"argument {index} is no image of int8")
    if value.elements > LIMIT:
        unsupported(instruction, f"argument {index} has {value.elements:,} elements")
    if written and value.is_constant:
        unsupported(instruction, f"argument {index} is written, but is a constant")
    return stored(instruction, value, CHANNELS_LAST)


def _pair(instruction: Instruction, index: int, least: int) -> tuple[int, int]:
    """(y, x) from a list of one or two."""
    values = integers(instruction, index)
    if len(values) not in (1, 2) or not all(least <= value <= LARGEST_STEP for value in values):
        unsupported(
            instruction, f"argument {index} is {values}, not two numbers from {least} to {LARGEST_STEP}"
        )
    return values[0], values[-1]


def _paddings(instruction: Instruction, index: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """(y, x) before and after, from a list of one or two for both, or of (top, left, bottom, right)."""
    values = integers(instruction, index)
    if len(values) != 4:
        both = _pair(instruction, index, 0)
        return both, both
    if not all(0 <= value <= LARGEST_STEP for value in values):
        unsupported(instruction, f"argument {index} is {values}, not four numbers from 0 to {LARGEST_STEP}")
    return (values[0], values[1]), (values[2], values[3])


_WINDOW = [
    "batch",
    "height",
    "width",
    "channels",
    "out_height",
    "out_width",
    "out_channels",
    "rows",
    "columns",
    "stride_y",
    "stride_x",
    "pad_y",
    "pad_x",
    "dilation_y",
    "dilation_x",
]


def window_of(x: Tensor, out: Tensor, *pairs: tuple[int, int]) -> Parameters:
    """McuWindow of firmware/kernels/conv/window.h. pairs: (y, x) of the window's size, strides, paddings, dilations."""
    values = (*x.shape, *out.shape[1:], *(value for pair in pairs for value in pair))
    return Parameters("McuWindow", tuple(zip(_WINDOW, values, strict=True)))


def _window(
    instruction: Instruction,
    x: Tensor,
    out: Tensor,
    size: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    *,
    after: tuple[int, int] | None = None,
    round_up: bool = False,
) -> Parameters:
    """McuWindow of firmware/kernels/conv/window.h, where the output has the size that follows from the rest.

    `after`: the padding behind the last row and column, where it is another one. `round_up`: a last window may reach beyond the padding (ceil_mode), if it begins before.
    """
    if min(*x.shape, *out.shape, *size) < 1 or max(size) > LARGEST_STEP or x.shape[0] != out.shape[0]:
        unsupported(instruction, "its shapes do not match")
    for axis in (0, 1):
        padded = x.shape[1 + axis] + padding[axis] + (after or padding)[axis]
        reach = padded - dilation[axis] * (size[axis] - 1) - 1
        steps = reach // stride[axis]
        if (
            round_up
            and reach % stride[axis]
            and (steps + 1) * stride[axis] < x.shape[1 + axis] + padding[axis]
        ):
            steps += 1
        if reach < 0 or out.shape[1 + axis] != steps + 1:
            unsupported(instruction, "its output's size does not follow from its input's")
    return window_of(x, out, size, stride, padding, dilation)


def _convolution(
    instruction: Instruction,
    at: int,
    group_inputs: int,
    steps: tuple[int, int],
    size: tuple[int, int],
    x: Tensor,
    out: Tensor,
) -> list[KernelCall]:
    """Arguments from `at` on: input_offset, output_offset, multipliers, shifts, low, high. steps: weight, tap."""
    weight, bias = tensor(instruction, 1, S8), optional_tensor(instruction, 2, S32)
    stride, dilation = (_pair(instruction, i, 1) for i in (3, 5))
    padding, after = _paddings(instruction, 4)
    window = _window(instruction, x, out, size, stride, padding, dilation, after=after)
    inputs, outputs = x.shape[3], out.shape[3]
    if inputs % group_inputs or outputs % (inputs // group_inputs):
        unsupported(instruction, f"{inputs} channels and {outputs} do not fall into groups of {group_inputs}")
    if group_inputs * size[0] * size[1] >= MOST_TAPS:
        unsupported(instruction, "its window can overflow a 32-bit sum")
    multiplier, shift = tensor(instruction, at + 2, S32), tensor(instruction, at + 3, S32)
    for value in (bias, multiplier, shift):
        if value is not None and value.elements != outputs:
            unsupported(instruction, f"biases, multipliers and shifts for {outputs} channels are wanted")
    check_requantization(instruction, multiplier, shift)
    low, high = int8_range(instruction, at + 4, at + 5)
    apart(instruction, out, x, weight, bias, multiplier, shift)
    offset, point = offset_of(instruction, at), int8(instruction, at + 1)
    groups = outputs // (inputs // group_inputs)
    fields = [("group_inputs", group_inputs), ("group_outputs", groups)]
    fields += [("weight_step", steps[0]), ("tap_step", steps[1]), ("offset", offset)]
    fields += [("zero_point", point), ("low", low), ("high", high)]
    convolution = Parameters("McuConvolution", tuple(fields))
    channels, rest = (bias, multiplier, shift, out), (window, convolution)
    small = max(size) <= 3 and max(stride) <= 2 and dilation == (1, 1) and outputs <= LARGEST_STEP
    if shifts_right(shift) and inputs == outputs > 1 and group_inputs == 1 and steps[0] == 1 and small:
        scratch = Scratch(depthwise_scratch(out.shape, stride))
        return call("depthwise_conv2d_s8", x, weight, *channels, *rest, scratch)
    filters = _filters(weight, outputs, bias) if group_inputs == inputs else None
    if filters is None:
        return call("conv2d_s8", x, weight, *channels, *rest)
    folded, k = folded_bias(instruction, filters, bias, offset), filters.elements // outputs
    # A table of its own where the file has the filters in another order.
    rows = weight if weight.shape[0] == outputs else _table(filters)
    if size == (1, 1) and stride == (1, 1) and padding == after == (0, 0):
        # One pixel at a time is a linear over channels.
        sizes = out.elements // outputs, k, outputs
        if sizes[0] > 1 and shifts_right(shift):
            return several_rows(x, rows, folded, multiplier, shift, out, sizes, (point, low, high))
        numbers = *sizes, point, low, high
        return call("linear_s8_requantize", x, rows, folded, multiplier, shift, out, *numbers)
    if not shifts_right(shift):
        return call("conv2d_s8", x, weight, *channels, *rest)
    scratch = Scratch(two_rows_scratch(k) + 2 * _up(k) + 32)
    return call("conv2d_rows_s8", x, rows, folded, multiplier, shift, out, *rest, scratch)


def depthwise_scratch(out: tuple[int, ...], stride: tuple[int, int]) -> int:
    """Bytes that kernels/conv/depthwise_conv2d_s8.h wants for out [batch][height][width][channels] and stride (y, x)."""
    _, height, width, channels = out
    lies = width >= height or 15 * width * channels > 0xFFFF
    (along, step), lines = ((width, stride[1]), height) if lies else ((height, stride[0]), width)
    under = (along - 1) * step + 3
    most = _MOST_PIXELS // under
    # As many at a time as make pieces of the same size; a line that is longer is computed piece by piece.
    pixels = under * -(-lines // -(-lines // most)) if most else _MOST_PIXELS
    return _PIXEL_BYTES * (_MORE_PIXELS + pixels)


def _filters(weight: Tensor, outputs: int, bias: Tensor | None) -> Tensor | None:
    """A constant weight of a convolution without groups as [out][taps and channels]; None where that is too costly.

    To a depthwise convolution ExecuTorch also lowers those of one channel: [1][y][x][out].
    """
    import numpy as np

    if weight.data is None or (bias is not None and bias.data is None):
        return None
    if weight.shape[0] == outputs:
        return weight
    if weight.elements > LARGEST_TABLE:
        return None
    turned = np.frombuffer(weight.data, np.int8, weight.elements).reshape(-1, outputs).T
    return replace(weight, shape=(outputs, weight.elements // outputs), dim_order=(), data=turned.tobytes())


def _table(filters: Tensor) -> ConstantArray:
    return ConstantArray("int8_t", tuple(memoryview(filters.data or b"").cast("b")))


def _up(size: int) -> int:
    return -(-size // 16) * 16


def _weight(instruction: Instruction) -> tuple[int, ...]:
    weight = tensor(instruction, 1, S8)
    if len(weight.shape) != 4 or min(weight.shape) < 1:
        unsupported(instruction, "a weight with four axes is wanted")
    return weight.shape


@emits("cortex_m::quantized_conv2d")
def quantized_conv2d(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, weight [out][y][x][in of the group], bias, stride, padding, dilation, ..., scratch, out)."""
    count_is(instruction, 14)
    out = _image(instruction, 13, written=True)
    return _full(instruction, _image(instruction, 0), out)


@emits("cortex_m::quantized_depthwise_conv2d")
def quantized_depthwise_conv2d(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, weight [1][y][x][out], bias, stride, padding, dilation, depth multiplier, ..., scratch, out)."""
    count_is(instruction, 15)
    out = _image(instruction, 14, written=True)
    return _by_channel(instruction, 7, _image(instruction, 0), out)


def _full(instruction: Instruction, x: Tensor, out: Tensor) -> list[KernelCall]:
    outputs, rows, columns, inputs = _weight(instruction)
    if out.shape[3] != outputs:
        unsupported(instruction, f"its output has {out.shape[3]} channels, its weight {outputs}")
    return _convolution(instruction, 6, inputs, (rows * columns * inputs, inputs), (rows, columns), x, out)


def _by_channel(instruction: Instruction, at: int, x: Tensor, out: Tensor) -> list[KernelCall]:
    one, rows, columns, outputs = _weight(instruction)
    if one != 1 or out.shape[3] != outputs:
        unsupported(instruction, f"its output has {out.shape[3]} channels, its weight {outputs}")
    return _convolution(instruction, at, 1, (1, outputs), (rows, columns), x, out)


@emits("mcu::conv2d_s8")
def conv2d_s8(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, weight [out][y][x][in of the group], bias, stride, padding, dilation, offsets, multiplier, shift, low, high, out)."""
    count_is(instruction, 13)
    return _full(instruction, *_own_images(instruction))


@emits("mcu::depthwise_conv2d_s8")
def depthwise_conv2d_s8(instruction: Instruction) -> Sequence[KernelCall]:
    """The same; weight [1][y][x][out]."""
    count_is(instruction, 13)
    return _by_channel(instruction, 6, *_own_images(instruction))


def _own_images(instruction: Instruction) -> tuple[Tensor, Tensor]:
    """[1][height][width][channels] in and out, as their shapes say."""
    x, out = tensor(instruction, 0, S8), out_tensor(instruction, len(instruction.arguments) - 1, S8)
    if len(x.shape) != 4 or len(out.shape) != 4:
        unsupported(instruction, "images of four axes are wanted")
    return x, out


@emits("cortex_m::quantized_max_pool2d")
def quantized_max_pool2d(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, size, stride, padding, dilation, ceil_mode, zero point, zero point of out, low, high, out)."""
    count_is(instruction, 11)
    if boolean(instruction, 5) or integer(instruction, 6) != integer(instruction, 7):
        unsupported(instruction, "it rounds its size up, or changes the zero point")
    numbers = int8_range(instruction, 8, 9)
    return _pool(instruction, "max_pool2d_s8", 10, numbers, dilation=_pair(instruction, 4, 1))


@emits("cortex_m::quantized_avg_pool2d")
def quantized_avg_pool2d(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, size, stride, padding, ceil_mode, zero point, multiplier, shift, scratch, out): in and out have one scale."""
    import numpy as np

    count_is(instruction, 10)
    multiplier, shift = requantization(instruction, integer(instruction, 6), integer(instruction, 7))
    scale = float(np.float32(multiplier * 2.0**shift / 2**31))
    if not scale > 0:
        unsupported(instruction, f"its scale is {scale}")
    numbers = int8(instruction, 5), scale
    return _pool(instruction, "avg_pool2d_s8", 9, numbers, round_up=boolean(instruction, 4))


def _pool(
    instruction: Instruction,
    name: str,
    out_index: int,
    numbers: tuple[object, ...],
    *,
    dilation: tuple[int, int] = (1, 1),
    round_up: bool = False,
) -> list[KernelCall]:
    """`mcu_<name>(x, out, window, numbers...)`."""
    images = _image(instruction, 0), _image(instruction, out_index, written=True)
    return _pooled(instruction, name, images, numbers, dilation=dilation, round_up=round_up)


def _pooled(
    instruction: Instruction,
    name: str,
    images: tuple[Tensor, Tensor],
    numbers: tuple[object, ...],
    *,
    dilation: tuple[int, int] = (1, 1),
    round_up: bool = False,
) -> list[KernelCall]:
    x, out = images
    size, stride, padding = (_pair(instruction, i, least) for i, least in ((1, 1), (2, 1), (3, 0)))
    if x.shape[3] != out.shape[3]:
        unsupported(instruction, "its shapes do not match")
    if size[0] * size[1] >= MOST_TAPS:
        unsupported(instruction, f"its window of {size} is too large")
    window = _window(instruction, x, out, size, stride, padding, dilation, round_up=round_up)
    apart(instruction, out, x)
    return call(name, x, out, window, *numbers)


@emits("mcu::max_pool2d_s8")
def max_pool2d_s8(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, size, stride, padding, dilation, out)."""
    count_is(instruction, 6)
    dilation = _pair(instruction, 4, 1)
    return _pooled(instruction, "max_pool2d_s8", _own_images(instruction), (-128, 127), dilation=dilation)


@emits("mcu::avg_pool2d_s8")
def avg_pool2d_s8(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, size, stride, padding, zero point, scale, out)."""
    import numpy as np

    count_is(instruction, 7)
    scale = float(np.float32(number(instruction, 5)))
    if not float(np.finfo(np.float32).tiny) <= scale < float("inf"):
        unsupported(instruction, f"its scale is {scale}")
    return _pooled(instruction, "avg_pool2d_s8", _own_images(instruction), (int8(instruction, 4), scale))

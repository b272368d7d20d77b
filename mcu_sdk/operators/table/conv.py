"""Convolutions and pools."""

from __future__ import annotations

from functools import partial

from mcu_sdk.operators.limits import LARGEST_STEP, MOST_TAPS
from mcu_sdk.operators.table.parts import CORTEX_M_LIMITS, requantized
from mcu_sdk.operators.table.row import Operator, Work

_convolution = partial(Operator, weight="weight", weight_bits=8)
_ARGUMENTS_S8 = (
    "Tensor x, Tensor weight, Tensor bias, int[] stride, int[] padding, int[] dilation, int input_offset, "
    "int out_zero_point, Tensor multiplier, Tensor shift, int out_min, int out_max"
)
_WINDOWS = f"""
    x s8[batch, height, width, inputs]
    out s8[batch, out_height, out_width, outputs]
    {requantized("outputs")}
    require input_offset >= -127 && input_offset <= 128 && is_int8(out_zero_point)
    require is_int8(out_min) && is_int8(out_max) && out_min <= out_max
    declare McuWindow window
    require fits_window(window, Pairs{{stride, padding, dilation}}, x, out, rows, columns)
"""
_NUMBERS = "input_offset, out_zero_point, out_min, out_max"
_FULL = f"McuConvolution{{group_inputs, outputs / (inputs / group_inputs), rows * columns * group_inputs, group_inputs, {_NUMBERS}}}"
_BY_CHANNEL = f"McuConvolution{{1, outputs / inputs, 1, outputs, {_NUMBERS}}}"
_GIVEN = "x, weight, bias, multiplier, shift, out, window"


def _of_cortex_m(name: str, work: Work, weight: str, arguments: str, scratch: str, lines: str) -> Operator:
    """ExecuTorch's form of a convolution: images have channels last, and what is requantized to lies beside the weight."""
    return _convolution(
        f"cortex_m::{name}",
        f"Tensor input, Tensor weight, Tensor? bias, int[] stride, int[] padding, {arguments}int input_offset, "
        "int output_offset, Tensor requantize_multipliers, Tensor requantize_shifts, int activation_min, "
        f"int activation_max, {', '.join(f'Tensor {name}' for name in scratch.split())}",
        work=work,
        call=f"""
            image input out
            weight s8[{weight}]
            input s8[batch, height, width, inputs]
            out s8[batch, out_height, out_width, outputs]
            bias s32?(outputs)
            requantize_multipliers s32(outputs)
            requantize_shifts s32(outputs)
            require requantizations(requantize_multipliers.as<int32_t>(), requantize_shifts.as<int32_t>(), outputs, 31)
            require input_offset >= -127 && input_offset <= 128 && is_int8(output_offset)
            {CORTEX_M_LIMITS}
            {_UNUSED.join(["", *scratch.split()])}
            declare McuWindow window
            {lines}
        """,
    )


_UNUSED = "\nunused "
_FITS = "require fits_window(window, Pairs{stride, padding, dilation}, input, out, rows, columns)"
_IN_GROUPS = f"""
    require inputs % group_inputs == 0 && outputs % (inputs / group_inputs) == 0
    require group_inputs * rows * columns < {MOST_TAPS}
"""
_THEIR_NUMBERS = "input_offset, output_offset, activation_min, activation_max"
_THEIR_GIVEN = "input, weight, bias, requantize_multipliers, requantize_shifts, out, window"
_THEIR_FULL = _FULL.replace(_NUMBERS, _THEIR_NUMBERS)
_THEIR_BY_CHANNEL = _BY_CHANNEL.replace(_NUMBERS, _THEIR_NUMBERS)


def _pool_of_cortex_m(name: str, arguments: str, pairs: str, lines: str) -> Operator:
    return Operator(
        f"cortex_m::{name}",
        f"Tensor input, int[] kernel_size, int[] stride, int[] padding, {arguments}",
        work=Work.UNKNOWN,
        call=f"""
            image input out
            input s8[batch, height, width, channels]
            out s8[batch, out_height, out_width, channels]
            {_SIZED.format("kernel_size")}
            declare McuWindow window
            require fits_window(window, Pairs{{stride, padding, {pairs}}}, input, out, rows, columns)
            {lines}
        """,
    )


_SIZED = f"""
    require {{0}}.size() == 2 && {{0}}[0] >= 1 && {{0}}[0] <= {LARGEST_STEP} && {{0}}[1] >= 1 && {{0}}[1] <= {LARGEST_STEP}
    let rows = {{0}}[0]
    let columns = {{0}}[1]
    require rows * columns < {MOST_TAPS}
"""


def _pool(name: str, arguments: str, dilation: str, lines: str) -> Operator:
    """`dilation` is C++, `lines` what such a pool has of its own."""
    return Operator(
        name,
        f"Tensor x, int[] size, int[] stride, int[] padding, {arguments}",
        call=f"""
            x s8[batch, height, width, channels]
            out s8[batch, out_height, out_width, channels]
            {_SIZED.format("size")}
            declare McuWindow window
            require fits_window(window, Pairs{{stride, padding, {dilation}}}, x, out, rows, columns)
            {lines}
        """,
    )


ROWS = (
    _convolution(
        "mcu::conv2d_s8",
        _ARGUMENTS_S8,
        work=Work.CONVOLUTION,
        call=f"""
            weight s8[outputs, rows, columns, group_inputs]
            {_WINDOWS}
            {_IN_GROUPS}
            call conv2d_s8({_GIVEN}, {_FULL})
        """,
    ),
    _convolution(
        "mcu::depthwise_conv2d_s8",
        _ARGUMENTS_S8,
        work=Work.DEPTHWISE,
        call=f"""
            weight s8[1, rows, columns, outputs]
            {_WINDOWS}
            require outputs % inputs == 0
            require 1 * rows * columns < {MOST_TAPS}
            call depthwise_conv2d_s8({_GIVEN}, {_BY_CHANNEL}, scratch(depthwise_scratch(window))) if inputs == outputs && outputs > 1 && is_small(window) && shifts_right(shift.as<int32_t>(), outputs)
            call conv2d_s8({_GIVEN}, {_BY_CHANNEL})
        """,
    ),
    _of_cortex_m(
        "quantized_conv2d",
        Work.CONVOLUTION,
        "outputs, rows, columns, group_inputs",
        "int[] dilation, ",
        "scratch",
        f"""
            {_FITS}
            {_IN_GROUPS}
            call conv2d_s8({_THEIR_GIVEN}, {_THEIR_FULL})
        """,
    ),
    _of_cortex_m(
        "quantized_depthwise_conv2d",
        Work.DEPTHWISE,
        "1, rows, columns, outputs",
        "int[] dilation, int depth_multiplier, ",
        "scratch",
        f"""
            {_FITS}
            require outputs % inputs == 0
            require 1 * rows * columns < {MOST_TAPS}
            call depthwise_conv2d_s8({_THEIR_GIVEN}, {_THEIR_BY_CHANNEL}, scratch(depthwise_scratch(window))) if inputs == outputs && outputs > 1 && is_small(window) && shifts_right(requantize_shifts.as<int32_t>(), outputs)
            call conv2d_s8({_THEIR_GIVEN}, {_THEIR_BY_CHANNEL})
        """,
    ),
    _of_cortex_m(
        "quantized_transpose_conv2d",
        Work.CONVOLUTION,
        "outputs, rows, columns, inputs",
        "int[] output_padding, int[] dilation, ",
        "scratch output_scratch",
        f"""
            require inputs * rows * columns < {MOST_TAPS}
            require fits_transposed(window, Pairs{{stride, padding, dilation}}, output_padding, input, out, rows, columns)
            call transpose_conv2d_s8({_THEIR_GIVEN}, McuTransposeConvolution{{{_THEIR_NUMBERS}}})
        """,
    ),
    _pool_of_cortex_m(
        "quantized_max_pool2d",
        "int[] dilation, bool ceil_mode, int input_zero_point, int output_zero_point, int activation_min, "
        "int activation_max",
        "dilation",
        f"""
            require !ceil_mode && input_zero_point == output_zero_point
            {CORTEX_M_LIMITS}
            call max_pool2d_s8(input, out, window, activation_min, activation_max)
        """,
    ),
    _pool_of_cortex_m(
        "quantized_avg_pool2d",
        "bool ceil_mode, int zero_point, int multiplier, int shift, Tensor scratch",
        "{}, ceil_mode",
        """
            unused scratch
            require is_requantization(multiplier, shift) && multiplier > 0 && is_int8(zero_point)
            call avg_pool2d_s8(input, out, window, zero_point, scale_of(multiplier, shift))
        """,
    ),
    _pool(
        "mcu::max_pool2d_s8", "int[] dilation", "dilation", "call max_pool2d_s8(x, out, window, -128, 127)"
    ),
    _pool(
        "mcu::avg_pool2d_s8",
        "int zero_point, float scale",
        "{}",
        """
            require is_divisor(scale) && is_int8(zero_point)
            call avg_pool2d_s8(x, out, window, zero_point, scale)
        """,
    ),
)

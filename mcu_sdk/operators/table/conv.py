"""Convolutions and pools."""

from __future__ import annotations

from functools import partial

from mcu_sdk.operators.limits import LARGEST_STEP, MOST_TAPS
from mcu_sdk.operators.table.parts import requantized
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

_ARGUMENTS = "Tensor input, Tensor weight"
"""Of ExecuTorch's operators, whose kernels for its runtime are not ours."""


def _pool(name: str, arguments: str, dilation: str, lines: str) -> Operator:
    """`dilation` is C++, `lines` what such a pool has of its own."""
    return Operator(
        name,
        f"Tensor x, int[] size, int[] stride, int[] padding, {arguments}",
        call=f"""
            x s8[batch, height, width, channels]
            out s8[batch, out_height, out_width, channels]
            require size.size() == 2 && size[0] >= 1 && size[0] <= {LARGEST_STEP} && size[1] >= 1 && size[1] <= {LARGEST_STEP}
            let rows = size[0]
            let columns = size[1]
            require rows * columns < {MOST_TAPS}
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
            require inputs % group_inputs == 0 && outputs % (inputs / group_inputs) == 0
            require group_inputs * rows * columns < {MOST_TAPS}
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
    _convolution("cortex_m::quantized_conv2d", _ARGUMENTS, work=Work.CONVOLUTION),
    _convolution("cortex_m::quantized_depthwise_conv2d", _ARGUMENTS, work=Work.DEPTHWISE),
    _convolution("cortex_m::quantized_transpose_conv2d", _ARGUMENTS, work=Work.CONVOLUTION),
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

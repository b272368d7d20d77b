"""Between floats and integers, and integers to integers element by element."""

from __future__ import annotations

from functools import partial

from mcu_sdk.operators.table.parts import CORTEX_M_LIMITS, CORTEX_M_REQUANTIZES
from mcu_sdk.operators.table.row import Operator, Work

_POINTS = "require is_int8({0}_zero_point) && is_int8({1}_zero_point) && is_int8(output_zero_point)"
_BROADCAST = """
    self s8
    other s8
    out s8
    any order
    same self other
    declare Broadcast table
    require table.fits(self, other, out)
"""
_BY_TENSOR = "Tensor input, float scale, int zero_point, int quant_min, int quant_max, ScalarType dtype"
_cortex_m = partial(Operator, work=Work.UNKNOWN)


def _quantizes(integers: str) -> str:
    """`integers`: the tensor whose type and range the arguments say."""
    return f"""
        require (dtype == 1 && {integers}.is_s8()) || (dtype == 2 && {integers}.is_s16())
        require quant_min <= quant_max && is_int16(quant_min) && is_int16(quant_max) && is_int16(zero_point)
        require !{integers}.is_s8() || (is_int8(quant_min) && is_int8(quant_max) && is_int8(zero_point))
    """


def _looked_up(values: str, table: str, *, walked: str = "") -> str:
    return f"""
        {values} s8(count)
        {table} s8(256)
        out s8(count)
        {walked}
        same {values}
        call lookup_s8({values}, {table}, out, count)
    """


_QUANTIZE = f"""
    input f32(count)
    out s8|s16(count)
    any order
    require is_divisor(scale)
    {_quantizes("out")}
    call quantize(input, out.as<int8_t>(), count, 1.0 / scale, zero_point, quant_min, quant_max) if out.is_s8()
    call quantize_s16(input, out.as<int16_t>(), count, 1.0 / scale, zero_point, quant_min, quant_max)
"""
_DEQUANTIZE = f"""
    input s8|s16(count)
    out f32(count)
    any order
    require is_finite(scale)
    {_quantizes("input")}
    call dequantize(input.as<int8_t>(), out, count, scale, zero_point) if input.is_s8()
    call dequantize_s16(input.as<int16_t>(), out, count, scale, zero_point)
"""

ROWS = (
    # For 16 elements: scale and round 4 vectors, narrow.
    Operator(
        "mcu::quantize",
        "Tensor x, float scale, int zero_point",
        arithmetic=12,
        call="""
            x f32(count)
            out s8(count)
            require is_divisor(scale) && is_int8(zero_point)
            call quantize(x, out, count, 1.0f / narrow(scale), zero_point, -128, 127)
        """,
    ),
    # The same behind a pass for the greatest magnitude.
    Operator(
        "mcu::quantize_rows",
        "Tensor x",
        ("q", "scale"),
        arithmetic=20,
        call="""
            x f32[*rows, n]
            q s8(rows * n)
            scale f32(rows)
            call quantize_rows(x, q, scale, rows, n)
        """,
    ),
    # One load that gathers from the table.
    Operator(
        "mcu::lookup_s8",
        "Tensor self, Tensor table",
        in_place=True,
        arithmetic=2,
        call=_looked_up("self", "table"),
    ),
    # An index, a load that gathers, a sum.
    Operator(
        "mcu::lookup_add_s16",
        "Tensor self, Tensor x, Tensor table",
        in_place=True,
        arithmetic=3,
        call="""
            self s16(count)
            x s8(count)
            table s16(256)
            out s16(count)
            same self
            call lookup_add_s16(self, x, table, out, count)
        """,
    ),
    # For 16 elements: a product, its rounding and shift, a sum and two limits of 4 vectors each.
    Operator(
        "mcu::requantize_s16",
        "Tensor x, int multiplier, int shift, int zero_point",
        arithmetic=32,
        call="""
            x s16(count)
            out s8(count)
            require is_requantization(multiplier, shift) && multiplier > 0 && shift <= 0 && is_int8(zero_point)
            call requantize_s16(x, out, count, multiplier, shift, zero_point)
        """,
    ),
    _cortex_m("cortex_m::quantize_per_tensor", _BY_TENSOR, call=_QUANTIZE),
    _cortex_m("cortex_m::dequantize_per_tensor", _BY_TENSOR, call=_DEQUANTIZE),
    _cortex_m(
        "cortex_m::quantized_add",
        "Tensor self, int self_zero_point, int self_multiplier, int self_shift, "
        "Tensor other, int other_zero_point, int other_multiplier, int other_shift, "
        "int output_zero_point, int output_multiplier, int output_shift, "
        "int activation_min, int activation_max",
        call=f"""
            {_BROADCAST}
            {_POINTS.format("self", "other")}
            require is_signed_requantization(self_multiplier, self_shift)
            require is_signed_requantization(other_multiplier, other_shift)
            {CORTEX_M_REQUANTIZES}
            {CORTEX_M_LIMITS}
            call quantized_add(self, other, out, table.sizes, table.axes, McuQuantizedAdd{{self_zero_point, self_multiplier, self_shift, other_zero_point, other_multiplier, other_shift, output_zero_point, output_multiplier, output_shift, activation_min, activation_max}})
        """,
    ),
    _cortex_m(
        "cortex_m::quantized_mul",
        "Tensor self, int self_zero_point, Tensor other, int other_zero_point, "
        "int output_zero_point, int output_multiplier, int output_shift",
        call=f"""
            {_BROADCAST}
            {_POINTS.format("self", "other")}
            {CORTEX_M_REQUANTIZES}
            call quantized_mul(self, other, out, table.sizes, table.axes, McuQuantizedMul{{self_zero_point, other_zero_point, output_zero_point, output_multiplier, output_shift}})
        """,
    ),
    _cortex_m(
        "cortex_m::quantized_div",
        "Tensor self, int self_zero_point, Tensor other, int other_zero_point, "
        "int output_zero_point, float output_scale",
        call=f"""
            self s8(count)
            other s8(count)
            require self.has_shape_of(other)
            out s8(count)
            any order
            same self other
            {_POINTS.format("self", "other")}
            require is_divisor(output_scale)
            call quantized_div(self, other, out, count, self_zero_point, other_zero_point, output_zero_point, output_scale)
        """,
    ),
    _cortex_m(
        "cortex_m::quantized_activation",
        "Tensor input, Tensor lut",
        call=_looked_up("input", "lut", walked="any order but lut"),
    ),
    Operator("quantized_decomposed::quantize_per_tensor", _BY_TENSOR, border=True, call=_QUANTIZE),
    Operator(
        "quantized_decomposed::dequantize_per_tensor",
        f"{_BY_TENSOR}, ScalarType? out_dtype",
        border=True,
        call=f"""
            {_DEQUANTIZE}
            unused out_dtype
        """,
    ),
)

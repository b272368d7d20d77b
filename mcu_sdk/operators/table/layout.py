"""Rows of tables, and elements in another order."""

from __future__ import annotations

from mcu_sdk.operators.layouts import COLUMNS
from mcu_sdk.operators.layouts import ROWS as BLOCK_ROWS
from mcu_sdk.operators.table.parts import with_packed
from mcu_sdk.operators.table.row import Operator, Work

_ONE_ROW = {"weight": 0, "scale": 0}
_TABLE = """
    weight s8[vocabulary, n]
    scale f32[vocabulary]
    ids s64(count)
"""
_ANY = "u8|s8|s16|s32|s64|f16|f32"

ROWS = (
    *with_packed(
        Operator(
            "mcu::embedding_s8",
            "Tensor weight, Tensor scale, Tensor ids",
            weight="weight",
            weight_bits=8,
            channels=("scale",),
            one_of=_ONE_ROW,
            index="ids",
            call=f"""
                {_TABLE}
                out f32(count * n)
                call embedding_s8(weight, scale, ids, out, count, vocabulary, n)
            """,
        ),
        f"""
            scale f32[vocabulary]
            require vocabulary % {BLOCK_ROWS} == 0 && n >= 1
            let k = n
            weight s8@16[vocabulary / {BLOCK_ROWS}, blocks(k, {COLUMNS}), {BLOCK_ROWS}, {COLUMNS}]
            ids s64(count)
            out f32(count * n)
            call embedding_s8_packed(weight, scale, ids, out, count, vocabulary, n)
        """,
    ),
    Operator(
        "mcu::embedding_s8_add",
        "Tensor self, Tensor weight, Tensor scale, Tensor ids",
        in_place=True,
        one_of=_ONE_ROW,
        index="ids",
        arithmetic=2,
        call=f"""
            {_TABLE}
            self f32(count * n)
            out f32(count * n)
            copied self
            call embedding_s8_add(out, weight, scale, ids, count, vocabulary, n)
        """,
    ),
    Operator(
        "aten::embedding",
        "Tensor weight, Tensor indices",
        weight="weight",
        one_of={"weight": 0},
        index="indices",
    ),
    Operator(
        "quantized_decomposed::embedding_byte",
        "Tensor weight, Tensor weight_scales, Tensor? weight_zero_points, int weight_quant_min, int weight_quant_max, "
        "Tensor indices",
        weight="weight",
        weight_bits=8,
        one_of={"weight": 0, "weight_scales": 0},
        index="indices",
        call="""
            weight s8[vocabulary, n]
            weight_scales f32[vocabulary]
            only weight_zero_points none
            indices s64(count)
            out f32(count * n)
            call embedding_s8(weight, weight_scales, indices, out, count, vocabulary, n)
        """,
    ),
    Operator(
        "cortex_m::pad",
        "Tensor input, int[] pre_pad, int[] post_pad, int pad_value",
        work=Work.UNKNOWN,
        call="""
            orders input out
            input s8
            out s8
            require is_int8(pad_value)
            declare Padding table
            require table.fits(input, pre_pad, post_pad, pad_value, out)
            first fill(table.value, out.as<int8_t>(), out.count, 1)
            call strided_copy(input.as<int8_t>(), table.inside(out), table.sizes, table.axes, 1)
        """,
    ),
    Operator(
        "cortex_m::transpose",
        "Tensor input, int[] perm",
        work=Work.UNKNOWN,
        call=f"""
            input {_ANY}
            out {_ANY}
            declare Permutation table
            require table.fits(input, perm, out)
            call strided_copy(input.as<uint8_t>(), out.as<uint8_t>(), table.sizes, table.axes, table.element_size)
        """,
    ),
)

"""Products with weights, those of chosen experts among them, and of two activations."""

from __future__ import annotations

from functools import partial

from mcu_sdk.operators.layouts import BLOCK_BYTES, GROUP
from mcu_sdk.operators.layouts import ROWS as BLOCK_ROWS
from mcu_sdk.operators.limits import LONGEST_DOT
from mcu_sdk.operators.table.parts import (
    BLOCKS,
    CHANNELS,
    CORTEX_M_LIMITS,
    CORTEX_M_REQUANTIZES,
    REQUANTIZATION,
    SUMMED,
    requantized,
    with_packed,
)
from mcu_sdk.operators.table.row import Operator, Work

_product = partial(Operator, weight="weight", work=Work.PRODUCT)
_product_s8 = partial(_product, weight_bits=8)

_ROWS_S8 = f"""
    x s8[*rows, k]
    weight s8[n, k]
    {SUMMED}
"""
_LIMITS = "require is_int8(out_zero_point) && is_int8(out_min) && is_int8(out_max)"
_ADDS = """
    self s16(rows * n)
    same self
"""
_PACKED_CONSTANTS = f"""
    constants s32[blocks(n, {BLOCK_ROWS}), 3, {BLOCK_ROWS}]
    require packed_requantizations(constants.as<int32_t>(), blocks(n, {BLOCK_ROWS}), {BLOCK_ROWS})
"""
_BLOCKS_S4 = f"blocks(n, {BLOCK_ROWS}), blocks(k, {GROUP}), {BLOCK_BYTES}"
_SUMS = "sums(kernel_sum, weights, bias, input_offset)"
_MATMUL = (
    "lhs, rhs_transposed, out, McuBatchMatmul{batch, m, k, n, lhs_zero_point, rhs_zero_point, output_zero_point, "
    "output_multiplier, output_shift}"
)
_NONE = "Operand{}.as<float>()"
_MATRICES = """
    {0} f32[m, k]
    mat2 f32[k, n]
    out f32(m * n)
"""


def _packed_rows(kind: str) -> str:
    """`kind`: the type of the results."""
    return f"""
        x s8[*rows, k]
        require n >= 1
        out {kind}(rows * n)
        weight s8@16[{BLOCKS}]
        {SUMMED}
    """


def _by_pairs(name: str, tensors: str) -> str:
    """Several rows are read in pairs, which takes memory."""
    return f"""
        call {name}({tensors}, rows, k, n) if rows == 1
        call {name}_pairs({tensors}, scratch(pair_bytes(k, 1)), rows, k, n)
    """


def _by_rows(name: str, tensors: str, numbers: str) -> str:
    """For one row there is a kernel with less code."""
    return f"""
        call {name}_row({tensors}, {numbers}) if rows == 1
        call {name}({tensors}, rows, {numbers})
    """


def _to_floats(
    name: str, arguments: str, channels: tuple[str, ...], tensors: str, values: str
) -> tuple[Operator, Operator]:
    """A linear with float results. `tensors` are a kernel's, `values` those beside x and weight, with {n} for the rows of
    the weight."""
    return with_packed(
        _product_s8(
            f"mcu::{name}",
            arguments,
            channels=channels,
            call=f"""
                {_ROWS_S8}
                {values.format(n="n")}
                out f32(rows * n)
                {_by_pairs(name, tensors)}
            """,
        ),
        f"""
            {_packed_rows("f32")}
            {values.format(n=CHANNELS)}
            {_by_rows(f"{name}_packed", tensors, "k, n")}
        """,
    )


def _of_experts(name: str, tensors: str, weights: str, channels: str, *, summed: str = SUMMED) -> str:
    """`weights` are the lines of the weights and their scales, `channels` the values of each expert's bias, `summed` what a
    sum of k products takes."""
    return f"""
        x s8[*rows, k]
        x_scale f32(rows)
        {weights}
        bias f32?[experts, {channels}]
        expert s64(chosen)
        require rows == 1 || rows == chosen
        {summed}
        out f32(chosen * n)
        call {name}({tensors}, bias, expert, out, McuExperts{{chosen, rows > 1 ? 1 : 0, experts, k, n}})
    """


_SCALED = "Tensor x, Tensor x_scale, Tensor weight, Tensor weight_scale, Tensor? bias"
_SCALED_INT4 = "Tensor x, Tensor x_scale, Tensor weight, Tensor? bias"

ROWS = (
    *_to_floats(
        "linear_s8",
        _SCALED,
        ("weight_scale", "bias"),
        "x, x_scale, weight, weight_scale, bias, out",
        """
            x_scale f32(rows)
            weight_scale f32[{n}]
            bias f32?[{n}]
        """,
    ),
    *_to_floats(
        "linear_s8_static",
        "Tensor x, Tensor weight, Tensor offset, Tensor scale, Tensor? bias",
        ("offset", "scale", "bias"),
        "x, weight, offset, scale, bias, out",
        """
            offset s32[{n}]
            scale f32[{n}]
            bias f32?[{n}]
        """,
    ),
    *with_packed(
        _product_s8(
            "mcu::linear_s8_requantize",
            f"Tensor x, Tensor weight, {REQUANTIZATION}, int out_zero_point, int out_min, int out_max",
            channels=("bias", "multiplier", "shift"),
            call=f"""
                {_ROWS_S8}
                {requantized("n")}
                {_LIMITS}
                out s8(rows * n)
                call linear_rows_s8(x, weight, bias, multiplier, shift, out, McuLinearRows{{rows, k, n, 1, out_zero_point, out_min, out_max}}, scratch(pair_bytes(k, 8))) if rows > 1 && shifts_right(shift.as<int32_t>(), n)
                call linear_s8_requantize(x, weight, bias, multiplier, shift, out, rows, k, n, out_zero_point, out_min, out_max)
            """,
        ),
        f"""
            {_packed_rows("s8")}
            {_PACKED_CONSTANTS}
            {_LIMITS}
            {_by_rows("linear_s8_requantize_packed", "x, weight, constants, out", "k, n, out_zero_point, out_min, out_max")}
        """,
    ),
    *with_packed(
        _product_s8(
            "mcu::linear_s8_add_s16",
            f"Tensor self, Tensor x, Tensor weight, {REQUANTIZATION}",
            in_place=True,
            channels=("bias", "multiplier", "shift"),
            input="x",
            call=f"""
                {_ROWS_S8}
                {requantized("n")}
                out s16(rows * n)
                {_ADDS}
                call linear_s8_add_s16(self, x, weight, bias, multiplier, shift, out, rows, k, n)
            """,
        ),
        f"""
            {_packed_rows("s16")}
            {_PACKED_CONSTANTS}
            {_ADDS}
            call linear_s8_add_s16_packed(self, x, weight, constants, out, rows, k, n)
        """,
    ),
    *with_packed(
        _product_s8(
            "mcu::expert_linear_s8",
            f"{_SCALED}, Tensor expert",
            channels=("weight_scale", "bias"),
            one_of={"weight": 0, "weight_scale": 0, "bias": 0},
            index="expert",
            call=_of_experts(
                "expert_linear_s8",
                "x, x_scale, weight, weight_scale",
                """
                    weight s8[experts, n, k]
                    weight_scale f32[experts, n]
                """,
                "n",
            ),
        ),
        _of_experts(
            "expert_linear_s8_packed",
            "x, x_scale, weight, weight_scale",
            f"""
                require n >= 1
                weight_scale f32[experts, {CHANNELS}]
                weight s8@16[experts, {BLOCKS}]
            """,
            CHANNELS,
        ),
    ),
    _product(
        "mcu::linear_s4",
        f"{_SCALED_INT4}, int n",
        weight_bits=4,
        call=f"""
            x s8[*rows, k]
            x_scale f32(rows)
            require n >= 1
            weight s8@16[{_BLOCKS_S4}]
            bias f32?[n]
            out f32(rows * n)
            call linear_s4(x, x_scale, weight, bias, out, rows, k, n)
        """,
    ),
    _product(
        "mcu::expert_linear_s4",
        f"{_SCALED_INT4}, Tensor expert, int n",
        weight_bits=4,
        one_of={"weight": 0, "bias": 0},
        index="expert",
        call=_of_experts(
            "expert_linear_s4",
            "x, x_scale, weight",
            f"""
                require n >= 1
                weight s8@16[experts, {_BLOCKS_S4}]
            """,
            "n",
            summed="",
        ),
    ),
    Operator(
        "cortex_m::quantized_linear",
        "Tensor input, Tensor weights, Tensor? bias, Tensor? kernel_sum, int input_offset, int filter_offset, "
        "int output_offset, int[] requantize_multipliers, int[] requantize_shifts, int activation_max, "
        "int activation_min",
        weight="weights",
        weight_bits=8,
        work=Work.PRODUCT,
        call=f"""
            input s8[*rows, k]
            weights s8[n, k]
            require k < {LONGEST_DOT}
            bias s32?(n)
            kernel_sum s32?(n)
            out s8(rows * n)
            require filter_offset == 0 && input_offset >= -127 && input_offset <= 128 && is_int8(output_offset)
            {CORTEX_M_LIMITS}
            require requantize_multipliers.size() > 0 && requantize_shifts.size() > 0
            require is_requantization(requantize_multipliers[0], requantize_shifts[0])
            let multiplier = requantize_multipliers[0]
            let shift = requantize_shifts[0]
            declare FourFactors factors
            require factors.fill(multiplier, shift)
            call linear_rows_s8(input, weights, {_SUMS}, factors.multiplier, factors.shift, out, McuLinearRows{{rows, k, n, 0, output_offset, activation_min, activation_max}}, scratch(pair_bytes(k, 8))) if rows > 1 && shift < 0
            call linear_s8_per_tensor(input, weights, {_SUMS}, out, rows, k, n, McuRequantization{{multiplier, shift, output_offset, activation_min, activation_max}})
        """,
    ),
    Operator(
        "cortex_m::quantized_batch_matmul",
        "Tensor lhs, int lhs_zero_point, Tensor rhs_transposed, int rhs_zero_point, int output_zero_point, "
        "int output_multiplier, int output_shift, Tensor scratch",
        work=Work.BATCHED,
        call=f"""
            lhs s8[batch, m, k]
            rhs_transposed s8[batch, n, k]
            require k < {LONGEST_DOT}
            out s8(batch * m * n)
            unused scratch
            require lhs_zero_point >= -127 && lhs_zero_point <= 128
            require rhs_zero_point >= -127 && rhs_zero_point <= 128 && is_int8(output_zero_point)
            {CORTEX_M_REQUANTIZES}
            call batch_matmul_rows_s8({_MATMUL}, scratch(pair_bytes(k, 1) + 4 * n)) if m > 1 && output_shift < 0
            call batch_matmul_s8({_MATMUL})
        """,
    ),
    _product(
        "aten::linear",
        "Tensor input, Tensor weight, Tensor? bias",
        call="""
            input f32[*rows, k]
            weight f32[n, k]
            bias f32?[n]
            out f32(rows * n)
            call matmul_f32(input, weight, bias, out, 1, rows, k, n, 0, true)
        """,
    ),
    _product(
        "aten::addmm",
        "Tensor self, Tensor mat1, Tensor mat2, Scalar beta, Scalar alpha",
        weight="mat2",
        input="mat1",
        call=f"""
            {_MATRICES.format("mat1")}
            self f32(n)
            only beta 1
            only alpha 1
            call matmul_f32(mat1, mat2, self, out, 1, m, k, n, 0, false)
        """,
    ),
    _product(
        "aten::mm",
        "Tensor self, Tensor mat2",
        weight="mat2",
        call=f"""
            {_MATRICES.format("self")}
            call matmul_f32(self, mat2, {_NONE}, out, 1, m, k, n, 0, false)
        """,
    ),
    Operator(
        "aten::bmm",
        "Tensor self, Tensor mat2",
        work=Work.BATCHED,
        call=f"""
            self f32[batch, m, k]
            mat2 f32[batch, k, n]
            out f32(batch * m * n)
            call matmul_f32(self, mat2, {_NONE}, out, batch, m, k, n, batch > 1 ? k * n : 0, false)
        """,
    ),
    _product_s8(
        "quantized_decomposed::mixed_linear",
        "Tensor input, Tensor weight, Tensor weight_scales, Tensor? weight_zero_points, ScalarType? dtype",
        channels=("weight_scales",),
        call="""
            input f32[m, k]
            weight s8[n, k]
            weight_scales f32[n]
            only weight_zero_points none
            unused dtype
            out f32[m, n]
            call linear_f32_s8(input, weight, weight_scales, out, m, k, n)
        """,
    ),
)

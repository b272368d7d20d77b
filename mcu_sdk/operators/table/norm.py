"""Norms and softmaxes, ATen's among them."""

from __future__ import annotations

from mcu_sdk.operators.table.row import Operator, Work


def _along_rows(name: str, kernel: str) -> Operator:
    return Operator(
        name,
        "Tensor self, int dim, bool half_to_float",
        work=Work.UNKNOWN,
        call=f"""
            self f32[*rows, n]
            out f32(rows * n)
            require (dim == -1 || dim == self.rank - 1) && !half_to_float
            same self
            call {kernel}(self, out, rows, n)
        """,
    )


def _to_integers(bits: int, arithmetic: int, wider: str = "") -> Operator:
    """layer_norm to integers of so many bits, of the same or of float32; `wider`: the call for int16 where these are int8."""
    own = f"s{bits}"
    return Operator(
        f"mcu::layer_norm_{own}",
        "Tensor x, Tensor? y, Tensor weight, Tensor bias, float y_ratio, float eps",
        arithmetic=arithmetic,
        call=f"""
            x {f"{own}|s16|f32" if wider else f"{own}|f32"}[*rows, n]
            y {own}?(rows * n)
            weight f32[n]
            bias f32[n]
            out {own}(rows * n)
            require !y.present || (x.is_{own}() && is_finite(y_ratio))
            same x y
            require x.is_{own}() || !out.overlaps(x)
            call layer_norm_{own}(x.as<int{bits}_t>(), y, weight, bias, out, scratch(4 * n), rows, n, y_ratio, eps) if x.is_{own}()
            {wider}
            call layer_norm_to_{own}(x.as<float>(), weight, bias, out, rows, n, eps)
        """,
    )


ROWS = (
    # Square and add; scale; weight.
    Operator(
        "mcu::rms_norm",
        "Tensor x, Tensor weight, float eps",
        arithmetic=3,
        call="""
            x f32[*rows, n]
            weight f32[n]
            out f32(rows * n)
            same x
            call rms_norm(x, weight, out, rows, n, eps)
        """,
    ),
    # Sum; centre, square and add; scale, weight, bias.
    Operator(
        "mcu::layer_norm",
        "Tensor x, Tensor weight, Tensor bias, float eps",
        arithmetic=5,
        call="""
            x f32[*rows, n]
            weight f32[n]
            bias f32[n]
            out f32(rows * n)
            same x
            call layer_norm(x, weight, bias, out, rows, n, eps)
        """,
    ),
    # For 16 elements of int8, four vectors each time, and for 8 of int16, two: convert both and add; centre, square and
    # add; scale, weight, bias, round.
    _to_integers(
        8,
        44,
        "call layer_norm_s16_to_s8(x.as<int16_t>(), weight, bias, out, scratch(4 * n), rows, n, eps) if x.is_s16()",
    ),
    _to_integers(16, 22),
    # For 16 elements, four vectors each time: a difference, converted and scaled, e^x, the sum; converted, two products, round.
    Operator(
        "mcu::softmax_gate_s8",
        "Tensor self, Tensor scores, float score_scale, float ratio, int zero_point, int out_zero_point",
        in_place=True,
        arithmetic=104,
        call="""
            self s8[*rows, n]
            scores s8[*rows, n]
            out s8(rows * n)
            same self
            require is_scale(score_scale) && is_scale(ratio) && is_int8(zero_point) && is_int8(out_zero_point)
            call softmax_gate_s8(self, scores, out, scratch(4 * n), rows, n, score_scale, ratio, zero_point, out_zero_point)
        """,
    ),
    Operator(
        "cortex_m::softmax",
        "Tensor input, int dim, int input_zero_point, int output_zero_point, int input_multiplier, int input_shift, "
        "int diff_min",
        work=Work.UNKNOWN,
        call="""
            input s8[*rows, n]
            require dim == -1 || dim == input.rank - 1
            out s8(rows * n)
            same input
            require is_int8(input_zero_point) && output_zero_point == -128
            require is_requantization(input_multiplier, input_shift) && input_multiplier > 0
            call softmax_s8(input, out, rows, n, softmax_scale(input_multiplier, input_shift), input_zero_point, scratch(4 * n))
        """,
    ),
    _along_rows("aten::_softmax", "softmax_f32"),
    _along_rows("aten::_log_softmax", "log_softmax_f32"),
    Operator(
        "aten::native_layer_norm",
        "Tensor input, int[] normalized_shape, Tensor? weight, Tensor? bias, float eps",
        ("out0", "out1", "out2"),
        work=Work.UNKNOWN,
        call="""
            input f32
            let n = elements_of_last(input, normalized_shape)
            require n > 0
            weight f32?(n)
            bias f32?(n)
            out0 f32(input.count)
            out1 f32(input.count / n)
            out2 f32(input.count / n)
            same input
            let rows = input.count / n
            call native_layer_norm(input, weight, bias, out0, out1, out2, rows, n, eps)
        """,
    ),
)

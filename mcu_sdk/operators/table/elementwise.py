"""Activations, those with a gate, sums of float and int16 or int8, and ATen's functions of one number and of two."""

from __future__ import annotations

from functools import partial

from mcu_sdk.operators.table.row import Operator, Work

_theirs = partial(Operator, work=Work.UNKNOWN)

_ONE = """
    x f32(count)
    out f32(count)
    same x
"""
_GATED = """
    gate f32(count)
    up f32(count)
    out f32(count)
    same gate up
"""

_WALKED = """
    self f32(count)
    out f32(count)
    any order
    same self
"""
_C_TYPES = {"s8": "int8_t", "f32": "float", "s64": "int64_t", "s32": "int32_t"}
_FUNCTIONS = ("exp", "log", "rsqrt", "sqrt", "reciprocal", "sigmoid", "tanh", "sin", "cos", "erf")


def _function(name: str, kernel: str) -> Operator:
    return _theirs(
        f"aten::{name}",
        "Tensor self",
        call=f"""
            {_WALKED}
            call {kernel}(self, out, count)
        """,
    )


def _calls_of_two(name: str, types: tuple[str, ...]) -> str:
    """A kernel for each type."""
    return "\n".join(
        f"call {name}_{kind}(self.as<{c}>(), other.as<{c}>(), out.as<{c}>(), table.sizes, table.axes) "
        f"if out.type == k{kind.upper()}"
        for kind, c in _C_TYPES.items()
        if kind in types
    )


def _extremum(name: str) -> Operator:
    joined = "|".join(_C_TYPES)
    return _theirs(
        f"cortex_m::{name}",
        "Tensor self, Tensor other",
        call=f"""
            self {joined}
            other {joined}
            out {joined}
            any order
            alike self other out
            same self other
            declare Broadcast table
            require table.fits(self, other, out)
            {_calls_of_two(name, tuple(_C_TYPES))}
        """,
    )


def _of_two(name: str, types: tuple[str, ...], *, scaled: bool = False) -> tuple[Operator, Operator]:
    """With a tensor, and with a number. `scaled`: the second operand has a factor."""
    alpha, one = (", Scalar alpha", "only alpha 1") if scaled else ("", "")
    joined = "|".join(types)
    by_tensor = _theirs(
        f"aten::{name}.Tensor",
        f"Tensor self, Tensor other{alpha}",
        out_overload="out",
        call=f"""
            self {joined}
            other {joined}
            out {joined}
            any order
            alike self other out
            same self other
            {one}
            declare Broadcast table
            require table.fits(self, other, out)
            {_calls_of_two(name, types)}
        """,
    )
    by_number = _theirs(
        f"aten::{name}.Scalar",
        f"Tensor self, Scalar other{alpha}",
        call=f"""
            {_WALKED}
            {one}
            declare Number number
            require number.holds(other)
            declare Broadcast table
            require table.repeats(count)
            call {name}_f32(self, number.value, out, table.sizes, table.axes)
        """,
    )
    return by_tensor, by_number


ROWS = (
    # e^x as a polynomial of degree 6, its scaling, a division by two Newton steps.
    Operator(
        "mcu::silu",
        "Tensor x",
        arithmetic=13,
        call=f"""
            {_ONE}
            call silu(x, out, count)
        """,
    ),
    Operator(
        "mcu::gated_silu",
        "Tensor gate, Tensor up",
        arithmetic=14,
        call=f"""
            {_GATED}
            call gated_silu(gate, up, out, count)
        """,
    ),
    Operator(
        "mcu::gelu",
        "Tensor x, bool tanh",
        arithmetic=15,
        call=f"""
            {_ONE}
            call gelu_tanh(x, out, count) if tanh
            call gelu_erf(x, out, count)
        """,
    ),
    Operator(
        "mcu::gated_gelu",
        "Tensor gate, Tensor up, bool tanh",
        arithmetic=16,
        call=f"""
            {_GATED}
            call gated_gelu_tanh(gate, up, out, count) if tanh
            call gated_gelu_erf(gate, up, out, count)
        """,
    ),
    Operator(
        "mcu::add_s16",
        "Tensor self, Tensor y, float scale",
        in_place=True,
        arithmetic=2,
        call="""
            self f32(count)
            y s16(count)
            out f32(count)
            same self
            require is_finite(scale)
            call add_s16(self, y, out, count, scale)
        """,
    ),
    # For four results: converted, scaled and offset, added.
    Operator(
        "mcu::add_channels_s8",
        "Tensor self, Tensor x, Tensor scale, Tensor offset",
        in_place=True,
        arithmetic=3,
        call="""
            self f32[*rows, n]
            x s8(rows * n)
            scale f32[n]
            offset f32[n]
            out f32(rows * n)
            same self
            call add_channels_s8(self, x, scale, offset, out, rows, n)
        """,
    ),
    *(_function(name, f"{name}_f32") for name in _FUNCTIONS),
    _function("silu", "silu"),
    _theirs(
        "aten::gelu",
        "Tensor self, str approximate",
        call=f"""
            {_WALKED}
            require approximate.is_tanh() || approximate.is_none()
            call gelu_tanh(self, out, count) if approximate.is_tanh()
            call gelu_erf(self, out, count)
        """,
    ),
    _theirs(
        "aten::pow.Tensor_Scalar",
        "Tensor self, Scalar exponent",
        call=f"""
            {_WALKED}
            let halves = halves_of(exponent)
            require halves >= -2 && halves <= 2048 && (halves == 1 || halves == -1 || (halves % 2 == 0 && halves != 0))
            call sqrt_f32(self, out, count) if halves == 1
            call rsqrt_f32(self, out, count) if halves == -1
            call reciprocal_f32(self, out, count) if halves == -2
            call square_f32(self, out, count) if halves == 4
            call cube_f32(self, out, count) if halves == 6
            call power_f32(self, out, count, halves / 2)
        """,
    ),
    *(_extremum(name) for name in ("minimum", "maximum")),
    *_of_two("add", ("f32", "s64", "s32"), scaled=True),
    *_of_two("sub", ("f32", "s64", "s32"), scaled=True),
    *_of_two("mul", ("f32", "s64", "s32")),
    *_of_two("div", ("f32",)),
)

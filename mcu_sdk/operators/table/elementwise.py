"""Activations, and those with a gate."""

from __future__ import annotations

from mcu_sdk.operators.table.row import Operator

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
)

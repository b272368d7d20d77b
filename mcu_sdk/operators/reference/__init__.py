"""The `mcu::` operators: importing this package registers them with torch. Each reference is the specification of
the C++ kernel of the same name."""

from __future__ import annotations

from mcu_sdk.operators.reference import activations, attention, int4, linear, norms, packed, rope

IN_PLACE = {
    "cache_write": "cache_write_",
    "cache_write_dynamic": "cache_write_dynamic_",
    "cache_write_columns": "cache_write_columns_",
    "cache_write_columns_dynamic": "cache_write_columns_dynamic_",
    "cache_scale_write": "cache_scale_write_",
}
"""Functional updates and the in-place operators that ExecuTorch's reinplace pass replaces them with."""

__all__ = ["IN_PLACE", "activations", "attention", "int4", "linear", "norms", "packed", "rope"]

"""The `mcu::` operators: importing this package registers them with torch. Each reference is the specification of
the C++ kernel of the same name."""

from __future__ import annotations

from mcu_sdk.operators.reference import activations, attention, int4, linear, norms, packed, rope

__all__ = ["activations", "attention", "int4", "linear", "norms", "packed", "rope"]

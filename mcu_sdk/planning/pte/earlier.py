"""Operators whose arguments changed between versions of ExecuTorch: a file of then is read in the form of now."""

from __future__ import annotations

from collections.abc import Sequence

from mcu_sdk.planning.instruction import Value


def in_present_form(operator: str, arguments: Sequence[Value]) -> tuple[Value, ...]:
    """The arguments as the installed ExecuTorch's schema has them; those that no version wrote are left as they are."""
    pool = operator == "cortex_m::quantized_avg_pool2d"
    if pool and len(arguments) == 9 and not isinstance(arguments[4], bool):
        return (*arguments[:4], False, *arguments[4:])  # 1.4 had no ceil_mode behind the padding
    return tuple(arguments)

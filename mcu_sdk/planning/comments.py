"""Instructions in words, for comments and messages."""

from __future__ import annotations

from collections.abc import Iterable

from mcu_sdk.planning.instruction import Instruction, KernelCall, Tensor, Value


def comment_of(call: KernelCall, instruction: Instruction, written: Iterable[Tensor]) -> str:
    """What stands behind a call in plan.cpp: the operator with types and shapes, and what its emitter adds; printable."""
    shapes = _signature(instruction, written)
    return printable(f"{shapes}; {call.comment}" if call.comment else shapes)


def _signature(instruction: Instruction, written: Iterable[Tensor]) -> str:
    """ "mcu::rms_norm(f32[1,1,64], f32[64], 1e-05) -> f32[1,1,64]"."""
    written = tuple(written)
    shown = [a for a in instruction.arguments if instruction.in_place or not _is_out(a, written)]
    results = ", ".join(map(_brief, written))
    return f"{instruction.operator}({', '.join(map(_brief, shown))})" + (f" -> {results}" if results else "")


def _is_out(value: Value, written: tuple[Tensor, ...]) -> bool:
    if isinstance(value, list):
        return bool(value) and all(isinstance(item, Tensor) and item in written for item in value)
    return isinstance(value, Tensor) and value in written


def _brief(value: Value) -> str:
    if isinstance(value, Tensor):
        return f"{value.dtype!r}[{','.join(map(str, value.shape))}]"
    if isinstance(value, list):
        items = ", ".join(map(_brief, value[:8]))
        return f"[{items}{', ...' if len(value) > 8 else ''}]"
    if isinstance(value, float):
        return f"{value:g}"
    return repr(value)


def printable(text: str) -> str:
    """Text from a file, fit for a C++ comment or a terminal: one line of ASCII, no backslash to continue it."""
    return "".join(c if " " <= c <= "~" and c != "\\" else "?" for c in text)

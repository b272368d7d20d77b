"""Emitters of the aten operators that make tensors of known values."""

from __future__ import annotations

from collections.abc import Sequence

from mcu_sdk.planning.emitters.checks import call, count_is, out_tensor
from mcu_sdk.planning.instruction import ConstantArray, DType, Instruction, KernelCall, Tensor, Value
from mcu_sdk.planning.registry import emits, unsupported

LONGEST_RANGE = 1 << 12
"""Elements of an arange that are worth a table in the image."""


def constant(instruction: Instruction, dtype: DType, values: Sequence[Value]) -> ConstantArray:
    """Numbers as a table of `dtype`; floats are rounded to float32. Raises where a type does not hold a value."""
    import numpy as np

    if dtype is DType.F32:
        with np.errstate(over="ignore"):
            return ConstantArray("float", tuple(float(np.float32(_number(instruction, v))) for v in values))
    if dtype is DType.BOOL:
        return ConstantArray("bool", tuple(int(bool(_number(instruction, v))) for v in values))
    if dtype in (DType.F16, DType.F64):
        unsupported(instruction, f"it makes a tensor of {dtype!r}")
    whole = [_number(instruction, v) for v in values]
    if any(isinstance(v, float) and not v.is_integer() for v in whole):  # NaN and infinities are not, either
        unsupported(instruction, f"{whole[0]} is no {dtype!r}")
    info = np.iinfo(dtype.c_type.removesuffix("_t"))
    if any(not info.min <= int(v) <= info.max for v in whole):
        unsupported(instruction, f"a value is outside {dtype!r}")
    return ConstantArray(dtype.c_type, tuple(int(v) for v in whole))


def _number(instruction: Instruction, value: Value) -> float | int:
    if not isinstance(value, (int, float)):
        unsupported(instruction, f"{value!r} is no number")
    return value


def fill(instruction: Instruction, value: Value, out: Tensor) -> list[KernelCall]:
    """Every element of `out` becomes `value`."""
    if out.elements == 0:
        return []
    return call("fill", constant(instruction, out.dtype, [value]), out, out.elements, out.dtype.size)


@emits("aten::full")
def full(instruction: Instruction) -> Sequence[KernelCall]:
    """(size, value, out)."""
    count_is(instruction, 3)
    return fill(instruction, instruction.arguments[1], out_tensor(instruction, 2))


@emits("aten::full_like")
def full_like(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, value, memory_format, out)."""
    count_is(instruction, 4)
    return fill(instruction, instruction.arguments[1], out_tensor(instruction, 3))


@emits("aten::fill")
def fill_(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, value, out)."""
    count_is(instruction, 3)
    return fill(instruction, instruction.arguments[1], out_tensor(instruction, 2))


@emits("aten::scalar_tensor")
def scalar_tensor(instruction: Instruction) -> Sequence[KernelCall]:
    """(value, out)."""
    count_is(instruction, 2)
    out = out_tensor(instruction, 1)
    if out.elements != 1:
        unsupported(instruction, "its output has more than one element")
    return fill(instruction, instruction.arguments[0], out)


@emits("aten::zeros", "aten::ones")
def zeros(instruction: Instruction) -> Sequence[KernelCall]:
    """(size, out)."""
    count_is(instruction, 2)
    return fill(instruction, int(instruction.operator == "aten::ones"), out_tensor(instruction, 1))


@emits("aten::zeros_like", "aten::ones_like")
def zeros_like(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, memory_format, out)."""
    count_is(instruction, 3)
    return fill(instruction, int(instruction.operator == "aten::ones_like"), out_tensor(instruction, 2))


@emits("aten::empty", "dim_order_ops::_empty_dim_order")
def empty(instruction: Instruction) -> Sequence[KernelCall]:
    """(size, format, out): its contents are nobody's."""
    count_is(instruction, 3)
    out_tensor(instruction, 2)
    return []


@emits("aten::arange")
def arange(instruction: Instruction) -> Sequence[KernelCall]:
    """(end, out) or (start, end, step, out): a table, copied."""
    count_is(instruction, 2, 4)
    out = out_tensor(instruction, len(instruction.arguments) - 1)
    start, step = (
        (0, 1) if len(instruction.arguments) == 2 else (instruction.arguments[0], instruction.arguments[2])
    )
    first, by = _number(instruction, start), _number(instruction, step)
    if out.elements == 0:
        return []
    if out.elements > LONGEST_RANGE:
        unsupported(
            instruction, f"it has {out.elements} elements; a range of up to {LONGEST_RANGE} is supported"
        )
    table = constant(instruction, out.dtype, [first + by * i for i in range(out.elements)])
    return call("copy", table, out, out.nbytes)

"""Checks that emitters share. A corrupt file must never become code that reads or writes out of range."""

from __future__ import annotations

from math import prod
from typing import TypeVar

from mcu_sdk.planning.instruction import DType, Instruction, KernelCall, Tensor, Value
from mcu_sdk.planning.kernel_files import kernel, kernel_sources
from mcu_sdk.planning.registry import unsupported

T = TypeVar("T")
LIMIT = 1 << 30
"""Kernels count in int32_t: nothing may have more elements than this."""


def count_is(instruction: Instruction, *counts: int) -> None:
    """Refuse an instruction with another number of arguments than its schema has."""
    if len(instruction.arguments) not in counts:
        wanted = " or ".join(map(str, counts))
        unsupported(
            instruction, f"it has {len(instruction.arguments)} arguments where its schema has {wanted}"
        )


def tensor(instruction: Instruction, index: int, *dtypes: DType) -> Tensor:
    """Argument `index` as a contiguous tensor of one of `dtypes` (any, if none is named)."""
    value = instruction.arguments[index]
    if not isinstance(value, Tensor):
        unsupported(instruction, f"argument {index} is no tensor")
    if dtypes and value.dtype not in dtypes:
        wanted = " or ".join(repr(dtype) for dtype in dtypes)
        unsupported(instruction, f"argument {index} is {value.dtype!r} where the kernel takes {wanted}")
    if not is_contiguous(value):
        unsupported(
            instruction, f"argument {index} has the dim order {value.dim_order}, not a contiguous one"
        )
    if value.elements > LIMIT:
        unsupported(instruction, f"argument {index} has {value.elements:,} elements")
    return value


def is_contiguous(value: Tensor) -> bool:
    """Whether the axes longer than one lie in memory in their order."""
    order = [axis for axis in value.dim_order if axis < len(value.shape) and value.shape[axis] != 1]
    return order == sorted(order)


def optional_tensor(instruction: Instruction, index: int, *dtypes: DType) -> Tensor | None:
    """As `tensor`, where None is allowed."""
    return None if instruction.arguments[index] is None else tensor(instruction, index, *dtypes)


def out_tensor(instruction: Instruction, index: int, *dtypes: DType) -> Tensor:
    """As `tensor`, for a tensor that is written: it must not be a constant."""
    value = tensor(instruction, index, *dtypes)
    if value.is_constant:
        unsupported(instruction, f"argument {index} is written, but is a constant")
    return value


def integer(instruction: Instruction, index: int) -> int:
    value = instruction.arguments[index]
    if isinstance(value, bool) or not isinstance(value, int):
        unsupported(instruction, f"argument {index} is {value!r} where an integer is wanted")
    return value


def number(instruction: Instruction, index: int) -> float:
    """A float, or an integer where a float is wanted."""
    value = instruction.arguments[index]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        unsupported(instruction, f"argument {index} is {value!r} where a number is wanted")
    return float(value)


def boolean(instruction: Instruction, index: int) -> bool:
    value = instruction.arguments[index]
    if not isinstance(value, bool):
        unsupported(instruction, f"argument {index} is {value!r} where a boolean is wanted")
    return value


def integers(instruction: Instruction, index: int) -> list[int]:
    """A list of integers."""
    value = instruction.arguments[index]
    if not isinstance(value, list):
        unsupported(instruction, f"argument {index} is {value!r} where a list is wanted")
    result = []
    for item in value:
        if isinstance(item, bool) or not isinstance(item, int):
            unsupported(instruction, f"argument {index} holds {item!r} where an integer is wanted")
        result.append(item)
    return result


def constant_integers(instruction: Instruction, value: Tensor, what: str) -> list[int]:
    """The elements of an int32 tensor that indexes or weighs others. Refuses one that is not known at generation."""
    if value.data is None:
        unsupported(instruction, f"{what} have to be constants")
    return [int(each) for each in memoryview(value.data).cast("B").cast("i")[: value.elements]]


def shape_is(instruction: Instruction, value: Tensor, what: str, *shape: int) -> None:
    """Refuse a tensor of another shape."""
    if value.shape != shape:
        unsupported(instruction, f"{what} has the shape {list(value.shape)} where {list(shape)} is wanted")


def same_elements(instruction: Instruction, *values: Tensor) -> int:
    """The number of elements that all the tensors have."""
    first = values[0].elements
    if any(value.elements != first for value in values):
        unsupported(instruction, "its tensors differ in size")
    return first


def rows_of(instruction: Instruction, value: Tensor) -> tuple[int, int]:
    """(rows, length): the product of the leading axes, and the last axis (at least 1 long)."""
    if not value.shape or value.shape[-1] < 1:
        unsupported(instruction, "a tensor with a last axis of at least one element is wanted")
    return prod(value.shape[:-1]), value.shape[-1]


def apart(instruction: Instruction, out: Tensor, *inputs: Tensor | None) -> None:
    """Refuse an output that shares memory with an input."""
    for value in inputs:
        if value is not None and out.overlaps(value):
            unsupported(instruction, "its output shares memory with an input")


def same_or_apart(instruction: Instruction, out: Tensor, *inputs: Tensor) -> None:
    """An output may be an input, byte for byte, but must not overlap one in part."""
    for value in inputs:
        exactly = out.same_memory(value) and out.nbytes == value.nbytes
        if out.overlaps(value) and not exactly:
            unsupported(instruction, "its output overlaps an input in part")


def call(name: str, *arguments: Value | object, comment: str = "") -> list[KernelCall]:
    """One call of the kernel `mcu_<name>`; which files it needs, kernel_files.py finds."""
    declared = kernel(name)
    if len(arguments) != len(declared.parameters):
        raise ValueError(f"{len(arguments)} arguments for mcu_{name}({', '.join(declared.parameters)})")
    return [
        KernelCall(
            function=f"mcu_{name}",
            arguments=tuple(arguments),  # type: ignore[arg-type]
            header=declared.header,
            sources=kernel_sources(declared.header),
            comment=comment,
        )
    ]

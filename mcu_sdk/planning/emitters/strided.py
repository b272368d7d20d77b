"""Copies between walks over memory: what permutations, slices, expansions and concatenations come down to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from mcu_sdk.planning.emitters.broadcasting import MOST_AXES
from mcu_sdk.planning.emitters.checks import call
from mcu_sdk.planning.instruction import ConstantArray, Instruction, KernelCall, Pointer, Tensor
from mcu_sdk.planning.registry import unsupported


@dataclass(frozen=True)
class Walk:
    """Where the elements of a copy lie: `offset` and `strides` in elements of the tensor's memory."""

    tensor: Tensor
    strides: tuple[int, ...]
    offset: int = 0


def contiguous_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Row-major strides, in elements."""
    return tuple(prod(shape[axis + 1 :]) for axis in range(len(shape)))


def whole(tensor: Tensor) -> Walk:
    """All of a contiguous tensor, in its own shape."""
    return Walk(tensor, contiguous_strides(tensor.shape))


def axis_of(instruction: Instruction, axis: int, rank: int) -> int:
    """A dimension, counted from the end where negative, as 0 .. rank - 1 (a scalar counts as one axis)."""
    rank = max(rank, 1)
    if not -rank <= axis < rank:
        unsupported(instruction, f"axis {axis} is not one of {rank}")
    return axis % rank


def strided_copy(
    instruction: Instruction, shape: Sequence[int], source: Walk, target: Walk
) -> list[KernelCall]:
    """Copy `shape` elements from one walk to the other; nothing where both are the same bytes.

    Raises UnsupportedOperatorError when a walk leaves its tensor, types differ, or the two overlap.
    """
    if source.tensor.dtype is not target.tensor.dtype:
        unsupported(
            instruction, f"it copies {source.tensor.dtype!r} to {target.tensor.dtype!r} without converting"
        )
    if prod(shape) == 0:
        return []
    first, second = (_reached(instruction, shape, walk) for walk in (source, target))
    sizes, from_strides, to_strides = _joined(shape, source.strides, target.strides)
    size = source.tensor.dtype.size
    start, end = Pointer(source.tensor, source.offset * size), Pointer(target.tensor, target.offset * size)
    if sizes == [1] or (len(sizes) == 1 and from_strides == to_strides == [1]):
        if source.tensor.space is target.tensor.space and first[0] == second[0]:
            return []
        return call("copy", start, end, sizes[0] * size)
    if source.tensor.space is target.tensor.space and first[0] < second[1] and second[0] < first[1]:
        unsupported(instruction, "its output shares memory with an input")
    if len(sizes) > MOST_AXES:
        unsupported(instruction, f"more than {MOST_AXES} axes remain after joining")
    table = ConstantArray("int32_t", tuple(sizes + from_strides + to_strides))
    return call("strided_copy", start, end, table, len(sizes), size)


def _reached(instruction: Instruction, shape: Sequence[int], walk: Walk) -> tuple[int, int]:
    """The bytes of the tensor's space that a walk touches: (first, behind the last)."""
    low = high = walk.offset
    for size, stride in zip(shape, walk.strides, strict=True):
        low, high = low + min(stride, 0) * (size - 1), high + max(stride, 0) * (size - 1)
    if low < 0 or high >= walk.tensor.elements:
        unsupported(instruction, "it would reach outside a tensor: its shapes do not match")
    size = walk.tensor.dtype.size
    return walk.tensor.offset + low * size, walk.tensor.offset + (high + 1) * size


def _joined(
    shape: Sequence[int], first: Sequence[int], second: Sequence[int]
) -> tuple[list[int], list[int], list[int]]:
    """The same walks with as few axes as possible."""
    kept = [axis for axis in range(len(shape)) if shape[axis] != 1]
    if not kept:
        return [1], [1], [1]
    sizes: list[int] = []
    a: list[int] = []
    b: list[int] = []
    for axis in kept:
        size = shape[axis]
        if sizes and a[-1] == first[axis] * size and b[-1] == second[axis] * size:
            sizes[-1] *= size
            a[-1], b[-1] = first[axis], second[axis]
        else:
            sizes.append(size)
            a.append(first[axis])
            b.append(second[axis])
    return sizes, a, b

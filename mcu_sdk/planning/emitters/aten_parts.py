"""Emitters of the aten operators that take tensors apart or put them together: slices, selections, splits, cat, stack."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from mcu_sdk.planning.emitters.aten_layout import copy_all
from mcu_sdk.planning.emitters.checks import (
    count_is,
    integer,
    integers,
    is_contiguous,
    out_tensor,
    shape_is,
    tensor,
)
from mcu_sdk.planning.emitters.strided import Walk, axis_of, contiguous_strides, strided_copy, whole
from mcu_sdk.planning.instruction import Instruction, KernelCall, Tensor, Value
from mcu_sdk.planning.registry import emits, unsupported


def _part(tensor_: Tensor, axis: int, start: int, step: int = 1) -> Walk:
    """Every `step`-th slice along an axis, from `start` on."""
    strides = contiguous_strides(tensor_.shape)
    stepped = tuple(stride * (step if a == axis else 1) for a, stride in enumerate(strides))
    return Walk(tensor_, stepped, start * strides[axis] if strides else 0)


def _resized(shape: tuple[int, ...], axis: int, size: int) -> tuple[int, ...]:
    return (*shape[:axis], size, *shape[axis + 1 :])


def _bound(instruction: Instruction, index: int, size: int, default: int) -> int:
    if instruction.arguments[index] is None:
        return default
    value = integer(instruction, index)
    return min(max(value + size if value < 0 else value, 0), size)


@emits("aten::slice_copy")
def slice_copy(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, dim, start, end, step, out)."""
    count_is(instruction, 6)
    x, out, step = tensor(instruction, 0), out_tensor(instruction, 5), integer(instruction, 4)
    if not x.shape or step < 1:
        unsupported(instruction, "a tensor with axes and a step of at least 1 are wanted")
    axis = axis_of(instruction, integer(instruction, 1), len(x.shape))
    size = x.shape[axis]
    start, end = _bound(instruction, 2, size, 0), _bound(instruction, 3, size, size)
    count = max(0, -(-(end - start) // step))
    shape_is(instruction, out, "its output", *_resized(x.shape, axis, count))
    return strided_copy(instruction, out.shape, _part(x, axis, start, step), whole(out))


@emits("aten::slice_scatter")
def slice_scatter(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, source, dim, start, end, step, out)."""
    count_is(instruction, 7)
    x, source, out = tensor(instruction, 0), tensor(instruction, 1), out_tensor(instruction, 6)
    step = integer(instruction, 5)
    if not x.shape or step < 1:
        unsupported(instruction, "a tensor with axes and a step of at least 1 are wanted")
    axis = axis_of(instruction, integer(instruction, 2), len(x.shape))
    size = x.shape[axis]
    start, end = _bound(instruction, 3, size, 0), _bound(instruction, 4, size, size)
    shape_is(instruction, out, "its output", *x.shape)
    count = max(0, -(-(end - start) // step))
    shape_is(instruction, source, "its source", *_resized(x.shape, axis, count))
    _keep_source(instruction, source, out)
    return [
        *copy_all(instruction, x, out),
        *strided_copy(instruction, source.shape, whole(source), _part(out, axis, start, step)),
    ]


def _keep_source(instruction: Instruction, source: Tensor, out: Tensor) -> None:
    if out.overlaps(source):
        unsupported(instruction, "its output shares memory with its source")


@emits("aten::select_scatter")
def select_scatter(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, source, dim, index, out)."""
    count_is(instruction, 5)
    x, source, out = tensor(instruction, 0), tensor(instruction, 1), out_tensor(instruction, 4)
    axis, index = _selected(instruction, x, 2)
    shape_is(instruction, out, "its output", *x.shape)
    shape_is(instruction, source, "its source", *x.shape[:axis], *x.shape[axis + 1 :])
    _keep_source(instruction, source, out)
    shape = _resized(x.shape, axis, 1)
    return [
        *copy_all(instruction, x, out),
        *strided_copy(instruction, shape, Walk(source, contiguous_strides(shape)), _part(out, axis, index)),
    ]


def _selected(instruction: Instruction, x: Tensor, place: int) -> tuple[int, int]:
    """(axis, index) from the two arguments at `place`."""
    if not x.shape:
        unsupported(instruction, "it selects from a tensor without axes")
    axis, index = (
        axis_of(instruction, integer(instruction, place), len(x.shape)),
        integer(instruction, place + 1),
    )
    if not -x.shape[axis] <= index < x.shape[axis]:
        unsupported(instruction, f"index {index} is not one of {x.shape[axis]}")
    return axis, index % x.shape[axis]


@emits("aten::select_copy")
def select_copy(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, dim, index, out)."""
    count_is(instruction, 4)
    x, out = tensor(instruction, 0), out_tensor(instruction, 3)
    axis, index = _selected(instruction, x, 1)
    shape_is(instruction, out, "its output", *x.shape[:axis], *x.shape[axis + 1 :])
    shape = _resized(x.shape, axis, 1)
    return strided_copy(instruction, shape, _part(x, axis, index), Walk(out, contiguous_strides(shape)))


def tensors(instruction: Instruction, index: int) -> list[Tensor]:
    """A list of contiguous tensors."""
    value = instruction.arguments[index]
    if not isinstance(value, list) or not value:
        unsupported(instruction, f"argument {index} is no list of tensors")
    return [_listed(instruction, index, item) for item in value]


def _listed(instruction: Instruction, index: int, item: Value) -> Tensor:
    if not isinstance(item, Tensor) or not is_contiguous(item):
        unsupported(instruction, f"argument {index} holds what is no contiguous tensor")
    return item


def _pieces(
    instruction: Instruction, x: Tensor, axis: int, sizes: Sequence[int], outs: Sequence[Tensor]
) -> list[KernelCall]:
    """Neighbouring parts of x along an axis, each to an output of its own."""
    if len(sizes) != len(outs) or sum(sizes) != x.shape[axis] or any(size < 0 for size in sizes):
        unsupported(instruction, f"it splits {x.shape[axis]} into {list(sizes)} for {len(outs)} outputs")
    calls, start = [], 0
    for size, out in zip(sizes, outs, strict=True):
        if out.is_constant:
            unsupported(instruction, "an output is a constant")
        if out.overlaps(x):
            unsupported(instruction, "an output shares memory with its input")
        shape = _resized(x.shape, axis, size)
        if out.elements != prod(shape):
            unsupported(instruction, "an output's size does not match")
        calls += strided_copy(instruction, shape, _part(x, axis, start), Walk(out, contiguous_strides(shape)))
        start += size
    return calls


@emits("aten::split_with_sizes_copy")
def split_with_sizes_copy(instruction: Instruction) -> Sequence[KernelCall]:
    count_is(instruction, 4)
    x, sizes, outs = tensor(instruction, 0), integers(instruction, 1), tensors(instruction, 3)
    axis = _split_axis(instruction, x, 2)
    return _pieces(instruction, x, axis, sizes, outs)


def _split_axis(instruction: Instruction, x: Tensor, place: int) -> int:
    if not x.shape:
        unsupported(instruction, "it splits a tensor without axes")
    return axis_of(instruction, integer(instruction, place), len(x.shape))


@emits("aten::split_copy")
def split_copy(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, size, dim, outs): parts of `size`, the last one smaller where it does not divide."""
    count_is(instruction, 4)
    x, size, outs = tensor(instruction, 0), integer(instruction, 1), tensors(instruction, 3)
    axis = _split_axis(instruction, x, 2)
    if size < 1 or len(outs) != -(-x.shape[axis] // size):
        unsupported(instruction, f"it splits {x.shape[axis]} by {size} for {len(outs)} outputs")
    sizes = [min(size, x.shape[axis] - start) for start in range(0, x.shape[axis], size)]
    return _pieces(instruction, x, axis, sizes, outs)


@emits("aten::unbind_copy")
def unbind_copy(instruction: Instruction) -> Sequence[KernelCall]:
    count_is(instruction, 3)
    x, outs = tensor(instruction, 0), tensors(instruction, 2)
    axis = _split_axis(instruction, x, 1)
    return _pieces(instruction, x, axis, [1] * len(outs), outs)


@emits("aten::cat")
def cat(instruction: Instruction) -> Sequence[KernelCall]:
    count_is(instruction, 3)
    # An empty tensor of one axis joins with anything, as in PyTorch.
    parts = [part for part in tensors(instruction, 0) if part.shape != (0,)]
    out = out_tensor(instruction, 2)
    if not parts:
        return _nothing(instruction, out)
    axis = axis_of(instruction, integer(instruction, 1), len(parts[0].shape))
    if not parts[0].shape:
        unsupported(instruction, "it joins tensors without axes")
    if any(
        len(p.shape) != len(out.shape) or _resized(p.shape, axis, 1) != _resized(out.shape, axis, 1)
        for p in parts
    ):
        unsupported(instruction, "its shapes do not match")
    if sum(part.shape[axis] for part in parts) != out.shape[axis]:
        unsupported(instruction, "its output's size does not match")
    calls, start = [], 0
    for part in parts:
        if out.overlaps(part):
            unsupported(instruction, "its output shares memory with an input")
        calls += strided_copy(instruction, part.shape, whole(part), _part(out, axis, start))
        start += part.shape[axis]
    return calls


def _nothing(instruction: Instruction, out: Tensor) -> list[KernelCall]:
    if out.elements:
        unsupported(instruction, "its output's size does not match")
    return []


@emits("aten::stack")
def stack(instruction: Instruction) -> Sequence[KernelCall]:
    count_is(instruction, 3)
    parts, out = tensors(instruction, 0), out_tensor(instruction, 2)
    shape = parts[0].shape
    axis = axis_of(instruction, integer(instruction, 1), len(shape) + 1)
    shape_is(instruction, out, "its output", *shape[:axis], len(parts), *shape[axis:])
    calls = []
    for start, part in enumerate(parts):
        shape_is(instruction, part, "an input", *shape)
        if out.overlaps(part):
            unsupported(instruction, "its output shares memory with an input")
        piece = (*shape[:axis], 1, *shape[axis:])
        calls += strided_copy(
            instruction, piece, Walk(part, contiguous_strides(piece)), _part(out, axis, start)
        )
    return calls

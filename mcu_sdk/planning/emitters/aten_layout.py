"""Emitters of the aten operators that only move elements: views, permutations, slices, concatenations, padding."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from mcu_sdk.planning.emitters.aten_create import fill
from mcu_sdk.planning.emitters.broadcasting import strides_of
from mcu_sdk.planning.emitters.checks import (
    count_is,
    integer,
    integers,
    is_contiguous,
    number,
    out_tensor,
    same_elements,
    same_or_apart,
    shape_is,
    tensor,
)
from mcu_sdk.planning.emitters.strided import Walk, axis_of, contiguous_strides, strided_copy, whole
from mcu_sdk.planning.instruction import Instruction, KernelCall, Tensor, Value
from mcu_sdk.planning.registry import Emitter, emits, unsupported


def copy_all(instruction: Instruction, x: Tensor, out: Tensor) -> list[KernelCall]:
    """The elements in memory order, whatever the two shapes are."""
    count = same_elements(instruction, x, out)
    if x.dtype is out.dtype:
        same_or_apart(instruction, out, x)
    return strided_copy(instruction, (count,), Walk(x, (1,)), Walk(out, (1,)))


def tensor_in_any_order(instruction: Instruction, index: int) -> Tensor:
    """Argument `index` as a tensor, whatever the order of its dimensions in memory."""
    value = instruction.arguments[index]
    if not isinstance(value, Tensor):
        unsupported(instruction, f"argument {index} is no tensor")
    return value


def _view(arguments: int) -> Emitter:
    def emitter(instruction: Instruction) -> Sequence[KernelCall]:
        count_is(instruction, arguments)
        x, out = tensor_in_any_order(instruction, 0), tensor_in_any_order(instruction, arguments - 1)
        if out.is_constant:
            unsupported(instruction, "its output is a constant")
        if x.dim_order != out.dim_order or x.shape != out.shape:  # then only row-major bytes keep their order
            tensor(instruction, 0)
            tensor(instruction, arguments - 1)
        return copy_all(instruction, x, out)

    return emitter


for _name, _arguments in (
    ("view_copy", 3),
    ("reshape", 3),
    ("_unsafe_view", 3),
    ("unsqueeze_copy", 3),
    ("alias_copy", 2),
    ("detach_copy", 2),
    ("lift_fresh_copy", 2),
    ("clone", 3),
):
    emits(f"aten::{_name}")(_view(_arguments))
emits("dim_order_ops::_clone_dim_order")(_view(4))


@emits("aten::squeeze_copy")
def squeeze_copy(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, out), (x, dim, out) or (x, dims, out)."""
    count_is(instruction, 2, 3)
    return copy_all(
        instruction, tensor(instruction, 0), out_tensor(instruction, len(instruction.arguments) - 1)
    )


def permuted(instruction: Instruction, x: Tensor, axes: Sequence[int], out: Tensor) -> list[KernelCall]:
    """Axis i of the output is axis axes[i] of x."""
    rank = len(x.shape)
    order = [axis_of(instruction, axis, rank) for axis in axes]
    if sorted(order) != list(range(rank)):
        unsupported(instruction, f"{list(axes)} is no permutation of {rank} axes")
    shape_is(instruction, out, "its output", *(x.shape[axis] for axis in order))
    strides = contiguous_strides(x.shape)
    return strided_copy(instruction, out.shape, Walk(x, tuple(strides[axis] for axis in order)), whole(out))


@emits("aten::permute_copy")
def permute_copy(instruction: Instruction) -> Sequence[KernelCall]:
    count_is(instruction, 3)
    return permuted(instruction, tensor(instruction, 0), integers(instruction, 1), out_tensor(instruction, 2))


@emits("aten::transpose_copy", "aten::t_copy")
def transpose_copy(instruction: Instruction) -> Sequence[KernelCall]:
    """transpose_copy (x, dim0, dim1, out); t_copy (x, out)."""
    count_is(instruction, 2, 4)
    x, out = tensor(instruction, 0), out_tensor(instruction, len(instruction.arguments) - 1)
    axes = list(range(len(x.shape)))
    if len(instruction.arguments) == 4:
        first, second = (axis_of(instruction, integer(instruction, i), len(axes)) for i in (1, 2))
        if axes:
            axes[first], axes[second] = axes[second], axes[first]
    elif len(axes) > 2:
        unsupported(instruction, "it transposes more than two axes")
    else:
        axes.reverse()
    return permuted(instruction, x, axes, out)


def expanded(instruction: Instruction, x: Tensor, out: Tensor) -> list[KernelCall]:
    """x broadcast to the output's shape."""
    strides = strides_of(instruction, x.shape, out.shape)
    return strided_copy(instruction, out.shape, Walk(x, tuple(strides)), whole(out))


@emits("aten::expand_copy")
def expand_copy(instruction: Instruction) -> Sequence[KernelCall]:
    count_is(instruction, 4)
    return expanded(instruction, tensor(instruction, 0), out_tensor(instruction, 3))


@emits("aten::repeat")
def repeat(instruction: Instruction) -> Sequence[KernelCall]:
    count_is(instruction, 3)
    x, repeats, out = tensor(instruction, 0), integers(instruction, 1), out_tensor(instruction, 2)
    if len(repeats) < len(x.shape) or any(times < 0 for times in repeats):
        unsupported(instruction, f"{repeats} does not repeat {len(x.shape)} axes")
    inner = (1,) * (len(repeats) - len(x.shape)) + x.shape
    shape_is(instruction, out, "its output", *(t * size for t, size in zip(repeats, inner, strict=True)))
    shape, source = [], []
    for times, size, stride in zip(repeats, inner, contiguous_strides(inner), strict=True):
        shape += [times, size]
        source += [0, stride]
    return strided_copy(instruction, shape, Walk(x, tuple(source)), Walk(out, contiguous_strides(shape)))


@emits("aten::flip")
def flip(instruction: Instruction) -> Sequence[KernelCall]:
    count_is(instruction, 3)
    x, out = tensor(instruction, 0), out_tensor(instruction, 2)
    shape_is(instruction, out, "its output", *x.shape)
    if x.elements == 0:
        return []
    strides, offset = list(contiguous_strides(x.shape)), 0
    for axis in {axis_of(instruction, axis, len(x.shape)) for axis in integers(instruction, 1)}:
        if x.shape:
            offset += (x.shape[axis] - 1) * strides[axis]
            strides[axis] = -strides[axis]
    return strided_copy(instruction, x.shape, Walk(x, tuple(strides), offset), whole(out))


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


def padded(
    instruction: Instruction,
    x: Tensor,
    before: Sequence[int],
    after: Sequence[int],
    value: Value,
    out: Tensor,
) -> list[KernelCall]:
    """x with `value` around it; negative amounts, which cut off, are refused."""
    if min([*before, *after], default=0) < 0:
        unsupported(instruction, "it pads by a negative amount")
    sizes = [b + size + a for b, size, a in zip(before, x.shape, after, strict=True)]
    shape_is(instruction, out, "its output", *sizes)
    if sizes == list(x.shape):
        return copy_all(instruction, x, out)
    if out.overlaps(x):
        unsupported(instruction, "its output shares memory with its input")
    strides = contiguous_strides(out.shape)
    offset = sum(b * stride for b, stride in zip(before, strides, strict=True))
    return [
        *fill(instruction, value, out),
        *strided_copy(instruction, x.shape, whole(x), Walk(out, strides, offset)),
    ]


@emits("aten::constant_pad_nd")
def constant_pad_nd(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, [last before, last after, last but one before, ...], value, out)."""
    count_is(instruction, 4)
    x, pads, out = tensor(instruction, 0), integers(instruction, 1), out_tensor(instruction, 3)
    if not isinstance(instruction.arguments[2], bool):
        number(instruction, 2)
    if len(pads) % 2 or len(pads) > 2 * len(x.shape):
        unsupported(instruction, f"{len(pads)} amounts do not pad {len(x.shape)} axes")
    unpadded = [0] * (len(x.shape) - len(pads) // 2)
    before, after = unpadded + pads[-2::-2], unpadded + pads[::-2]
    return padded(instruction, x, before, after, instruction.arguments[2], out)

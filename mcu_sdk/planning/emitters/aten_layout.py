"""Emitters of the aten operators that only move elements: views, permutations, padding."""

from __future__ import annotations

from collections.abc import Sequence

from mcu_sdk.planning.emitters.aten_create import fill
from mcu_sdk.planning.emitters.broadcasting import strides_of
from mcu_sdk.planning.emitters.checks import (
    count_is,
    integer,
    integers,
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

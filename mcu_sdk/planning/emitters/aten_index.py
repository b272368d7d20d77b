"""Emitters of the aten operators whose indices are known only at run time; kernels check each one."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from mcu_sdk.planning.emitters.aten_create import constant
from mcu_sdk.planning.emitters.aten_layout import copy_all
from mcu_sdk.planning.emitters.checks import (
    apart,
    boolean,
    call,
    count_is,
    integer,
    is_contiguous,
    number,
    out_tensor,
    same_elements,
    shape_is,
    tensor,
)
from mcu_sdk.planning.emitters.strided import axis_of
from mcu_sdk.planning.instruction import DType, Instruction, KernelCall, Tensor
from mcu_sdk.planning.registry import emits, unsupported

S64 = DType.S64


def _take(instruction: Instruction, x: Tensor, axis: int, index: Tensor, out: Tensor) -> list[KernelCall]:
    """out[..., i.., ...] = x[..., index[i..], ...]."""
    if not x.shape:
        unsupported(instruction, "it indexes a tensor without axes")
    if x.dtype is not out.dtype:
        unsupported(instruction, f"its output is {out.dtype!r}, its input {x.dtype!r}")
    outer, rows, inner = prod(x.shape[:axis]), x.shape[axis], prod(x.shape[axis + 1 :])
    if out.elements != outer * index.elements * inner:
        unsupported(instruction, "its output's size does not match")
    if out.elements == 0:
        return []
    apart(instruction, out, x, index)
    return call("take_rows", x, index, out, outer, rows, index.elements, inner * x.dtype.size)


@emits("aten::embedding")
def embedding(instruction: Instruction) -> Sequence[KernelCall]:
    """(weight, indices, padding_idx, scale_grad_by_freq, sparse, out); the options are about gradients."""
    count_is(instruction, 6)
    weight, index, out = tensor(instruction, 0), tensor(instruction, 1, S64), out_tensor(instruction, 5)
    if len(weight.shape) != 2:
        unsupported(instruction, "the table has to have two axes")
    if weight.dtype is not DType.F32:
        return _take(instruction, weight, 0, index, out)
    vocabulary, n = weight.shape
    if out.dtype is not DType.F32 or out.elements != index.elements * n:
        unsupported(instruction, "the output does not have one row of float32 for each id")
    apart(instruction, out, weight, index)
    return call("embedding_f32", weight, index, out, index.elements, vocabulary, n)


@emits("aten::index_select")
def index_select(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, dim, index, out)."""
    count_is(instruction, 4)
    x, index, out = tensor(instruction, 0), tensor(instruction, 2, S64), out_tensor(instruction, 3)
    return _take(instruction, x, axis_of(instruction, integer(instruction, 1), len(x.shape)), index, out)


def _one_index(instruction: Instruction, x: Tensor) -> tuple[int, Tensor]:
    """(axis, index) from a list of indices that are None but for one."""
    indices = instruction.arguments[1]
    if not isinstance(indices, list) or len(indices) > len(x.shape):
        unsupported(instruction, f"argument 1 is no list of at most {len(x.shape)} indices")
    given = [(axis, index) for axis, index in enumerate(indices) if index is not None]
    if len(given) != 1:
        unsupported(instruction, f"it has {len(given)} index tensors; one is supported")
    axis, index = given[0]
    if not isinstance(index, Tensor) or index.dtype is not S64 or not is_contiguous(index):
        unsupported(instruction, "its index is no contiguous tensor of s64")
    return axis, index


@emits("aten::index")
def index_(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, [None, ..., index], out)."""
    count_is(instruction, 3)
    x, out = tensor(instruction, 0), out_tensor(instruction, 2)
    axis, index = _one_index(instruction, x)
    return _take(instruction, x, axis, index, out)


def _put(
    instruction: Instruction, x: Tensor, axis: int, index: Tensor, source: Tensor, out: Tensor
) -> list[KernelCall]:
    """A copy of x (nothing, where `out` is x) with rows along an axis replaced."""
    if not x.shape:
        unsupported(instruction, "it indexes a tensor without axes")
    if source.dtype is not out.dtype:
        unsupported(instruction, f"it puts {source.dtype!r} into {out.dtype!r}")
    shape_is(instruction, out, "its output", *x.shape)
    outer, rows, inner = prod(x.shape[:axis]), x.shape[axis], prod(x.shape[axis + 1 :])
    if source.elements != outer * index.elements * inner:
        unsupported(instruction, "its source's size does not match: broadcasting is not supported here")
    apart(instruction, out, source, index)
    copied = copy_all(instruction, x, out)
    if source.elements == 0:
        return copied
    size = inner * out.dtype.size
    return [*copied, *call("put_rows", source, index, out, outer, rows, index.elements, size)]


@emits("aten::index_put", "aten::index_put_")
def index_put(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, [None, ..., index], values, accumulate, out); without out in place."""
    in_place = instruction.in_place
    count_is(instruction, 4 if in_place else 5)
    x, values = tensor(instruction, 0), tensor(instruction, 2)
    out = out_tensor(instruction, 0 if in_place else 4)
    if boolean(instruction, 3):
        unsupported(instruction, "it accumulates")
    axis, index = _one_index(instruction, x)
    return _put(instruction, x, axis, index, values, out)


@emits("aten::index_copy", "aten::index_copy_")
def index_copy(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, dim, index, source, out); without out in place."""
    in_place = instruction.in_place
    count_is(instruction, 4 if in_place else 5)
    x, index, source = tensor(instruction, 0), tensor(instruction, 2, S64), tensor(instruction, 3)
    out = out_tensor(instruction, 0 if in_place else 4)
    axis = axis_of(instruction, integer(instruction, 1), len(x.shape))
    return _put(instruction, x, axis, index, source, out)


@emits("aten::gather")
def gather(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, dim, index, sparse_grad, out)."""
    count_is(instruction, 5)
    x, index, out = tensor(instruction, 0), tensor(instruction, 2, S64), out_tensor(instruction, 4)
    axis = axis_of(instruction, integer(instruction, 1), len(x.shape))
    if x.dtype is not out.dtype or not x.shape:
        unsupported(instruction, "its output is of another type than its input, or that has no axes")
    if index.shape[:axis] + index.shape[axis + 1 :] != x.shape[:axis] + x.shape[axis + 1 :]:
        unsupported(instruction, "its index differs from its input in more than the axis it runs along")
    if same_elements(instruction, index, out) == 0:
        return []
    apart(instruction, out, x, index)
    outer, inner = prod(x.shape[:axis]), prod(x.shape[axis + 1 :])
    return call("gather", x, index, out, outer, x.shape[axis], index.shape[axis], inner, x.dtype.size)


@emits("aten::scatter")
def scatter(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, dim, index, value, out): of a number; of a tensor there is no kernel."""
    count_is(instruction, 5)
    x, index, out = tensor(instruction, 0), tensor(instruction, 2, S64), out_tensor(instruction, 4)
    axis = axis_of(instruction, integer(instruction, 1), len(x.shape))
    value = constant(instruction, out.dtype, [number(instruction, 3)])
    same_axes = len(index.shape) == len(x.shape) > 0
    if not same_axes or index.shape[:axis] + index.shape[axis + 1 :] != x.shape[:axis] + x.shape[axis + 1 :]:
        unsupported(instruction, "its index differs from its input in more than the axis it runs along")
    shape_is(instruction, out, "its output", *x.shape)
    apart(instruction, out, index)
    copied = copy_all(instruction, x, out)
    if index.elements == 0:
        return copied
    outer, inner = prod(x.shape[:axis]), prod(x.shape[axis + 1 :])
    sizes = outer, x.shape[axis], index.shape[axis], inner, out.dtype.size
    return [*copied, *call("scatter_value", value, index, out, *sizes)]

"""Emitters of aten operators along one axis or several neighbouring ones: sums, extrema, softmax, LayerNorm."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from mcu_sdk.planning.emitters.aten_convert import converted
from mcu_sdk.planning.emitters.checks import (
    apart,
    boolean,
    call,
    count_is,
    integer,
    integers,
    number,
    optional_tensor,
    out_tensor,
    rows_of,
    same_elements,
    same_or_apart,
    shape_is,
    tensor,
)
from mcu_sdk.planning.emitters.strided import axis_of
from mcu_sdk.planning.instruction import DType, Instruction, KernelCall, Tensor
from mcu_sdk.planning.registry import Emitter, emits, unsupported

F32, S64, BOOL = DType.F32, DType.S64, DType.BOOL


def _axes(instruction: Instruction, x: Tensor, index: int | None) -> list[int]:
    """The axes in argument `index`: one, a list, or all where it is None or an empty list."""
    rank = max(len(x.shape), 1)
    value = None if index is None else instruction.arguments[index]
    if index is None or value is None or value == []:
        return list(range(rank))
    given = integers(instruction, index) if isinstance(value, list) else [integer(instruction, index)]
    return sorted({axis_of(instruction, axis, len(x.shape)) for axis in given})


def _split(instruction: Instruction, x: Tensor, axes: Sequence[int], out: Tensor) -> tuple[int, int, int]:
    """(outer, count, inner): x as [outer][count][inner], the middle being reduced; axes of one element are free."""
    shape = x.shape or (1,)
    axes = [axis for axis in axes if shape[axis] != 1]
    if not axes:
        outer, count, inner = x.elements, 1, 1
    else:
        between = range(axes[0], axes[-1] + 1)
        if any(shape[axis] != 1 and axis not in axes for axis in between):
            unsupported(instruction, f"it reduces the axes {axes}, which are not neighbours")
        outer, count, inner = (
            prod(shape[: axes[0]]),
            prod(shape[axis] for axis in between),
            prod(shape[axes[-1] + 1 :]),
        )
    if count < 1 or out.elements != outer * inner:
        unsupported(instruction, "its output's size does not match")
    return outer, count, inner


def _reduce(
    instruction: Instruction, name: str, x: Tensor, dim: int | None, out: Tensor, *more: object
) -> list[KernelCall]:
    """`mcu_<name>(x, out, outer, count, inner, more...)`."""
    outer, count, inner = _split(instruction, x, _axes(instruction, x, dim), out)
    apart(instruction, out, x)
    return call(name, x, out, outer, count, inner, *more) if out.elements else []


@emits("aten::mean")
def mean(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, dim, keepdim, dtype, out), or (x, dtype, out) over all."""
    count_is(instruction, 3, 5)
    x, out = tensor(instruction, 0, F32), out_tensor(instruction, len(instruction.arguments) - 1, F32)
    dim = 1 if len(instruction.arguments) == 5 else None
    _, count, _ = _split(instruction, x, _axes(instruction, x, dim), out)
    return _reduce(instruction, "mean_f32", x, dim, out, float(count))


@emits("aten::sum")
def sum_(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, dim, keepdim, dtype, out)."""
    count_is(instruction, 5)
    x = tensor(instruction, 0, F32, S64)
    out = out_tensor(instruction, 4, x.dtype)
    if x.dtype is S64:
        return _reduce(instruction, "sum_s64", x, 1, out)
    return _reduce(instruction, "mean_f32", x, 1, out, 1.0)


@emits("aten::amax", "aten::amin")
def amax(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, dims, keepdim, out)."""
    count_is(instruction, 4)
    x, out = tensor(instruction, 0, F32), out_tensor(instruction, 3, F32)
    return _reduce(instruction, f"{instruction.operator.split('::')[1]}_f32", x, 1, out)


@emits("aten::argmax")
def argmax(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, dim or None, keepdim, out)."""
    count_is(instruction, 4)
    x, out = tensor(instruction, 0, F32), out_tensor(instruction, 3, S64)
    if isinstance(instruction.arguments[1], list):
        unsupported(instruction, "argument 1 is a list")
    return _reduce(instruction, "argmax_f32", x, 1, out)


@emits("aten::topk")
def topk(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, k, dim, largest, sorted, values, indices); the greatest come in order, whether that is asked or not."""
    count_is(instruction, 7)
    x, k = tensor(instruction, 0, F32), integer(instruction, 1)
    values, indices = out_tensor(instruction, 5, F32), out_tensor(instruction, 6, S64)
    axis = axis_of(instruction, integer(instruction, 2), len(x.shape))
    rows, n = rows_of(instruction, x)
    if axis != len(x.shape) - 1 or not boolean(instruction, 3):
        unsupported(instruction, "it asks for something else than the greatest along the last axis")
    if not 1 <= k <= n or not values.elements == indices.elements == rows * k:
        unsupported(instruction, "its outputs' sizes do not match")
    apart(instruction, values, x, indices)
    apart(instruction, indices, x)
    return call("topk_f32", x, values, indices, rows, n, k)


@emits("aten::any", "aten::all")
def any_(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, dim or dims, keepdim, out), or (x, out) over all."""
    count_is(instruction, 2, 4)
    x = tensor(instruction, 0, BOOL)
    out = out_tensor(instruction, len(instruction.arguments) - 1, BOOL)
    dim = 1 if len(instruction.arguments) == 4 else None
    return _reduce(instruction, f"{instruction.operator.split('::')[1]}_bool", x, dim, out)


@emits("aten::cumsum")
def cumsum(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, dim, dtype, out): narrower integers and booleans are summed as int64, as PyTorch does."""
    count_is(instruction, 4)
    x = tensor(instruction, 0, F32, S64, DType.S32, BOOL)
    out = out_tensor(instruction, 3, x.dtype if x.dtype in (F32, S64) else S64)
    axis = axis_of(instruction, integer(instruction, 1), len(x.shape))
    same_elements(instruction, x, out)
    same_or_apart(instruction, out, x)
    shape = x.shape or (1,)
    if not x.elements:
        return []
    sizes = prod(shape[:axis]), shape[axis], prod(shape[axis + 1 :])
    if x.dtype is not out.dtype:
        return [*converted(instruction, x, out), *call("cumsum_s64", out, out, *sizes)]
    return call(f"cumsum_{x.dtype!r}", x, out, *sizes)


def _along_rows(name: str) -> Emitter:
    """_softmax and _log_softmax: (x, dim, half_to_float, out)."""

    def emitter(instruction: Instruction) -> Sequence[KernelCall]:
        count_is(instruction, 4)
        x, out = tensor(instruction, 0, F32), out_tensor(instruction, 3, F32)
        axis = axis_of(instruction, integer(instruction, 1), len(x.shape))
        if boolean(instruction, 2):
            unsupported(instruction, "it asks for a conversion from half precision")
        rows, n = rows_of(instruction, x)
        if axis != len(x.shape) - 1:
            unsupported(instruction, f"it runs along axis {axis}, which is not the last")
        same_elements(instruction, x, out)
        same_or_apart(instruction, out, x)
        return call(name, x, out, rows, n)

    return emitter


emits("aten::_softmax")(_along_rows("softmax_f32"))
emits("aten::_log_softmax")(_along_rows("log_softmax_f32"))


@emits("aten::native_layer_norm")
def native_layer_norm(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, normalized_shape, weight, bias, eps, out, mean, 1 / deviation)."""
    count_is(instruction, 8)
    x, out, mean_, root = tensor(instruction, 0, F32), *(out_tensor(instruction, i, F32) for i in (5, 6, 7))
    weight, bias = optional_tensor(instruction, 2, F32), optional_tensor(instruction, 3, F32)
    normalized = tuple(integers(instruction, 1))
    n = prod(normalized)
    if not normalized or n < 1 or x.shape[len(x.shape) - len(normalized) :] != normalized:
        unsupported(instruction, f"{list(normalized)} are not the last axes of its input")
    for what, value in (("the weight", weight), ("the bias", bias)):
        if value is not None:
            shape_is(instruction, value, what, *normalized)
    same_elements(instruction, x, out)
    rows = x.elements // n
    if not mean_.elements == root.elements == rows:
        unsupported(instruction, "its outputs' sizes do not match")
    same_or_apart(instruction, out, x)
    apart(instruction, out, weight, bias)
    apart(instruction, mean_, x, weight, bias, out)
    apart(instruction, root, x, weight, bias, out, mean_)
    return call("native_layer_norm", x, weight, bias, out, mean_, root, rows, n, number(instruction, 4))

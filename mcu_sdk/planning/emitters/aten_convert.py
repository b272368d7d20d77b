"""Emitters of copies between tensors that may differ in type."""

from __future__ import annotations

from collections.abc import Sequence

from mcu_sdk.planning.emitters.aten_layout import copy_all, expanded
from mcu_sdk.planning.emitters.checks import (
    apart,
    call,
    count_is,
    out_tensor,
    same_elements,
    shape_is,
    tensor,
)
from mcu_sdk.planning.instruction import DType, Instruction, KernelCall, Tensor
from mcu_sdk.planning.registry import emits, unsupported

KINDS = (DType.U8, DType.S8, DType.S16, DType.S32, DType.S64, DType.F16, DType.F32, DType.BOOL)
"""In the order of McuKind in firmware/kernels/elementwise/convert.h."""


def converted(instruction: Instruction, x: Tensor, out: Tensor) -> list[KernelCall]:
    """All elements of x in the output's type."""
    if x.dtype is out.dtype:
        return copy_all(instruction, x, out)
    if x.dtype not in KINDS or out.dtype not in KINDS or out.dtype is DType.F16:
        unsupported(instruction, f"there is no kernel that makes {out.dtype!r} of {x.dtype!r}")
    count = same_elements(instruction, x, out)
    apart(instruction, out, x)
    return call(f"convert_{out.dtype!r}", x, out, count, KINDS.index(x.dtype))


@emits("dim_order_ops::_to_dim_order_copy", "aten::_to_copy")
def to_copy(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, non_blocking, dim order or memory format, out): the type is the output's."""
    count_is(instruction, 4)
    return converted(instruction, tensor(instruction, 0), out_tensor(instruction, 3))


def _copied(instruction: Instruction, source: Tensor, out: Tensor) -> list[KernelCall]:
    """`source` broadcast to `out`, in its type."""
    if source.dtype is out.dtype:
        return expanded(instruction, source, out)
    if source.elements != out.elements:
        unsupported(instruction, "it converts and broadcasts at the same time")
    return converted(instruction, source, out)


@emits("aten::copy")
def copy(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, source, non_blocking, out): x gives no more than shape and type."""
    count_is(instruction, 4)
    x, source, out = tensor(instruction, 0), tensor(instruction, 1), out_tensor(instruction, 3)
    shape_is(instruction, out, "its output", *x.shape)
    return _copied(instruction, source, out)


@emits("aten::copy_")
def copy_(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, source, non_blocking): x is written."""
    count_is(instruction, 3)
    return _copied(instruction, tensor(instruction, 1), out_tensor(instruction, 0))

"""Emitters of what moves data without computing: copies and views of a whole tensor, rows of a float table, and the
step between float32 and int8 at a quantized model's edges."""

from __future__ import annotations

from collections.abc import Sequence

from mcu_sdk.compiler.instruction import DType, Instruction, KernelCall, Tensor
from mcu_sdk.compiler.kernels.checks import (
    apart,
    call,
    count_is,
    integer,
    number,
    out_tensor,
    same_elements,
    same_or_apart,
    tensor,
)
from mcu_sdk.compiler.kernels.mcu_ops import inverse_scale, zero_point_of
from mcu_sdk.compiler.registry import emits, unsupported

_ARGUMENTS = {
    "aten::alias_copy": 2,
    "aten::clone": 3,
    "aten::detach_copy": 2,
    "aten::lift_fresh_copy": 2,
    "aten::squeeze_copy": 3,
    "aten::unsqueeze_copy": 3,
    "aten::view_copy": 3,
    "dim_order_ops::_clone_dim_order": 4,
    "executorch_prim::et_view": 3,
}
"""Operators whose result has the bytes of argument 0, and how many arguments they have, the out tensor included."""


@emits(*_ARGUMENTS)
def copy(instruction: Instruction) -> Sequence[KernelCall]:
    """The same bytes under another shape; nothing to do where out is the input.

    et_view repeats no return value in a .pte, so that its out tensor, at the input's place, may have been cut off.
    """
    if instruction.operator == "executorch_prim::et_view" and len(instruction.arguments) == 2:
        return []
    if instruction.operator == "aten::squeeze_copy" and instruction.overload == "out":
        count_is(instruction, 2)  # the overload without axes
    else:
        count_is(instruction, _ARGUMENTS[instruction.operator])
    x, out = _source(instruction), instruction.arguments[-1]
    if not isinstance(out, Tensor):
        unsupported(instruction, "its output is no tensor")
    if out.is_constant:
        unsupported(instruction, "its output is a constant")
    if out.dtype is not x.dtype or out.elements != x.elements:
        unsupported(instruction, "its output has another type or size than its input")
    same_layout = out.dim_order == x.dim_order and out.shape == x.shape
    if not same_layout:  # then only row-major bytes keep their order
        tensor(instruction, 0)
        out_tensor(instruction, len(instruction.arguments) - 1)
    same_or_apart(instruction, out, x)
    if out.same_memory(x) or out.nbytes == 0:
        return []
    return call("copy", x, out, out.nbytes)


def _source(instruction: Instruction) -> Tensor:
    value = instruction.arguments[0]
    if not isinstance(value, Tensor):
        unsupported(instruction, "argument 0 is no tensor")
    return value


@emits("aten::embedding")
def embedding(instruction: Instruction) -> Sequence[KernelCall]:
    """Arguments 2 to 4 (padding_idx and two about gradients) do not change the values."""
    count_is(instruction, 6)
    weight, ids = tensor(instruction, 0, DType.F32), tensor(instruction, 1, DType.S64)
    out = out_tensor(instruction, 5, DType.F32)
    if len(weight.shape) != 2:
        unsupported(instruction, "the table has to have two axes")
    vocabulary, n = weight.shape
    if out.elements != ids.elements * n:
        unsupported(instruction, "the output does not have one row for each id")
    apart(instruction, out, weight, ids)
    return call("embedding_f32", weight, ids, out, ids.elements, vocabulary, n)


_INT8 = 1
"""ExecuTorch's number of int8 as a ScalarType."""


def _int8_limits(instruction: Instruction) -> tuple[int, int]:
    """quant_min and quant_max; refuses a dtype argument other than int8."""
    if instruction.arguments[5] not in (None, _INT8) or isinstance(instruction.arguments[5], bool):
        unsupported(instruction, f"its quantized type is number {instruction.arguments[5]!r}, not int8")
    low, high = integer(instruction, 3), integer(instruction, 4)
    if not -128 <= low <= high <= 127:
        unsupported(instruction, f"its limits are {low} and {high}, not a range of int8")
    return low, high


@emits("cortex_m::quantize_per_tensor", "quantized_decomposed::quantize_per_tensor")
def quantize_per_tensor(instruction: Instruction) -> Sequence[KernelCall]:
    """clamp(rint(x * (1 / scale)) + zero_point, quant_min, quant_max)."""
    count_is(instruction, 7)
    x, out = tensor(instruction, 0, DType.F32), out_tensor(instruction, 6, DType.S8)
    low, high = _int8_limits(instruction)
    count = same_elements(instruction, x, out)
    apart(instruction, out, x)
    return call(
        "quantize", x, out, count, inverse_scale(instruction, 1), zero_point_of(instruction, 2), low, high
    )


@emits("cortex_m::dequantize_per_tensor", "quantized_decomposed::dequantize_per_tensor")
def dequantize_per_tensor(instruction: Instruction) -> Sequence[KernelCall]:
    """(q - zero_point) * scale. quantized_decomposed's has one argument more, the type that comes out."""
    own = instruction.operator.startswith("cortex_m")
    count_is(instruction, 7 if own else 8)
    q, out = tensor(instruction, 0, DType.S8), out_tensor(instruction, 6 if own else 7, DType.F32)
    _int8_limits(instruction)
    count = same_elements(instruction, q, out)
    apart(instruction, out, q)
    return call("dequantize", q, out, count, number(instruction, 1), zero_point_of(instruction, 2))

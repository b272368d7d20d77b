"""Emitters of float and integer arithmetic from aten: what is left where no pattern fused."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from mcu_sdk.compiler.instruction import DType, Instruction, KernelCall, Tensor
from mcu_sdk.compiler.kernels.broadcasting import broadcast_table
from mcu_sdk.compiler.kernels.checks import (
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
from mcu_sdk.compiler.registry import Emitter, emits, unsupported

F32, S64, BOOL = DType.F32, DType.S64, DType.BOOL


def _binary(instruction: Instruction, name: str, out: Tensor, kinds: Sequence[DType]) -> Sequence[KernelCall]:
    """out = first op second, both tensors of one type, by the kernel <name>_<type>."""
    first, second = tensor(instruction, 0, *kinds), tensor(instruction, 1, *kinds)
    if first.dtype is not second.dtype:
        unsupported(instruction, f"its operands are {first.dtype!r} and {second.dtype!r}")
    table, axes = broadcast_table(instruction, out, first, second)
    for operand in (first, second):
        if operand.shape == out.shape or operand.elements == out.elements:
            same_or_apart(instruction, out, operand)
        else:
            apart(instruction, out, operand)
    kind = "" if first.dtype is BOOL else f"_{first.dtype!r}"
    return call(f"{name}{kind}", first, second, out, table, axes)


def _arithmetic(instruction: Instruction, name: str, alpha_index: int | None) -> Sequence[KernelCall]:
    out_index = 2 if alpha_index is None else 3
    count_is(instruction, out_index + 1)
    if alpha_index is not None and number(instruction, alpha_index) != 1:
        unsupported(instruction, "alpha is not 1")
    out = out_tensor(instruction, out_index, F32, S64)
    if tensor(instruction, 0).dtype is not out.dtype:
        unsupported(instruction, "its output is of another type than its operands")
    return _binary(instruction, name, out, (F32, S64) if name != "div" else (F32,))


@emits("aten::add")
def add(instruction: Instruction) -> Sequence[KernelCall]:
    return _arithmetic(instruction, "add", 2)


@emits("aten::sub")
def sub(instruction: Instruction) -> Sequence[KernelCall]:
    return _arithmetic(instruction, "sub", 2)


@emits("aten::mul")
def mul(instruction: Instruction) -> Sequence[KernelCall]:
    return _arithmetic(instruction, "mul", None)


@emits("aten::div")
def div(instruction: Instruction) -> Sequence[KernelCall]:
    return _arithmetic(instruction, "div", None)


def _float_binary(name: str) -> Emitter:
    def emitter(instruction: Instruction) -> Sequence[KernelCall]:
        count_is(instruction, 3)
        return _binary(instruction, name, out_tensor(instruction, 2, F32), (F32,))

    return emitter


def _comparison(name: str) -> Emitter:
    def emitter(instruction: Instruction) -> Sequence[KernelCall]:
        count_is(instruction, 3)
        return _binary(instruction, name, out_tensor(instruction, 2, BOOL), (F32, S64))

    return emitter


def _logical(name: str) -> Emitter:
    def emitter(instruction: Instruction) -> Sequence[KernelCall]:
        count_is(instruction, 3)
        return _binary(instruction, name, out_tensor(instruction, 2, BOOL), (BOOL,))

    return emitter


def _unary(name: str, dtype: DType = F32, arguments: int = 2) -> Emitter:
    def emitter(instruction: Instruction) -> Sequence[KernelCall]:
        count_is(instruction, arguments)
        x, out = tensor(instruction, 0, dtype), out_tensor(instruction, arguments - 1, dtype)
        count = same_elements(instruction, x, out)
        same_or_apart(instruction, out, x)
        return call(name, x, out, count)

    return emitter


for _name in ("minimum", "maximum"):
    emits(f"aten::{_name}")(_float_binary(_name))
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    emits(f"aten::{_name}")(_comparison(_name))
for _name, _kernel in (
    ("logical_and", "logical_and"),
    ("logical_or", "logical_or"),
    ("logical_xor", "logical_xor"),
    ("bitwise_and", "logical_and"),
    ("bitwise_or", "logical_or"),
    ("bitwise_xor", "logical_xor"),
):
    emits(f"aten::{_name}")(_logical(_kernel))
for _name in ("neg", "abs", "exp", "rsqrt", "sqrt", "reciprocal", "sigmoid", "tanh", "sin", "cos"):
    emits(f"aten::{_name}")(_unary(f"{_name}_f32"))
for _name in ("logical_not", "bitwise_not"):
    emits(f"aten::{_name}")(_unary("logical_not", BOOL))
emits("aten::silu")(_unary("silu"))


@emits("aten::pow")
def pow_(instruction: Instruction) -> Sequence[KernelCall]:
    """A tensor to a constant power: 2, 3, 0.5, -0.5 and -1."""
    count_is(instruction, 3)
    x, out = tensor(instruction, 0, F32), out_tensor(instruction, 2, F32)
    exponent = number(instruction, 1)
    kernels = {2.0: "square", 3.0: "cube", 0.5: "sqrt", -0.5: "rsqrt", -1.0: "reciprocal"}
    if exponent not in kernels:
        unsupported(instruction, f"there is no kernel for the power {exponent}")
    count = same_elements(instruction, x, out)
    same_or_apart(instruction, out, x)
    return call(f"{kernels[exponent]}_f32", x, out, count)


def _clamp(instruction: Instruction, low: float, high: float, out_index: int) -> Sequence[KernelCall]:
    x, out = tensor(instruction, 0, F32), out_tensor(instruction, out_index, F32)
    count = same_elements(instruction, x, out)
    same_or_apart(instruction, out, x)
    return call("clamp_f32", x, out, count, low, high)


@emits("aten::relu")
def relu(instruction: Instruction) -> Sequence[KernelCall]:
    count_is(instruction, 2)
    return _clamp(instruction, 0.0, float("inf"), 1)


@emits("aten::hardtanh")
def hardtanh(instruction: Instruction) -> Sequence[KernelCall]:
    count_is(instruction, 4)
    return _clamp(instruction, number(instruction, 1), number(instruction, 2), 3)


@emits("aten::clamp")
def clamp(instruction: Instruction) -> Sequence[KernelCall]:
    count_is(instruction, 4)
    low, high = (
        default if instruction.arguments[index] is None else number(instruction, index)
        for index, default in ((1, float("-inf")), (2, float("inf")))
    )
    return _clamp(instruction, low, high, 3)


@emits("aten::gelu")
def gelu(instruction: Instruction) -> Sequence[KernelCall]:
    count_is(instruction, 3)
    x, out = tensor(instruction, 0, F32), out_tensor(instruction, 2, F32)
    form = instruction.arguments[1]
    if form not in ("none", "tanh"):
        unsupported(instruction, f"its approximation {form!r} is not known")
    count = same_elements(instruction, x, out)
    same_or_apart(instruction, out, x)
    return call("gelu_tanh" if form == "tanh" else "gelu_erf", x, out, count)


def _axis(instruction: Instruction, axis: int, rank: int) -> int:
    if not -max(rank, 1) <= axis < max(rank, 1):
        unsupported(instruction, f"axis {axis} is not one of {rank}")
    return axis % max(rank, 1)


def _reduce(instruction: Instruction, mean: bool) -> Sequence[KernelCall]:
    """mean.dim / sum.dim_IntList over neighbouring axes of x: (x, dim, keepdim, dtype, out)."""
    count_is(instruction, 5)
    x, out = tensor(instruction, 0, F32), out_tensor(instruction, 4, F32)
    boolean(instruction, 2)
    rank = len(x.shape)
    if instruction.arguments[1] is None:
        axes = list(range(rank))
    else:
        axes = sorted({_axis(instruction, axis, rank) for axis in integers(instruction, 1)})
    if not axes or axes != list(range(axes[0], axes[-1] + 1)):
        unsupported(instruction, f"it reduces the axes {axes}, which are not neighbours")
    outer, inner = prod(x.shape[: axes[0]]), prod(x.shape[axes[-1] + 1 :])
    count = prod(x.shape[axes[0] : axes[-1] + 1])
    if count < 1 or out.elements != outer * inner:
        unsupported(instruction, "its output's size does not match")
    apart(instruction, out, x)
    return call("mean_f32", x, out, outer, count, inner, float(count) if mean else 1.0)


@emits("aten::mean")
def mean(instruction: Instruction) -> Sequence[KernelCall]:
    return _reduce(instruction, mean=True)


@emits("aten::sum")
def sum_(instruction: Instruction) -> Sequence[KernelCall]:
    return _reduce(instruction, mean=False)


@emits("aten::_softmax")
def softmax(instruction: Instruction) -> Sequence[KernelCall]:
    count_is(instruction, 4)
    x, out = tensor(instruction, 0, F32), out_tensor(instruction, 3, F32)
    axis = _axis(instruction, integer(instruction, 1), len(x.shape))
    if boolean(instruction, 2):
        unsupported(instruction, "it asks for a conversion from half precision")
    rows, n = rows_of(instruction, x)
    if axis != len(x.shape) - 1:
        unsupported(instruction, f"it runs along axis {axis}, which is not the last")
    same_elements(instruction, x, out)
    same_or_apart(instruction, out, x)
    return call("softmax_f32", x, out, rows, n)


@emits("aten::native_layer_norm")
def native_layer_norm(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, normalized_shape, weight, bias, eps, out, mean, rstd): mean and rstd are not computed."""
    count_is(instruction, 8)
    x, out = tensor(instruction, 0, F32), out_tensor(instruction, 5, F32)
    weight, bias = optional_tensor(instruction, 2, F32), optional_tensor(instruction, 3, F32)
    rows, n = rows_of(instruction, x)
    if integers(instruction, 1) != [n]:
        unsupported(instruction, "it normalizes more than the last axis")
    if weight is None or bias is None:
        unsupported(instruction, "it has no weight or no bias")
    shape_is(instruction, weight, "the weight", n)
    shape_is(instruction, bias, "the bias", n)
    same_elements(instruction, x, out)
    same_or_apart(instruction, out, x)
    apart(instruction, out, weight, bias)
    return call("layer_norm", x, weight, bias, out, rows, n, number(instruction, 4))


def _matmul(
    instruction: Instruction,
    a: Tensor,
    b: Tensor,
    bias: Tensor | None,
    out: Tensor,
    sizes: tuple[int, int, int, int],
    transposed: bool,
) -> Sequence[KernelCall]:
    """sizes are batch, m, k, n; b has a batch of its own when it has three axes."""
    batch, m, k, n = sizes
    stride = k * n if len(b.shape) == 3 and b.shape[0] > 1 else 0
    if min(sizes) < 1 or out.elements != batch * m * n or a.elements != batch * m * k:
        unsupported(instruction, "its shapes do not match")
    if b.elements != (batch if stride else 1) * k * n:
        unsupported(instruction, "its shapes do not match")
    if bias is not None:
        shape_is(instruction, bias, "the bias", n)
    apart(instruction, out, a, b, bias)
    return call("matmul_f32", a, b, bias, out, batch, m, k, n, stride, transposed)


@emits("aten::mm")
def mm(instruction: Instruction) -> Sequence[KernelCall]:
    count_is(instruction, 3)
    a, b, out = tensor(instruction, 0, F32), tensor(instruction, 1, F32), out_tensor(instruction, 2, F32)
    if len(a.shape) != 2 or len(b.shape) != 2 or a.shape[1] != b.shape[0]:
        unsupported(instruction, "its shapes do not match")
    return _matmul(instruction, a, b, None, out, (1, a.shape[0], a.shape[1], b.shape[1]), False)


@emits("aten::bmm")
def bmm(instruction: Instruction) -> Sequence[KernelCall]:
    count_is(instruction, 3)
    a, b, out = tensor(instruction, 0, F32), tensor(instruction, 1, F32), out_tensor(instruction, 2, F32)
    if len(a.shape) != 3 or len(b.shape) != 3 or a.shape[0] != b.shape[0] or a.shape[2] != b.shape[1]:
        unsupported(instruction, "its shapes do not match")
    return _matmul(instruction, a, b, None, out, (a.shape[0], a.shape[1], a.shape[2], b.shape[2]), False)


@emits("aten::addmm")
def addmm(instruction: Instruction) -> Sequence[KernelCall]:
    """(bias, a, b, beta, alpha, out)."""
    count_is(instruction, 6)
    bias, a, b = (tensor(instruction, i, F32) for i in range(3))
    if number(instruction, 3) != 1 or number(instruction, 4) != 1:
        unsupported(instruction, "beta or alpha is not 1")
    if len(a.shape) != 2 or len(b.shape) != 2 or a.shape[1] != b.shape[0]:
        unsupported(instruction, "its shapes do not match")
    out = out_tensor(instruction, 5, F32)
    return _matmul(instruction, a, b, bias, out, (1, a.shape[0], a.shape[1], b.shape[1]), False)


@emits("aten::linear")
def linear(instruction: Instruction) -> Sequence[KernelCall]:
    """x[..., k], weight[n, k], bias[n] or None."""
    count_is(instruction, 4)
    x, weight = tensor(instruction, 0, F32), tensor(instruction, 1, F32)
    bias, out = optional_tensor(instruction, 2, F32), out_tensor(instruction, 3, F32)
    rows, k = rows_of(instruction, x)
    if len(weight.shape) != 2 or weight.shape[1] != k:
        unsupported(instruction, "its shapes do not match")
    return _matmul(instruction, x, weight, bias, out, (1, rows, k, weight.shape[0]), True)


@emits("aten::where")
def where(instruction: Instruction) -> Sequence[KernelCall]:
    count_is(instruction, 4)
    condition = tensor(instruction, 0, BOOL)
    first, second, out = (
        tensor(instruction, 1, F32),
        tensor(instruction, 2, F32),
        out_tensor(instruction, 3, F32),
    )
    table, axes = broadcast_table(instruction, out, condition, first, second)
    apart(instruction, out, condition)
    for operand in (first, second):
        if operand.elements == out.elements:
            same_or_apart(instruction, out, operand)
        else:
            apart(instruction, out, operand)
    return call("where_f32", condition, first, second, out, table, axes)

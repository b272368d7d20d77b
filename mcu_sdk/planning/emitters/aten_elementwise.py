"""Emitters of elementwise aten operators; operands broadcast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mcu_sdk.planning.emitters.aten_create import constant
from mcu_sdk.planning.emitters.broadcasting import broadcast_shapes
from mcu_sdk.planning.emitters.checks import (
    apart,
    call,
    count_is,
    number,
    out_tensor,
    same_elements,
    same_or_apart,
    tensor,
)
from mcu_sdk.planning.emitters.memory_order import elementwise
from mcu_sdk.planning.instruction import ConstantArray, DType, Instruction, KernelCall, Tensor
from mcu_sdk.planning.registry import Emitter, emits, unsupported

F32, S64, S32, S8, BOOL = DType.F32, DType.S64, DType.S32, DType.S8, DType.BOOL
LARGEST_FOLDED = 64
"""Elements of a constant that is worth a second copy in another type."""


@dataclass(frozen=True)
class Operand:
    """What a kernel reads: a tensor, or a table that stands for a number or a converted constant."""

    argument: Tensor | ConstantArray
    shape: tuple[int, ...]


def operand(instruction: Instruction, index: int, dtype: DType) -> Operand:
    """Argument `index` as `dtype`: a tensor of it, a number, or a small constant tensor of another type."""
    value = instruction.arguments[index]
    if isinstance(value, (bool, int, float)):
        return Operand(constant(instruction, dtype, [value]), ())
    x = tensor(instruction, index)
    if x.dtype is dtype:
        return Operand(x, x.shape)
    if x.data is None or x.elements > LARGEST_FOLDED or x.dtype not in _NUMPY:
        unsupported(instruction, f"argument {index} is {x.dtype!r} where the kernel takes {dtype!r}")
    return Operand(constant(instruction, dtype, _values(x)), x.shape)


_NUMPY = {F32: "<f4", S64: "<i8", S32: "<i4", S8: "i1", DType.U8: "u1", DType.S16: "<i2", DType.F64: "<f8"}


def _values(x: Tensor) -> list[float | int]:
    import numpy as np

    assert x.data is not None
    values: list[float | int] = np.frombuffer(x.data, _NUMPY[x.dtype], x.elements).tolist()
    return values


def broadcast_call(
    instruction: Instruction, name: str, out: Tensor, operands: Sequence[Operand], *more: object
) -> list[KernelCall]:
    """`mcu_<name>(operands..., out, table, axes, more...)`; nothing for an empty output."""
    table, axes = broadcast_shapes(instruction, out.shape, *(o.shape for o in operands))
    for value in operands:
        if isinstance(value.argument, Tensor):
            same_size = value.argument.nbytes == out.nbytes and value.argument.elements == out.elements
            (same_or_apart if same_size else apart)(instruction, out, value.argument)
    if out.elements == 0:
        return []
    return call(name, *(o.argument for o in operands), out, table, axes, *more)


def _common(instruction: Instruction, indices: Sequence[int]) -> DType:
    """The type to compute in: float32 if any operand is, else that of the first tensor."""
    values = [instruction.arguments[i] for i in indices]
    dtypes = [value.dtype for value in values if isinstance(value, Tensor)]
    if not dtypes:
        unsupported(instruction, "none of its operands is a tensor")
    if F32 in dtypes or any(isinstance(value, float) for value in values):
        return F32
    # A scalar tensor does not decide the type where another tensor of the same sort has axes.
    with_axes = [value.dtype for value in values if isinstance(value, Tensor) and value.shape]
    return (with_axes or dtypes)[0]


def _binary(instruction: Instruction, name: str, out: Tensor, kinds: Sequence[DType]) -> list[KernelCall]:
    """out = first op second by the kernel <name>_<type>."""
    kind = _common(instruction, (0, 1))
    if kind not in kinds:
        unsupported(instruction, f"there is no kernel of it for {kind!r}")
    operands = [operand(instruction, i, kind) for i in (0, 1)]
    return broadcast_call(instruction, f"{name}_{kind!r}", out, operands)


def _same_kind(instruction: Instruction, out: Tensor) -> None:
    if _common(instruction, (0, 1)) is not out.dtype:
        unsupported(instruction, f"its output {out.dtype!r} is of another type than its operands")


def _scaled(instruction: Instruction, name: str, x: int, y: int) -> list[KernelCall]:
    """out = argument x op alpha * argument y, for (first, second, alpha, out)."""
    count_is(instruction, 4)
    out = out_tensor(instruction, 3, F32, S64, S32)
    _same_kind(instruction, out)
    alpha = number(instruction, 2)
    first, second = operand(instruction, x, out.dtype), operand(instruction, y, out.dtype)
    calls: list[KernelCall] = []
    if alpha != 1:
        # The product goes to the output first, so the other operand must not lie there.
        if isinstance(first.argument, Tensor):
            apart(instruction, out, first.argument)
        factor = Operand(constant(instruction, out.dtype, [alpha]), ())
        calls = broadcast_call(instruction, f"mul_{out.dtype!r}", out, (second, factor))
        second = Operand(out, out.shape)
    return [*calls, *broadcast_call(instruction, f"{name}_{out.dtype!r}", out, (first, second))]


@emits("aten::add")
@elementwise
def add(instruction: Instruction) -> Sequence[KernelCall]:
    return _scaled(instruction, "add", 0, 1)


@emits("aten::sub")
@elementwise
def sub(instruction: Instruction) -> Sequence[KernelCall]:
    return _scaled(instruction, "sub", 0, 1)


@emits("aten::rsub")
@elementwise
def rsub(instruction: Instruction) -> Sequence[KernelCall]:
    return _scaled(instruction, "sub", 1, 0)


@emits("aten::mul")
@elementwise
def mul(instruction: Instruction) -> Sequence[KernelCall]:
    count_is(instruction, 3)
    out = out_tensor(instruction, 2, F32, S64, S32)
    _same_kind(instruction, out)
    return _binary(instruction, "mul", out, (out.dtype,))


@emits("aten::div")
@elementwise
def div(instruction: Instruction) -> Sequence[KernelCall]:
    """(first, second, out) or (first, second, rounding mode, out), in float32."""
    count_is(instruction, 3, 4)
    out = out_tensor(instruction, len(instruction.arguments) - 1, F32)
    mode = instruction.arguments[2] if len(instruction.arguments) == 4 else None
    kernels = {None: "div", "trunc": "div_trunc", "floor": "div_floor"}
    if not (mode is None or isinstance(mode, str)) or mode not in kernels:
        unsupported(instruction, f"its rounding mode {mode!r} is not known")
    _same_kind(instruction, out)
    return _binary(instruction, kernels[mode], out, (F32,))


@emits("aten::minimum", "aten::maximum", "cortex_m::minimum", "cortex_m::maximum")
@elementwise
def extremum(instruction: Instruction) -> Sequence[KernelCall]:
    count_is(instruction, 3)
    out = out_tensor(instruction, 2, F32, S64, S32, S8)
    _same_kind(instruction, out)
    return _binary(instruction, instruction.operator.split("::")[1], out, (out.dtype,))


def _comparison(name: str) -> Emitter:
    def emitter(instruction: Instruction) -> Sequence[KernelCall]:
        count_is(instruction, 3)
        return _binary(instruction, name, out_tensor(instruction, 2, BOOL), (F32, S64, S32))

    return emitter


def _logical(name: str) -> Emitter:
    def emitter(instruction: Instruction) -> Sequence[KernelCall]:
        count_is(instruction, 3)
        out, operands = out_tensor(instruction, 2, BOOL), [operand(instruction, i, BOOL) for i in (0, 1)]
        return broadcast_call(instruction, name, out, operands)

    return emitter


def unary(instruction: Instruction, name: str, *more: object, out_index: int = 1) -> list[KernelCall]:
    """`mcu_<name>(x, out, count, more...)`, the output being of x's type."""
    x = tensor(instruction, 0)
    out = out_tensor(instruction, out_index, x.dtype)
    count = same_elements(instruction, x, out)
    same_or_apart(instruction, out, x)
    return call(name, x, out, count, *more) if count else []


def _unary(name: str, *kinds: DType) -> Emitter:
    def emitter(instruction: Instruction) -> Sequence[KernelCall]:
        count_is(instruction, 2)
        kind = tensor(instruction, 0, *kinds).dtype
        return unary(instruction, name if kind is BOOL else f"{name}_{kind!r}")

    return emitter


def _test(name: str) -> Emitter:
    def emitter(instruction: Instruction) -> Sequence[KernelCall]:
        count_is(instruction, 2)
        x, out = tensor(instruction, 0, F32), out_tensor(instruction, 1, BOOL)
        count = same_elements(instruction, x, out)
        apart(instruction, out, x)
        return call(f"{name}_f32", x, out, count) if count else []

    return emitter


for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    emits(f"aten::{_name}")(elementwise(_comparison(_name)))
for _name in ("and", "or", "xor"):
    emits(f"aten::logical_{_name}", f"aten::bitwise_{_name}")(elementwise(_logical(f"logical_{_name}")))
emits("aten::logical_not", "aten::bitwise_not")(elementwise(_unary("logical_not", BOOL)))
for _name in [
    "exp",
    "log",
    "rsqrt",
    "sqrt",
    "reciprocal",
    "sigmoid",
    "tanh",
    "sin",
    "cos",
    "erf",
    "floor",
    "ceil",
    "trunc",
    "round",
    "sign",
]:
    emits(f"aten::{_name}")(elementwise(_unary(_name, F32)))
for _name in ("hardswish", "hardsigmoid"):
    emits(f"aten::{_name}")(elementwise(_unary(_name, F32)))
emits("aten::neg")(elementwise(_unary("neg", F32, S64, S32)))
emits("aten::abs")(elementwise(_unary("abs", F32, S64)))
for _name in ("isnan", "isinf"):
    emits(f"aten::{_name}")(elementwise(_test(_name)))


@emits("aten::silu")
@elementwise
def silu(instruction: Instruction) -> Sequence[KernelCall]:
    count_is(instruction, 2)
    tensor(instruction, 0, F32)
    return unary(instruction, "silu")


@emits("aten::gelu")
@elementwise
def gelu(instruction: Instruction) -> Sequence[KernelCall]:
    count_is(instruction, 3)
    tensor(instruction, 0, F32)
    form = instruction.arguments[1]
    if form not in ("none", "tanh"):
        unsupported(instruction, f"its approximation {form!r} is not known")
    return unary(instruction, "gelu_tanh" if form == "tanh" else "gelu_erf", out_index=2)


@emits("aten::leaky_relu")
@elementwise
def leaky_relu(instruction: Instruction) -> Sequence[KernelCall]:
    count_is(instruction, 3)
    tensor(instruction, 0, F32)
    return unary(instruction, "leaky_relu_f32", _as_float32(number(instruction, 1)), out_index=2)


@emits("aten::pow")
@elementwise
def pow_(instruction: Instruction) -> Sequence[KernelCall]:
    """A tensor to a constant power: 0.5, -0.5, -1 or a positive integer."""
    count_is(instruction, 3)
    tensor(instruction, 0, F32)
    exponent = number(instruction, 1)
    kernels = {1.0: "power", 2.0: "square", 3.0: "cube", 0.5: "sqrt", -0.5: "rsqrt", -1.0: "reciprocal"}
    if exponent in kernels and exponent != 1:
        return unary(instruction, f"{kernels[exponent]}_f32", out_index=2)
    if not exponent.is_integer() or not 1 <= exponent <= 1024:
        unsupported(instruction, f"there is no kernel for the power {exponent}")
    return unary(instruction, "power_f32", int(exponent), out_index=2)


def _as_float32(value: float) -> float:
    import numpy as np

    with np.errstate(over="ignore"):
        return float(np.float32(value))


def _clamp(
    instruction: Instruction, low: float | None, high: float | None, out_index: int
) -> list[KernelCall]:
    """Limits are in the tensor's own type: for int8 they are quantized values."""
    x = tensor(instruction, 0, F32, S8, S32, S64)
    if x.dtype is F32:
        limits = (float("-inf") if low is None else low, float("inf") if high is None else high)
        return unary(instruction, "clamp_f32", *map(_as_float32, limits), out_index=out_index)
    least, most = -(2 ** (8 * x.dtype.size - 1)), 2 ** (8 * x.dtype.size - 1) - 1
    whole = []
    for limit, default in ((low, least), (high, most)):
        if limit is not None and not float(limit).is_integer():
            unsupported(instruction, f"the limit {limit} is no {x.dtype!r}")
        whole.append(default if limit is None else min(max(int(limit), least), most))
    return unary(instruction, f"clamp_{x.dtype!r}", *whole, out_index=out_index)


@emits("aten::relu")
@elementwise
def relu(instruction: Instruction) -> Sequence[KernelCall]:
    count_is(instruction, 2)
    return _clamp(instruction, 0, None, 1)


@emits("aten::hardtanh")
@elementwise
def hardtanh(instruction: Instruction) -> Sequence[KernelCall]:
    count_is(instruction, 4)
    return _clamp(instruction, number(instruction, 1), number(instruction, 2), 3)


@emits("aten::clamp")
@elementwise
def clamp(instruction: Instruction) -> Sequence[KernelCall]:
    count_is(instruction, 4)
    if isinstance(instruction.arguments[1], Tensor) or isinstance(instruction.arguments[2], Tensor):
        unsupported(instruction, "its limits are tensors")
    low, high = (None if instruction.arguments[i] is None else number(instruction, i) for i in (1, 2))
    return _clamp(instruction, low, high, 3)


def _where(
    instruction: Instruction, condition: int, first: Operand, second: Operand, out: Tensor
) -> list[KernelCall]:
    choice = tensor(instruction, condition, BOOL)
    apart(instruction, out, choice)
    operands = (Operand(choice, choice.shape), first, second)
    return broadcast_call(instruction, f"where_{out.dtype!r}", out, operands)


@emits("aten::where")
@elementwise
def where(instruction: Instruction) -> Sequence[KernelCall]:
    count_is(instruction, 4)
    out = out_tensor(instruction, 3, F32, S64, S32, S8)
    first, second = (operand(instruction, i, out.dtype) for i in (1, 2))
    return _where(instruction, 0, first, second, out)


@emits("aten::masked_fill")
@elementwise
def masked_fill(instruction: Instruction) -> Sequence[KernelCall]:
    """(x, mask, value, out)."""
    count_is(instruction, 4)
    out = out_tensor(instruction, 3, F32, S64, S32, S8)
    if isinstance(instruction.arguments[2], Tensor) and instruction.arguments[2].elements != 1:
        unsupported(instruction, "its value has more than one element")
    value, x = operand(instruction, 2, out.dtype), operand(instruction, 0, out.dtype)
    return _where(instruction, 1, Operand(value.argument, ()), x, out)

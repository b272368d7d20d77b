"""Emitters of float32 matrix products from aten."""

from __future__ import annotations

from collections.abc import Sequence

from mcu_sdk.planning.emitters.checks import (
    apart,
    call,
    count_is,
    number,
    optional_tensor,
    out_tensor,
    rows_of,
    tensor,
)
from mcu_sdk.planning.instruction import DType, Instruction, KernelCall, Tensor
from mcu_sdk.planning.registry import emits, unsupported

F32 = DType.F32


def _matmul(
    instruction: Instruction,
    a: Tensor,
    b: Tensor,
    bias: Tensor | None,
    out: Tensor,
    sizes: tuple[int, int, int, int],
    transposed: bool,
) -> list[KernelCall]:
    """sizes are batch, m, k, n; b has a batch of its own when it has three axes."""
    batch, m, k, n = sizes
    stride = k * n if len(b.shape) == 3 and b.shape[0] > 1 else 0
    if min(sizes) < 1 or out.elements != batch * m * n or a.elements != batch * m * k:
        unsupported(instruction, "its shapes do not match")
    if b.elements != (batch if stride else 1) * k * n:
        unsupported(instruction, "its shapes do not match")
    if bias is not None and (bias.elements != n or bias.shape[-1:] != (n,)):
        unsupported(instruction, f"the bias has the shape {list(bias.shape)} where [{n}] is wanted")
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

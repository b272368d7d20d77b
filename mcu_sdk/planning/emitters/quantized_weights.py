"""Emitters of ExecuTorch's quantized kernels that take int8 weights and float32 activations."""

from __future__ import annotations

from collections.abc import Sequence

from mcu_sdk.planning.emitters.checks import apart, call, count_is, out_tensor, shape_is, tensor
from mcu_sdk.planning.emitters.mcu_linear import embedding_call
from mcu_sdk.planning.instruction import DType, Instruction, KernelCall
from mcu_sdk.planning.registry import emits, unsupported

S8, S64, F32 = DType.S8, DType.S64, DType.F32


def _without_zero_points(instruction: Instruction, index: int) -> None:
    if instruction.arguments[index] is not None:
        unsupported(instruction, "its weights have zero points; int8 around 0 is supported")


def _float32_alone(instruction: Instruction, index: int) -> None:
    """An output type that is given has to be float32, ExecuTorch's number 6."""
    if instruction.arguments[index] not in (None, 6):
        unsupported(instruction, f"its output type is number {instruction.arguments[index]!r}, not float32")


@emits("quantized_decomposed::mixed_linear")
def mixed_linear(instruction: Instruction) -> Sequence[KernelCall]:
    """(x[m, k], weight[n, k], scales[n], zero points, dtype, out[m, n])."""
    count_is(instruction, 6)
    x, weight, scale = tensor(instruction, 0, F32), tensor(instruction, 1, S8), tensor(instruction, 2, F32)
    out = out_tensor(instruction, 5, F32)
    _without_zero_points(instruction, 3)
    _float32_alone(instruction, 4)
    if len(x.shape) != 2 or len(weight.shape) != 2 or x.shape[1] != weight.shape[1]:
        unsupported(instruction, "its shapes do not match")
    (m, k), n = x.shape, weight.shape[0]
    shape_is(instruction, scale, "the scale", n)
    shape_is(instruction, out, "the output", m, n)
    apart(instruction, out, x, weight, scale)
    return call("linear_f32_s8", x, weight, scale, out, m, k, n)


@emits("quantized_decomposed::embedding_byte")
def embedding_byte(instruction: Instruction) -> Sequence[KernelCall]:
    """(weight[v, n], scales[v], zero points, low, high, ids, [dtype,] out); the limits are about how it was quantized."""
    count_is(instruction, 7, 8)
    weight, scale, ids = tensor(instruction, 0, S8), tensor(instruction, 1, F32), tensor(instruction, 5, S64)
    out = out_tensor(instruction, len(instruction.arguments) - 1, F32)
    _without_zero_points(instruction, 2)
    if len(instruction.arguments) == 8:
        _float32_alone(instruction, 6)
    return embedding_call(instruction, weight, scale, ids, out)

"""A bound in real numbers that a lowering left on int8 numbers, whose zero is elsewhere.

ExecuTorch's Cortex-M passes turn relu, hardtanh and clamp of quantized tensors into clamps between quantized bounds, but
do not see (as of 1.5.1) that what comes from a division is int8. What they leave then compares quantized numbers with the
real bound: max(q, 0) where max(q, zero point) is meant. The file says so, and so would every runtime compute; it is not
what the model computes.
"""

from __future__ import annotations

from mcu_sdk.planning.instruction import DType, Instruction, Space, Tensor
from mcu_sdk.planning.operands import tensors_in
from mcu_sdk.planning.pte.read import Pte
from mcu_sdk.planning.registry import unsupported

_BOUNDED = {"aten::relu", "aten::hardtanh"}
"""Their bounds are real numbers; the bounds of an int8 clamp are quantized ones."""

_ZERO_POINT = {
    "cortex_m::quantize_per_tensor": 2,
    "quantized_decomposed::quantize_per_tensor": 2,
    "cortex_m::quantized_div": 4,
}
"""The argument with the zero point of the result."""

_QUANTIZING = ("cortex_m::", "quantized_decomposed::")
"""Namespaces whose int8 results are quantized."""

_Place = tuple[Space, int]


def check_quantized_bounds(pte: Pte) -> None:
    """Raises UnsupportedOperatorError for a relu or hardtanh of int8 numbers that stand for others.

    Zero points are followed from where a value is quantized, through whatever only moves it. int8 numbers that nothing
    has quantized are what they are.
    """
    points: dict[_Place, int | None] = {}  # of what is quantized; None: it is not known how
    for instruction, written in zip(pte.instructions, pte.writes, strict=True):
        read = [_place(value) for value in _read(instruction, len(written)) if value.dtype is DType.S8]
        quantized = next((place for place in read if place in points), None)
        point = None if quantized is None else points[quantized]
        if quantized is not None and instruction.operator in _BOUNDED:
            _check(instruction, point)
        for tensor in written:
            points.pop(_place(tensor), None)
            if tensor.dtype is not DType.S8:
                continue
            if instruction.operator.startswith(_QUANTIZING):
                points[_place(tensor)] = _stated(instruction)
            elif quantized is not None:
                points[_place(tensor)] = point


def _check(instruction: Instruction, point: int | None) -> None:
    if instruction.operator == "aten::relu" and point == 0:
        return  # 0 is where it belongs, whatever the scale
    shown = "is not known" if point is None else f"is {point}"
    unsupported(
        instruction,
        f"it compares quantized numbers, whose zero point {shown}, with a bound in real numbers; ExecuTorch's quantizer "
        "leaves it so behind a division, and the result would not be the model's",
        hint="Keep the division in float32 when quantizing, or write the activation before it.",
    )


def _read(instruction: Instruction, written: int) -> list[Tensor]:
    """The tensors that an instruction reads; what it writes comes last."""
    tensors = tensors_in(instruction.arguments)
    return tensors if instruction.in_place else tensors[: len(tensors) - written]


def _stated(instruction: Instruction) -> int | None:
    """The zero point of a quantizing instruction's result, where it is known which argument that is."""
    position = _ZERO_POINT.get(instruction.operator)
    if position is None or position >= len(instruction.arguments):
        return None
    value = instruction.arguments[position]
    return value if isinstance(value, int) else None


def _place(tensor: Tensor) -> _Place:
    return tensor.space, tensor.offset

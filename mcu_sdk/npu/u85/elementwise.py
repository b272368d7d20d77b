"""A U85's elementwise operations of one or two operands; either is broadcast where it is smaller."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from mcu_sdk.npu.bits import (
    leading_zeros,
    shift_left,
    shift_right_down,
    shift_right_half_up,
    shift_right_logical,
)
from mcu_sdk.npu.memory_access import Region
from mcu_sdk.npu.tables import Internal
from mcu_sdk.npu.u85.finish import Finish, Source, scaler
from mcu_sdk.npu.u85.operations import Elementwise, ElementwiseOperation, InputScale, Operand, Rounding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]

_Load = Callable[[Region, Internal], Any]
_Compute = Callable[[Any, Any], Any]
_ONE = (1, 0, 0)
_ON_BITS = {
    Elementwise.CLZ,
    Elementwise.SHR,
    Elementwise.SHL,
    Elementwise.LSR,
    Elementwise.AND,
    Elementwise.OR,
    Elementwise.XOR,
    Elementwise.NOT,
    Elementwise.AND_NOT,
}
"""No operand is scaled, and zero points are not taken off."""


def prepare_elementwise(operation: ElementwiseOperation) -> Callable[[Region, Internal], None]:
    """The operation as a function. Raises ValueError for what is not simulated."""
    if operation.mode not in _FUNCTIONS:
        raise ValueError(f"{operation.mode.name} is not simulated")
    compute = _FUNCTIONS[operation.mode](operation)
    on_bits = operation.mode in _ON_BITS
    scale = operation.output.scale
    if scale is None:
        raise ValueError(f"{operation.mode.name} with a scale for each channel is not simulated")
    if on_bits and (scale.scale, scale.shift) != (1, 0):
        raise ValueError(f"{operation.mode.name} with a scale is not simulated")
    last = None if on_bits else scaler(scale.scale, scale.shift, operation.output.rounding)
    finish = Finish(operation.output, last)
    first = _operand(operation.first, on_bits)
    second = None if operation.second is None else _operand(operation.second, on_bits)

    def run(regions: Region, internal: Internal) -> None:
        a = first(regions, internal)
        b = None if second is None else second(regions, internal)
        result: Integers = np.broadcast_to(compute(a, b), operation.output.shape)
        finish(regions, internal, result)

    return run


def _operand(operand: Operand, on_bits: bool) -> _Load:
    """The operand as it goes into the operation: without its zero point, scaled."""
    scale = operand.scale
    zero_point = 0 if on_bits else operand.zero_point
    is_scaled = (scale.scale, scale.shift, scale.double_round) != _ONE
    if is_scaled and on_bits:
        raise ValueError("a scaled operand of an operation on bits is not simulated")
    scaled = _input_scaler(scale)
    if isinstance(operand.value, int):
        number = scaled(np.full((1, 1, 1), operand.value - zero_point, np.int64))
        return lambda regions, internal: number
    source = Source(operand.value)

    def load(regions: Region, internal: Internal) -> Any:
        values = source.load(regions, internal)
        return scaled(values - zero_point if zero_point else values)

    return load


def _input_scaler(scale: InputScale) -> Callable[[Any], Any]:
    if scale.double_round:
        raise ValueError(f"operands rounded twice (dbl_rnd {scale.double_round}) are not simulated")
    return scaler(scale.scale, scale.shift, scale.rounding)


def _shift_right(operation: ElementwiseOperation) -> _Compute:
    """NATURAL rounds halves up, TRUNCATE_TO_LOWER rounds down."""
    rounding = operation.output.rounding
    if rounding is Rounding.NATURAL:
        return shift_right_half_up
    if rounding is Rounding.TRUNCATE_TO_LOWER:
        return shift_right_down
    raise ValueError(f"SHR with the rounding {rounding.name} is not simulated")


def _divide(a: Any, b: Any) -> Any:
    """Towards zero."""
    if not np.all(b):
        raise ValueError("a division by zero is not simulated")
    return np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))


def _of_32_bits(function: _Compute) -> Callable[[ElementwiseOperation], _Compute]:
    def checked(operation: ElementwiseOperation) -> _Compute:
        if operation.first.type.bits != 32 or operation.output.ofm.type.bits != 32:
            raise ValueError(f"{operation.mode.name} of anything but 32 bits is not simulated")
        return function

    return checked


def _comparison(function: _Compute) -> Callable[[ElementwiseOperation], _Compute]:
    """True has all bits set."""
    return lambda operation: lambda a, b: -function(a, b).astype(np.int64)


_FUNCTIONS: dict[Elementwise, Callable[[ElementwiseOperation], _Compute]] = {
    Elementwise.MUL: lambda operation: np.multiply,
    Elementwise.ADD: lambda operation: np.add,
    Elementwise.SUB: lambda operation: np.subtract,
    Elementwise.MIN: lambda operation: np.minimum,
    Elementwise.MAX: lambda operation: np.maximum,
    Elementwise.ABS: lambda operation: lambda a, b: np.abs(a),
    Elementwise.CLZ: _of_32_bits(leading_zeros),
    Elementwise.SHR: _shift_right,
    Elementwise.SHL: _of_32_bits(shift_left),
    Elementwise.LSR: _of_32_bits(shift_right_logical),
    Elementwise.DIV: lambda operation: _divide,
    Elementwise.CMP_EQ: _comparison(np.equal),
    Elementwise.CMP_GE: _comparison(np.greater_equal),
    Elementwise.CMP_GT: _comparison(np.greater),
    Elementwise.AND: lambda operation: np.bitwise_and,
    Elementwise.OR: lambda operation: np.bitwise_or,
    Elementwise.XOR: lambda operation: np.bitwise_xor,
    Elementwise.NOT: lambda operation: lambda a, b: ~a,
    Elementwise.AND_NOT: lambda operation: lambda a, b: a & ~b,
}

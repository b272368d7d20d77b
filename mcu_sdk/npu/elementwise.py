"""Elementwise operations of one or two operands; the second is broadcast where it is smaller."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from mcu_sdk.npu.accelerator import Accelerator
from mcu_sdk.npu.arithmetic import Scaler
from mcu_sdk.npu.bits import leading_zeros, shift_left, shift_right_down, shift_right_half_up
from mcu_sdk.npu.decode import FIXED_SHIFT
from mcu_sdk.npu.finish import Finish
from mcu_sdk.npu.memory_access import FeatureMapAccess, Region
from mcu_sdk.npu.opcodes import Elementwise, IfmScale, Rounding
from mcu_sdk.npu.operations import ElementwiseOperation, FeatureMap, Scale
from mcu_sdk.npu.tables import Internal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]

_UNSCALED = {Elementwise.MIN, Elementwise.MAX, Elementwise.CLZ, Elementwise.SHR, Elementwise.SHL}
_ON_BITS = {Elementwise.CLZ, Elementwise.SHR, Elementwise.SHL}


def prepare_elementwise(
    operation: ElementwiseOperation, accelerator: Accelerator
) -> Callable[[Region, Internal], None]:
    """The operation as a function. Raises ValueError for what is not simulated."""
    _check(operation)
    output = operation.output
    scale = output.scale or Scale(1, 0)
    scaler = None
    if operation.mode not in _UNSCALED:
        scaler = Scaler(scale.scale, scale.shift, output.rounding)
    finish = Finish(output, accelerator, scaler)
    first = FeatureMapAccess(operation.first)
    second = FeatureMapAccess(operation.second) if isinstance(operation.second, FeatureMap) else None
    on_bits = operation.mode in _ON_BITS
    zero_point = 0 if on_bits else operation.first.zero_point
    second_zero_point = 0 if on_bits else operation.second_zero_point
    number = np.full((1, 1, 1), operation.second if isinstance(operation.second, int) else 0, np.int64)
    number -= second_zero_point
    compute = _FUNCTIONS[operation.mode](operation)
    bound = _bound(operation)

    def run(regions: Region, internal: Internal) -> None:
        a = first.load(regions).astype(np.int64)
        if zero_point:
            a -= zero_point
        b = number
        if second is not None:
            b = second.load(regions).astype(np.int64)
            if second_zero_point:
                b -= second_zero_point
        finish(regions, internal, compute(b, a) if operation.reversed else compute(a, b), bound)

    return run


def _check(operation: ElementwiseOperation) -> None:
    mode, output = operation.mode, operation.output
    if mode in _ON_BITS and (operation.first.type.bits != 32 or output.ofm.type.bits != 32):
        raise ValueError(f"{mode.name} of anything but 32 bits is not simulated")
    if mode is Elementwise.LRELU:
        raise ValueError("LRELU is not simulated: Vela uses a look-up table or several operations instead")
    if mode in (Elementwise.MIN, Elementwise.MAX):
        if output.scale not in (None, Scale(1, 0)):
            raise ValueError(f"{mode.name} with a scale is not simulated")
    elif output.scale is None and mode not in _UNSCALED:
        raise ValueError(f"{mode.name} with a scale for each channel is not simulated")
    if mode in (Elementwise.ADD, Elementwise.SUB):
        if operation.scaling is not IfmScale.BOTH:
            if operation.first.type.bits not in FIXED_SHIFT:
                raise ValueError("a scaled operand of 32 bits is not simulated")
            if operation.input_rounding is not output.rounding:
                raise ValueError("operands that are rounded otherwise than results are not simulated")
    elif operation.scaling is not IfmScale.BOTH:
        raise ValueError(f"{mode.name} with a scaled operand is not simulated")


def _bound(operation: ElementwiseOperation) -> int | None:
    """A magnitude that no result has more than, before the OFM's scale; None if only the operands can tell."""
    second = operation.second
    if operation.first.type.bits == 32 or operation.mode in _ON_BITS:
        return None
    a = _span(operation.first, operation.first.zero_point)
    if isinstance(second, FeatureMap):
        if second.type.bits == 32:
            return None
        b = _span(second, operation.second_zero_point)
    else:
        b = abs((second or 0) - operation.second_zero_point)
    if operation.mode is Elementwise.MUL:
        return a * b
    if operation.mode in (Elementwise.ADD, Elementwise.SUB):
        if operation.scaling is not IfmScale.BOTH:
            return None
        return a * operation.first_scale.scale + b * operation.second_scale.scale
    return max(a, b)


def _span(feature_map: FeatureMap, zero_point: int) -> int:
    low, high = feature_map.type.range
    return max(high - zero_point, zero_point - low)


_Compute = Callable[[Any, Any], "Integers"]


def _sum(operation: ElementwiseOperation) -> _Compute:
    """Either both operands are scaled by 16 bits, or one by 32 bits and the other by a fixed power of two."""
    add: _Compute = np.subtract if operation.mode is Elementwise.SUB else np.add
    one, two = operation.first_scale, operation.second_scale
    if operation.scaling is IfmScale.BOTH:
        if one.scale == two.scale == 1:
            return add
        if max(one.scale, two.scale) >> 16:
            raise ValueError(f"operands scaled by {one.scale} and {two.scale} are not simulated")
        return lambda a, b: add(a * one.scale, b * two.scale)
    shift = FIXED_SHIFT[operation.first.type.bits]
    scaler = Scaler(one.scale, one.shift, operation.input_rounding)
    if operation.scaling is IfmScale.FIRST:
        return lambda a, b: add(scaler(a), b << shift)
    return lambda a, b: add(a << shift, scaler(b))


def _shift_right(operation: ElementwiseOperation) -> _Compute:
    """NATURAL rounds halves up, DOUBLE rounds down."""
    if operation.output.rounding is Rounding.TRUNCATE:
        raise ValueError("SHR with the rounding TRUNCATE is not simulated")
    return shift_right_half_up if operation.output.rounding is Rounding.NATURAL else shift_right_down


_FUNCTIONS: dict[Elementwise, Callable[[ElementwiseOperation], _Compute]] = {
    Elementwise.MUL: lambda operation: np.multiply,
    Elementwise.ADD: _sum,
    Elementwise.SUB: _sum,
    Elementwise.MIN: lambda operation: np.minimum,
    Elementwise.MAX: lambda operation: np.maximum,
    Elementwise.ABS: lambda operation: lambda a, b: np.asarray(np.abs(a)),
    Elementwise.CLZ: lambda operation: leading_zeros,
    Elementwise.SHR: _shift_right,
    Elementwise.SHL: lambda operation: shift_left,
}

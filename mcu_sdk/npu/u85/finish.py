"""From a U85's accumulators to the output feature map, and what all its operations need of scaling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mcu_sdk.npu import opcodes
from mcu_sdk.npu.arithmetic import Scaler, check_range, clipped, rescaled
from mcu_sdk.npu.memory_access import FeatureMapAccess, Region, take
from mcu_sdk.npu.operations import ElementType, Stretch
from mcu_sdk.npu.tables import Internal, interpolated, unrounded
from mcu_sdk.npu.u85.operations import Accumulator, Chained, Function, Output, Rounding, Table, Tensor
from mcu_sdk.npu.u85.weights import SCALE_BYTES, decode_scales

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]

ACCUMULATOR_BITS = {Accumulator.I32: 32, Accumulator.I48: 48}
_ROUNDINGS = {Rounding.NATURAL: opcodes.Rounding.NATURAL, Rounding.DOUBLE_SYMMETRIC: opcodes.Rounding.DOUBLE}
_TABLES = {
    Function.LUT_S8_S8: ("<i1", (-128, 127)),
    Function.LUT_S16_S16: ("<u4", (-(1 << 15), (1 << 15) - 1)),
    Function.LUT_S16_S32: ("<u4", (-(1 << 15), (1 << 15) - 1)),
}
"""The entries' type, and the range of what goes in; of those that Vela was seen to write."""


def scaler(scale: Any, shift: Any, rounding: Rounding, bound: int | None = None) -> Scaler:
    """Raises ValueError for a rounding that is not simulated, unless nothing is changed."""
    if rounding in _ROUNDINGS:
        return Scaler(scale, shift, _ROUNDINGS[rounding], bound)
    found = Scaler(scale, shift, opcodes.Rounding.DOUBLE)
    if not found.is_identity:
        raise ValueError(f"the rounding {rounding.name} of scaled values is not simulated")
    return found


class ChannelScales:
    """A bias and a scale for each channel, as they lie in memory."""

    def __init__(self, place: Stretch, channels: int, accumulator: Accumulator, rounding: Rounding) -> None:
        self._place = place
        self._channels = channels
        self._is_wide = accumulator is Accumulator.I48
        self._rounding = rounding
        self._kept: tuple[bytes, Integers, Scaler] | None = None

    def load(self, regions: Region) -> tuple[Integers, Scaler]:
        """int64[channels] biases, and what scales. Raises OutOfBounds, and ValueError for what is not simulated."""
        data = take(regions, self._place.region, self._place.begin, SCALE_BYTES * self._channels).tobytes()
        if self._kept is None or self._kept[0] != data:  # a DMA may have brought others than last time
            bias, scale, shift = decode_scales(data, self._channels, self._is_wide)
            self._kept = data, bias, scaler(scale, shift, self._rounding)
        return self._kept[1], self._kept[2]


class Source:
    """A tensor to be read: from memory, or handed on by the operation before."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor
        self._access = None if isinstance(tensor, Chained) else FeatureMapAccess(tensor)

    def load(self, regions: Region, internal: Internal) -> Integers:
        """int64[height, width, depth], the zero point still in it. Raises OutOfBounds, and ValueError where nothing was
        handed on."""
        if self._access is not None:
            return np.asarray(self._access.load(regions).astype(np.int64))
        assert isinstance(self._tensor, Chained)
        values = internal.chained.get(self._tensor.buffer)
        if values is None or values.shape != self._tensor.shape:
            raise ValueError(
                f"the chaining buffer {self._tensor.buffer} should hold {self._tensor.shape} elements; it has "
                f"{None if values is None else values.shape}"
            )
        return values


class Finish:
    """Scaling, zero point, limits, look-up table, exchanged axes, store.

    `scaler` is None for operations that do not scale. Raises ValueError for an encoding that is not simulated.
    """

    def __init__(self, output: Output, scaler: Scaler | None) -> None:
        self._output = output
        self._scaler = scaler
        self._zero_point = output.ofm.zero_point
        self._access = None if isinstance(output.ofm, Chained) else FeatureMapAccess(output.ofm)
        self._kind = output.ofm.type
        self._wide = output.ofm.type.bits > 16 and output.table is None
        self._wraps = output.limits is None and output.table is None and not self._wide
        if output.table is not None and output.table.function not in _TABLES:
            raise ValueError(f"{output.table.function.name} is not simulated")
        low, high = output.ofm.type.range if output.table is None else _TABLES[output.table.function][1]
        if output.limits is not None:
            low, high = max(low, output.limits[0]), min(high, output.limits[1])
        self._low, self._high = low, high
        self._axes = None if output.transpose == (0, 1, 2) else output.transpose

    def __call__(
        self,
        regions: Region,
        internal: Internal,
        values: Integers,
        bound: int | None = None,
        scaler: Scaler | None = None,
    ) -> None:
        """`bound`: no magnitude among `values` is greater, if that is known. `scaler` comes before the one from the
        start. Raises OverflowError where a result does not fit 32 bits."""
        values, bound = rescaled(values, bound, scaler or self._scaler, self._zero_point)
        if self._wraps:
            values = _wrapped(values, self._kind)
        elif bound is None or bound > min(-self._low, self._high):
            values = self._limited(values)
        if self._output.table is not None:
            values = _look_up(values, self._output.table, internal)
        if self._axes is not None:
            values = values.transpose(self._axes)
        if self._output.reverse is not None:
            values = np.flip(values, self._output.reverse)
        if self._access is not None:
            self._access.store(regions, values)
        else:
            assert isinstance(self._output.ofm, Chained)
            internal.chained[self._output.ofm.buffer] = values

    def _limited(self, values: Integers) -> Integers:
        if self._wide and self._output.limits is None:
            check_range(values, self._low, self._high, self._kind.bits)
            return values
        return clipped(values, self._low, self._high)


def _wrapped(values: Integers, kind: ElementType) -> Integers:
    """The low bits: what is left of a value without limits."""
    low = values & ((1 << kind.bits) - 1)
    return low - (low >> (kind.bits - 1) << kind.bits) if kind.signed else low


def _look_up(values: Integers, table: Table, internal: Internal) -> Integers:
    """Entries by index, or 512 of a slope and a base with 7 bits of fraction between them."""
    dtype, (low, _) = _TABLES[table.function]
    if low >= -128:
        return np.asarray(internal.read(table.begin, 256, dtype)[values - low])
    entries = internal.read(table.begin, 512, dtype)
    between = interpolated if table.function is Function.LUT_S16_S16 else unrounded
    return between(values, entries)

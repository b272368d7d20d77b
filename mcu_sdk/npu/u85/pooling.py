"""A U85's pools: the greatest or least value, average or sum under a kernel, the sum over the channels, or nothing but
what comes behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from mcu_sdk.npu.arithmetic import check_accumulator, divided, largest
from mcu_sdk.npu.memory_access import FeatureMapAccess, Region
from mcu_sdk.npu.operations import FeatureMap
from mcu_sdk.npu.tables import Internal
from mcu_sdk.npu.u85.finish import ACCUMULATOR_BITS, ChannelScales, Finish, scaler
from mcu_sdk.npu.u85.operations import Pooling, PoolingOperation, Rounding
from mcu_sdk.npu.window import WindowBuffer, largest_element

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]

Executable = Callable[[Region, Internal], None]


def prepare_pooling(operation: PoolingOperation) -> Executable:
    """The operation as a function. Raises ValueError for what is not simulated."""
    mode = operation.mode
    if mode is Pooling.NONE:
        return _prepare_nothing(operation)
    if operation.window.ifm.type.bits > 16 and mode not in (Pooling.REDUCE_SUM, Pooling.MAX, Pooling.MIN):
        raise ValueError(f"{mode.name} of {operation.window.ifm.type.bits} bits is not simulated")
    if mode is Pooling.REDUCE_SUM:
        return _prepare_reduction(operation)
    if operation.window.ifm.shape[2] != operation.output.shape[2]:
        raise ValueError("pooling between different numbers of channels is not simulated")
    if mode in (Pooling.MAX, Pooling.MIN):
        return _prepare_extreme(operation)
    if mode in (Pooling.SUM, Pooling.AVERAGE):
        return _prepare_sum(operation)
    if mode is Pooling.ARGMAX_X:
        return _prepare_greatest_index(operation)
    raise ValueError(f"{mode.name} is not simulated")


class _Finish:
    """What follows the sum: with one scale, or with one of each channel, which is read from memory."""

    def __init__(self, operation: PoolingOperation, bound: int | None = None) -> None:
        scale, rounding = operation.output.scale, operation.output.rounding
        self._channels = None
        self._bound = bound
        common = None
        if scale is not None:
            common = scaler(scale.scale, scale.shift, rounding, bound)
        else:
            assert operation.scales is not None
            self._channels = ChannelScales(
                operation.scales, operation.output.shape[2], operation.accumulator, rounding
            )
        self._finish = Finish(operation.output, common)

    def __call__(self, regions: Region, internal: Internal, values: Integers) -> None:
        if self._channels is None:
            self._finish(regions, internal, values, self._bound)
        else:
            bias, scale = self._channels.load(regions)
            self._finish(regions, internal, values + bias, None, scale)


def _prepare_nothing(operation: PoolingOperation) -> Executable:
    assert isinstance(operation.source, FeatureMap)
    source, zero_point = FeatureMapAccess(operation.source), operation.source.zero_point
    finish = _Finish(operation)

    def run(regions: Region, internal: Internal) -> None:
        values: Integers = source.load(regions).astype(np.int64) - zero_point
        check_accumulator(largest(values), ACCUMULATOR_BITS[operation.accumulator])
        finish(regions, internal, values)

    return run


def _prepare_reduction(operation: PoolingOperation) -> Executable:
    window = operation.window
    if _has_kernel(operation):
        raise ValueError("a sum over channels with a kernel or padding is not simulated")
    source = FeatureMapAccess(window.ifm)
    offset = window.ifm.zero_point * window.ifm.shape[2]
    finish = _Finish(operation)

    def run(regions: Region, internal: Internal) -> None:
        total: Integers = source.load(regions).sum(axis=2, keepdims=True, dtype=np.int64) - offset
        check_accumulator(largest(total), ACCUMULATOR_BITS[operation.accumulator])
        finish(regions, internal, total)

    return run


def _has_kernel(operation: PoolingOperation) -> bool:
    window, kernel = operation.window, operation.window.kernel
    sizes = (kernel.height, kernel.width, kernel.stride_y, kernel.stride_x)
    padding = (window.top, window.left, window.bottom, window.right)
    return sizes != (1, 1, 1, 1) or any(padding)


def _prepare_extreme(operation: PoolingOperation) -> Executable:
    window = operation.window
    low, high = window.ifm.type.range
    is_greatest = operation.mode is Pooling.MAX
    buffer = WindowBuffer(window, operation.output.shape[:2], np.int64, low if is_greatest else high)
    if not buffer.count_inside().all():
        raise ValueError(f"{operation.mode.name} of nothing but padding is not simulated")
    bound = largest_element(window)
    finish = _Finish(operation, bound)

    def run(regions: Region, internal: Internal) -> None:
        buffer.fill(regions)
        best = buffer.taps.max(axis=(2, 3)) if is_greatest else buffer.taps.min(axis=(2, 3))
        finish(regions, internal, best - window.ifm.zero_point)

    return run


def _prepare_greatest_index(operation: PoolingOperation) -> Executable:
    """Accumulators hold the index above 16 bits of the value; the output's scale takes it out."""
    window, output = operation.window, operation.output
    padding = (window.top, window.left, window.bottom, window.right)
    wanted = (1, 16, Rounding.TRUNCATE_TO_LOWER)
    if output.scale is None or (output.scale.scale, output.scale.shift, output.rounding) != wanted:
        raise ValueError(f"{operation.mode.name} with another scale than 1 / 2^16 is not simulated")
    if any(padding) or window.kernel.taps[0] > 1:
        raise ValueError(f"{operation.mode.name} over two axes or padding is not simulated")
    buffer = WindowBuffer(window, output.shape[:2], np.int64, 0)
    finish = Finish(output, None)

    def run(regions: Region, internal: Internal) -> None:
        buffer.fill(regions)
        finish(regions, internal, buffer.taps[:, :, 0].argmax(axis=2))

    return run


def _prepare_sum(operation: PoolingOperation) -> Executable:
    window, mode = operation.window, operation.mode
    rows, columns = window.kernel.taps
    bound = rows * columns * largest_element(window)
    check_accumulator(bound, ACCUMULATOR_BITS[operation.accumulator])
    finish = _Finish(operation, bound)
    if not _has_kernel(operation):
        return _prepare_move(operation, finish)
    # Padding holds the zero point: it adds nothing.
    buffer = WindowBuffer(window, operation.output.shape[:2], np.int64, window.ifm.zero_point)
    offset = rows * columns * window.ifm.zero_point
    divides = mode is Pooling.AVERAGE
    count = buffer.count_inside()

    def run(regions: Region, internal: Internal) -> None:
        buffer.fill(regions)
        total: Integers = buffer.taps.sum(axis=(2, 3)) - offset
        if divides:
            total = divided(total, count)
        finish(regions, internal, total)

    return run


def _prepare_move(operation: PoolingOperation, finish: _Finish) -> Executable:
    """One element under the kernel: data moved, scaled, looked up."""
    source, zero_point = FeatureMapAccess(operation.window.ifm), operation.window.ifm.zero_point

    def run(regions: Region, internal: Internal) -> None:
        values: Integers = source.load(regions).astype(np.int64)
        finish(regions, internal, values - zero_point if zero_point else values)

    return run

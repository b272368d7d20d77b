"""Pooling: the greatest value or the average under a kernel, or the sum over the channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mcu_sdk.npu.accelerator import Accelerator
from mcu_sdk.npu.arithmetic import Scaler, check_accumulator, divided, largest
from mcu_sdk.npu.finish import ACCUMULATOR_BITS, Finish
from mcu_sdk.npu.memory_access import FeatureMapAccess, Region
from mcu_sdk.npu.opcodes import Pooling, Upscale
from mcu_sdk.npu.operations import PoolingOperation, Scale
from mcu_sdk.npu.tables import Internal
from mcu_sdk.npu.window import WindowBuffer, largest_element

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Executable = Callable[[Region, Internal], None]
    Integers = NDArray[np.int64]

_ONE = Scale(1, 0)


def prepare_pooling(operation: PoolingOperation, accelerator: Accelerator) -> Executable:
    """The operation as a function. Raises ValueError for what is not simulated."""
    scaler = _scaler(operation)
    if _only_copies(operation, scaler):
        return _prepare_copy(operation)
    finish = Finish(operation.output, accelerator, scaler)
    if operation.mode is Pooling.REDUCE_SUM:
        return _prepare_sum(operation, finish)
    if operation.window.ifm.shape[2] != operation.output.ofm.shape[2]:
        raise ValueError("pooling between different numbers of channels is not simulated")
    if operation.window.ifm.type.bits == 32:
        raise ValueError(f"{operation.mode.name} of 32 bits is not simulated")
    if operation.mode is Pooling.MAX:
        return _prepare_max(operation, finish)
    return _prepare_average(operation, finish)


def _scaler(operation: PoolingOperation) -> Scaler | None:
    scale = operation.output.scale
    if scale is None:
        return None
    bound = None if operation.mode is Pooling.REDUCE_SUM else _greatest_sum(operation)
    return Scaler(scale.scale, scale.shift, operation.output.rounding, bound)


def _greatest_sum(operation: PoolingOperation) -> int:
    """Of the magnitudes under a kernel."""
    rows, columns = operation.window.kernel.taps
    return rows * columns * largest_element(operation.window)


def _only_copies(operation: PoolingOperation, scaler: Scaler | None) -> bool:
    """Averages over one element that change nothing: Vela moves data with them, often hundreds of times."""
    window, output = operation.window, operation.output
    kernel = window.kernel
    return (
        operation.mode is Pooling.AVERAGE
        and (kernel.height, kernel.width, kernel.stride_y, kernel.stride_x) == (1, 1, 1, 1)
        and window.upscale is Upscale.NONE
        and window.ifm.shape == output.ofm.shape
        and window.ifm.type == output.ofm.type
        and window.ifm.type.bits < 32
        and window.ifm.zero_point == output.ofm.zero_point
        and (scaler is None or scaler.is_identity)
        and output.table is None
        and (output.minimum, output.maximum) == output.ofm.type.range
    )


def _prepare_copy(operation: PoolingOperation) -> Executable:
    source, target = FeatureMapAccess(operation.window.ifm), FeatureMapAccess(operation.output.ofm)

    def run(regions: Region, internal: Internal) -> None:
        target.store(regions, source.load(regions))

    return run


def _prepare_sum(operation: PoolingOperation, finish: Finish) -> Executable:
    window = operation.window
    kernel = window.kernel
    padding = (window.top, window.left, window.bottom, window.right)
    if (kernel.height, kernel.width, *padding) != (1, 1, 0, 0, 0, 0) or window.upscale is not Upscale.NONE:
        raise ValueError("a sum over channels with a kernel or padding is not simulated")
    source = FeatureMapAccess(window.ifm)
    offset = window.ifm.zero_point * window.ifm.shape[2]

    def run(regions: Region, internal: Internal) -> None:
        total: Integers = source.load(regions).sum(axis=2, keepdims=True, dtype=np.int64)
        if offset:
            total -= offset
        check_accumulator(largest(total), ACCUMULATOR_BITS[operation.accumulator])
        finish(regions, internal, total)

    return run


def _prepare_max(operation: PoolingOperation, finish: Finish) -> Executable:
    window = operation.window
    if window.upscale is not Upscale.NONE:
        raise ValueError("the maximum over a larger input is not simulated")
    low, _ = window.ifm.type.range
    buffer = WindowBuffer(window, operation.output.ofm.shape[:2], np.int64, low)
    if not buffer.count_inside().all():
        raise ValueError("the maximum of nothing but padding is not simulated")
    bound = largest_element(window)

    def run(regions: Region, internal: Internal) -> None:
        buffer.fill(regions)
        best = buffer.taps.max(axis=(2, 3))
        finish(regions, internal, best - window.ifm.zero_point, bound)

    return run


def _prepare_average(operation: PoolingOperation, finish: Finish) -> Executable:
    window, scale = operation.window, operation.output.scale
    rows, columns = window.kernel.taps
    # Padding and what is between elements hold the zero point: they add nothing.
    buffer = WindowBuffer(window, operation.output.ofm.shape[:2], np.int64, window.ifm.zero_point)
    offset = rows * columns * window.ifm.zero_point
    bound = _greatest_sum(operation)
    check_accumulator(bound, ACCUMULATOR_BITS[operation.accumulator])
    # With padding the NPU itself divides by the number of elements that are none; the scale is 1 then.
    divides = buffer.is_padded
    if divides and (scale != _ONE or window.upscale is not Upscale.NONE):
        raise ValueError(f"an average over a padded window with the scale {scale} is not simulated")
    count = buffer.count_inside()

    def run(regions: Region, internal: Internal) -> None:
        buffer.fill(regions)
        total: Integers = buffer.taps.sum(axis=(2, 3)) - offset
        if divides:
            total = divided(total, count)
        finish(regions, internal, total, bound)

    return run

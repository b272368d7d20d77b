"""Convolutions, depthwise and not: exact sums by floating-point products."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mcu_sdk.npu.accelerator import Accelerator
from mcu_sdk.npu.arithmetic import Scaler, check_accumulator, largest
from mcu_sdk.npu.finish import ACCUMULATOR_BITS, Finish
from mcu_sdk.npu.memory_access import Region, take
from mcu_sdk.npu.operations import Convolution, Window
from mcu_sdk.npu.tables import Internal
from mcu_sdk.npu.weights import SCALE_BYTES, decode_scales, decode_weights
from mcu_sdk.npu.window import WindowBuffer, largest_element

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Integers = NDArray[np.int64]

EXACT_F32, EXACT_F64 = 1 << 24, 1 << 53
"""Sums of integers below these are exact in floating point, whatever the order of additions."""
_UNFOLDED_BYTES = 4 << 20
"""How much of the input is unfolded at a time: about what a cache holds."""


def prepare_convolution(
    operation: Convolution, accelerator: Accelerator
) -> Callable[[Region, Internal], None]:
    """The operation as a function. Raises ValueError for what is not simulated."""
    kind = operation.window.ifm.type
    if kind.bits == 32 or not kind.signed:
        raise ValueError(f"a convolution of {kind.numpy} is not simulated: only int8 and int16 are")
    if operation.depthwise and operation.window.ifm.shape[2] != operation.output.ofm.shape[2]:
        raise ValueError("a depthwise convolution between different numbers of channels is not simulated")
    height, width, channels = operation.output.ofm.shape
    shared = operation.output.scale
    scaler = None if shared is None else Scaler(shared.scale, shared.shift, operation.output.rounding)
    finish = Finish(operation.output, accelerator, scaler)
    kept: list[Constants] = []

    def run(regions: Region, internal: Internal) -> None:
        packed = _packed(operation, regions)
        if not kept or not kept[0].are_from(packed):  # a DMA may have brought others than last time
            kept[:] = [_constants(operation, accelerator, [part.copy() for part in packed])]
        constants = kept[0]
        constants.window.fill(regions)
        total = constants.multiply().astype(np.int64).reshape(height, width, channels)
        total += constants.bias
        if constants.may_overflow:
            check_accumulator(largest(total), ACCUMULATOR_BITS[operation.accumulator])
        finish(regions, internal, total, constants.bound, constants.scaler)

    return run


def _packed(operation: Convolution, regions: Region) -> list[Bytes]:
    """Each core's weight stream, then each core's scales, as they are in memory. Raises OutOfBounds."""
    channels, cores = operation.output.ofm.shape[2], len(operation.weights)
    weights = [take(regions, part.region, part.begin, part.length) for part in operation.weights]
    scales = [
        take(regions, part.region, part.begin, SCALE_BYTES * len(range(core, channels, cores)))
        for core, part in enumerate(operation.scales)
    ]
    return weights + scales


class Constants:
    """A convolution's weights [channels, rows, columns, inputs] and each channel's bias and scale, decoded from `packed`,
    and what follows from them. `size`: the output's height and width; `bits`: the accumulator's.

    `bias` has the IFM's zero point in it: raw input is multiplied, and padding holds the zero point. Raises ValueError
    where a sum could be too large to be computed exactly.
    """

    def __init__(
        self,
        packed: list[Bytes],
        weights: NDArray[Any],
        bias: Integers,
        scaler: Scaler | None,
        *,
        window: Window,
        size: tuple[int, int],
        bits: int,
        depthwise: bool,
    ) -> None:
        self._packed = packed
        wide = weights.astype(np.int64)
        magnitudes = np.abs(wide).sum(axis=(1, 2, 3))
        low, high = window.ifm.type.range
        products = int(magnitudes.max()) * max(-low, high, abs(window.ifm.zero_point))
        if products >= EXACT_F64:
            raise ValueError(f"sums of up to {products} are not simulated")
        dtype = np.float32 if products < EXACT_F32 else np.float64
        self.bias = bias - window.ifm.zero_point * wide.sum(axis=(1, 2, 3))
        self.bound = int((magnitudes * largest_element(window) + np.abs(bias)).max())
        self.may_overflow = self.bound >= 1 << (bits - 1)
        self.scaler = scaler
        self.window = WindowBuffer(window, size, dtype, window.ifm.zero_point)
        product = depthwise_product if depthwise else matrix_product
        self.multiply = product(weights.astype(dtype), self.window)

    def are_from(self, packed: list[Bytes]) -> bool:
        """Whether the bytes in memory are still those that were decoded."""
        return all(np.array_equal(a, b) for a, b in zip(self._packed, packed, strict=True))


def _constants(operation: Convolution, accelerator: Accelerator, packed: list[Bytes]) -> Constants:
    weights, bias, scale, shift = _decode(operation, accelerator, packed)
    output = operation.output
    return Constants(
        packed,
        weights,
        bias,
        Scaler(scale, shift, output.rounding) if output.scale is None else None,
        window=operation.window,
        size=output.ofm.shape[:2],
        bits=ACCUMULATOR_BITS[operation.accumulator],
        depthwise=operation.depthwise,
    )


def matrix_product(weights: NDArray[Any], window: WindowBuffer) -> Callable[[], NDArray[Any]]:
    """A convolution as products [pixels, taps * input channels] x [taps * input channels, output channels]."""
    channels = weights.shape[0]
    matrix = np.ascontiguousarray(weights.reshape(channels, -1).T)
    height, width = window.taps.shape[:2]
    step = max(1, _UNFOLDED_BYTES // (width * matrix.shape[0] * matrix.itemsize))

    def multiply() -> NDArray[Any]:
        if height <= step:
            return np.asarray(window.taps.reshape(height * width, -1) @ matrix)
        total = np.empty((height * width, channels), matrix.dtype)
        for row in range(0, height, step):
            rows = window.taps[row : row + step]
            pixels = rows.shape[0] * width
            np.matmul(rows.reshape(pixels, -1), matrix, out=total[row * width : row * width + pixels])
        return total

    return multiply


def depthwise_product(weights: NDArray[Any], window: WindowBuffer) -> Callable[[], NDArray[Any]]:
    """Tap by tap, each channel by itself."""
    by_tap = np.ascontiguousarray(weights[..., 0].transpose(1, 2, 0))
    rows, columns, _ = by_tap.shape

    def multiply() -> NDArray[Any]:
        total = window.taps[:, :, 0, 0] * by_tap[0, 0]
        product = np.empty_like(total)
        for tap in range(1, rows * columns):
            y, x = divmod(tap, columns)
            np.multiply(window.taps[:, :, y, x], by_tap[y, x], out=product)
            total += product
        return np.asarray(total)

    return multiply


def _decode(
    operation: Convolution, accelerator: Accelerator, packed: list[Bytes]
) -> tuple[NDArray[np.int16], Integers, Integers, Integers]:
    """Weights [channels, rows, columns, inputs], bias, scale and shift of each channel; cores take turns."""
    channels, cores = operation.output.ofm.shape[2], len(operation.weights)
    rows, columns = operation.window.kernel.taps
    depth = 1 if operation.depthwise else operation.window.ifm.shape[2]
    weights = np.empty((channels, rows, columns, depth), np.int16)
    bias, scale, shift = (np.empty(channels, np.int64) for _ in range(3))
    for core in range(cores):
        own = slice(core, channels, cores)
        number = len(range(channels)[own])
        stream, table = packed[core].tobytes(), packed[cores + core].tobytes()
        weights[own] = decode_weights(stream, operation, accelerator, core, number)
        bias[own], scale[own], shift[own] = decode_scales(table, number)
    return weights, bias, scale, shift

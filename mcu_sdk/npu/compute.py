"""What each operation of an Ethos-U computes, prepared once and then run on memory."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from mcu_sdk.npu.accelerator import Accelerator
from mcu_sdk.npu.arithmetic import scaled
from mcu_sdk.npu.memory_access import FeatureMapAccess, Region, take
from mcu_sdk.npu.opcodes import Accumulator, Elementwise, IfmScale, Pooling, Rounding, Upscale
from mcu_sdk.npu.operations import (
    Convolution,
    Dma,
    ElementwiseOperation,
    Operation,
    Output,
    PoolingOperation,
    Scale,
    Window,
)
from mcu_sdk.npu.tables import look_up
from mcu_sdk.npu.weights import SCALE_BYTES, decode_scales, decode_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]

Executable = Callable[[Region, "Internal"], None]

_ACCUMULATOR_BITS = {Accumulator.I32: 32, Accumulator.I40: 40}
_EXACT_F32, _EXACT_F64 = 1 << 24, 1 << 53
"""Sums of integers below these are exact in floating point, whatever the order of additions."""


class Internal:
    """The memory inside the NPU: only look-up tables are read out of it."""

    def __init__(self, size: int) -> None:
        self.bytes = np.zeros(size, np.uint8)


def prepare(operation: Operation, accelerator: Accelerator) -> Executable:
    """The operation as a function. Raises ValueError for what is not simulated."""
    if isinstance(operation, Dma):
        return _prepare_dma(operation)
    if isinstance(operation, ElementwiseOperation):
        return _prepare_elementwise(operation, accelerator)
    if isinstance(operation, PoolingOperation):
        return _prepare_pooling(operation, accelerator)
    return _prepare_convolution(operation, accelerator)


def _prepare_dma(dma: Dma) -> Executable:
    def run(memory: Region, internal: Internal) -> None:
        source = take(memory, dma.source.region, dma.source.begin, dma.source.length)
        if dma.destination is not None:
            target = take(memory, dma.destination.region, dma.destination.begin, dma.destination.length)
        else:
            assert dma.table_offset is not None
            target = take([internal.bytes], 0, dma.table_offset, dma.source.length)
        target[:] = source.copy()

    return run


# ---- from the accumulator to the OFM


class _Finish:
    """Scaling, zero point, clamping, look-up table, store."""

    def __init__(self, output: Output, accelerator: Accelerator) -> None:
        self._output = output
        self._access = FeatureMapAccess(output.ofm)
        self._table_base = accelerator.lut_base + 256 * (output.table or 0)
        low, high = output.ofm.type.range
        self._low, self._high = max(output.minimum, low), min(output.maximum, high)
        if output.ofm.type.bits == 32:  # the limits are 16 bits wide and do not apply
            self._low, self._high = (low, high) if output.table is None else (output.minimum, output.maximum)

    def __call__(
        self, memory: Region, internal: Internal, values: Integers, scale: Any = None, shift: Any = None
    ) -> None:
        """`scale` and `shift` of each channel; without them `values` are taken as they are."""
        output = self._output
        if scale is not None:
            values = scaled(values, scale, shift, output.rounding)
        values = values + output.ofm.zero_point
        values = np.clip(values, self._low, self._high)
        if output.table is not None:
            values = look_up(values, output, internal.bytes, self._table_base)
        self._access.store(memory, values)


def _check_accumulator(largest: int, accumulator: Accumulator) -> None:
    bits = _ACCUMULATOR_BITS[accumulator]
    if largest >= 1 << (bits - 1):
        raise OverflowError(f"an accumulator of {bits} bits would hold {largest}")


# ---- convolution and pooling


class _WindowReader:
    """The IFM with its zero point taken off, made larger and padded as the window says."""

    def __init__(self, window: Window, output: tuple[int, int]) -> None:
        self._window = window
        self._access = FeatureMapAccess(window.ifm)
        kernel = window.kernel
        self._height = (output[0] - 1) * kernel.stride_y + kernel.height - window.top - window.bottom
        self._width = (output[1] - 1) * kernel.stride_x + kernel.width - window.left - window.right
        self.padding = (
            (window.top, window.bottom),
            (window.left, window.right),
            (0, 0),
        )
        self.is_padded = any(map(any, self.padding))

    def read(self, memory: Region, dtype: Any) -> NDArray[Any]:
        """Without padding."""
        values = self._access.load(memory).astype(dtype)
        if self._window.ifm.zero_point:
            values -= self._window.ifm.zero_point
        if self._window.upscale is Upscale.NEAREST:
            values = values.repeat(2, axis=0).repeat(2, axis=1)[: self._height, : self._width]
        elif self._window.upscale is Upscale.ZEROS:
            spread = np.zeros((values.shape[0] * 2, values.shape[1] * 2, values.shape[2]), dtype)
            spread[::2, ::2] = values
            values = spread[: self._height, : self._width]
        return values

    def read_padded(self, memory: Region, dtype: Any, filler: int = 0) -> NDArray[Any]:
        values = self.read(memory, dtype)
        if not self.is_padded:
            return values
        return np.pad(values, self.padding, constant_values=filler)

    def largest(self) -> int:
        """Of the magnitudes that an element can have."""
        low, high = self._window.ifm.type.range
        zero_point = self._window.ifm.zero_point
        return max(abs(low - zero_point), abs(high - zero_point))

    def taps(self, padded: NDArray[Any], output: tuple[int, int]) -> list[NDArray[Any]]:
        """For each kernel element, row by row, what it is multiplied with: [rows, columns, channels]."""
        kernel = self._window.kernel
        rows, columns = kernel.taps
        found = []
        for y in range(rows):
            for x in range(columns):
                top, left = y * kernel.dilation_y, x * kernel.dilation_x
                found.append(
                    padded[
                        top : top + (output[0] - 1) * kernel.stride_y + 1 : kernel.stride_y,
                        left : left + (output[1] - 1) * kernel.stride_x + 1 : kernel.stride_x,
                    ]
                )
        return found


def _prepare_convolution(operation: Convolution, accelerator: Accelerator) -> Executable:
    height, width, channels = operation.output.ofm.shape
    reader = _WindowReader(operation.window, (height, width))
    finish = _Finish(operation.output, accelerator)
    kept: list[tuple[bytes, _Weights]] = []  # what was read last, and its digest: a DMA may have brought it

    def run(regions: Region, internal: Internal) -> None:
        digest, packed = _read_constants(operation, regions)
        if not kept or kept[0][0] != digest:
            kept[:] = [(digest, _Weights(operation, accelerator, packed, reader))]
        weights = kept[0][1]
        padded = reader.read_padded(regions, weights.dtype)
        total = weights.multiply(padded).astype(np.int64) + weights.bias
        if weights.may_overflow:
            _check_accumulator(int(np.abs(total).max()), operation.accumulator)
        finish(regions, internal, total.reshape(height, width, channels), weights.scale, weights.shift)

    return run


class _Weights:
    """A convolution's constants, decoded. Raises ValueError where a sum could be too large to be computed exactly."""

    def __init__(
        self,
        operation: Convolution,
        accelerator: Accelerator,
        packed: list[tuple[bytes, bytes]],
        reader: _WindowReader,
    ) -> None:
        weights, self.bias, scale, shift = _constants(operation, accelerator, packed)
        shared = operation.output.scale
        self.scale: Any = scale if shared is None else shared.scale
        self.shift: Any = shift if shared is None else shared.shift
        sums = np.abs(weights.astype(np.int64)).sum(axis=(1, 2, 3))
        products = int(sums.max()) * reader.largest()
        if products >= _EXACT_F64:
            raise ValueError(f"sums of up to {products} are not simulated")
        self.dtype = np.float32 if products < _EXACT_F32 else np.float64
        largest = int((sums * reader.largest() + np.abs(self.bias)).max())
        self.may_overflow = largest >= 1 << (_ACCUMULATOR_BITS[operation.accumulator] - 1)
        output = operation.output.ofm.shape[:2]
        multiply = _depthwise if operation.depthwise else _matrix
        self.multiply = multiply(weights.astype(self.dtype), reader, output)


def _read_constants(operation: Convolution, regions: Region) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """A digest, and each core's weight stream and packed scales. Raises OutOfBounds."""
    cores = len(operation.weights)
    channels = operation.output.ofm.shape[2]
    digest = blake2b(digest_size=16)
    packed = []
    for core, (place, scales) in enumerate(zip(operation.weights, operation.scales, strict=True)):
        number = len(range(core, channels, cores))
        stream = take(regions, place.region, place.begin, place.length).tobytes()
        table = take(regions, scales.region, scales.begin, SCALE_BYTES * number).tobytes()
        digest.update(stream)
        digest.update(table)
        packed.append((stream, table))
    return digest.digest(), packed


def _matrix(
    weights: NDArray[Any], reader: _WindowReader, output: tuple[int, int]
) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """A convolution as one product: [pixels, taps * input channels] x [taps * input channels, output channels]."""
    channels = weights.shape[0]
    matrix = np.ascontiguousarray(weights.reshape(channels, -1).T)

    def multiply(padded: NDArray[Any]) -> NDArray[Any]:
        taps = reader.taps(padded, output)
        columns = taps[0] if len(taps) == 1 else np.concatenate(taps, axis=2)
        return np.asarray(columns.reshape(output[0] * output[1], -1) @ matrix)

    return multiply


def _depthwise(
    weights: NDArray[Any], reader: _WindowReader, output: tuple[int, int]
) -> Callable[[NDArray[Any]], NDArray[Any]]:
    flat = weights.reshape(weights.shape[0], -1).T  # [taps, channels]

    def multiply(padded: NDArray[Any]) -> NDArray[Any]:
        taps = reader.taps(padded, output)
        total = taps[0] * flat[0]
        for tap, weight in zip(taps[1:], flat[1:], strict=True):
            total += tap * weight
        return np.asarray(total)

    return multiply


def _constants(
    operation: Convolution, accelerator: Accelerator, packed: list[tuple[bytes, bytes]]
) -> tuple[NDArray[np.int16], Integers, Integers, Integers]:
    """Weights [channels, rows, columns, inputs], bias, scale and shift of each channel; cores take turns."""
    channels = operation.output.ofm.shape[2]
    bits = operation.window.ifm.type.bits
    rows, columns = operation.window.kernel.taps
    depth = 1 if operation.depthwise else operation.window.ifm.shape[2]
    weights = np.empty((channels, rows, columns, depth), np.int16)
    bias, scale, shift = (np.empty(channels, np.int64) for _ in range(3))
    for core, (stream, table) in enumerate(packed):
        own = slice(core, channels, len(packed))
        number = len(range(channels)[own])
        weights[own] = decode_weights(stream, operation, accelerator, number, bits)
        bias[own], scale[own], shift[own] = decode_scales(table, number)
    return weights, bias, scale, shift


def _prepare_pooling(operation: PoolingOperation, accelerator: Accelerator) -> Executable:
    height, width, _ = operation.output.ofm.shape
    reader = _WindowReader(operation.window, (height, width))
    finish = _Finish(operation.output, accelerator)
    scale = operation.output.scale
    shared = (scale.scale, scale.shift) if scale is not None else (None, None)
    if operation.mode is Pooling.MAX:

        def run_max(regions: Region, internal: Internal) -> None:
            padded = reader.read_padded(regions, np.int64, -(1 << 40))
            best = reader.taps(padded, (height, width))
            finish(regions, internal, np.maximum.reduce(best), *shared)

        return run_max
    kernel = operation.window.kernel
    # With a factor of 1 the NPU itself divides by the number of elements that are not padding.
    divides = operation.mode is Pooling.AVERAGE and reader.is_padded
    if divides and scale != Scale(1, 0):
        raise ValueError(f"an average over a padded window with the scale {scale} is not simulated")
    if operation.mode is Pooling.REDUCE_SUM and (kernel.height, kernel.width, reader.is_padded) != (
        1,
        1,
        False,
    ):
        raise ValueError("a sum over channels with a kernel or padding is not simulated")

    def run_sum(regions: Region, internal: Internal) -> None:
        padded = reader.read_padded(regions, np.int64)
        if operation.mode is Pooling.REDUCE_SUM:
            taps = reader.taps(padded, (height, width))
            total = taps[0].sum(axis=2, keepdims=True)
        else:
            total = np.add.reduce(reader.taps(padded, (height, width)))
        _check_accumulator(int(np.abs(total).max()), operation.accumulator)
        if divides:
            ones = np.pad(np.ones((*_unpadded(reader, padded), 1), np.int64), reader.padding)
            count = np.add.reduce(reader.taps(ones, (height, width)))
            total = np.sign(total) * ((np.abs(total) + count // 2) // count)  # half away from zero
        finish(regions, internal, total, *shared)

    return run_sum


def _unpadded(reader: _WindowReader, padded: NDArray[Any]) -> tuple[int, int]:
    (top, bottom), (left, right), _ = reader.padding
    return padded.shape[0] - top - bottom, padded.shape[1] - left - right


# ---- elementwise


def _prepare_elementwise(operation: ElementwiseOperation, accelerator: Accelerator) -> Executable:
    first = FeatureMapAccess(operation.first)
    second = operation.second
    second_access = None if second is None or isinstance(second, int) else FeatureMapAccess(second)
    finish = _Finish(operation.output, accelerator)
    scale = operation.output.scale or Scale(1, 0)
    shift_mode = operation.mode in (Elementwise.SHR, Elementwise.SHL, Elementwise.CLZ)
    zero_point = 0 if shift_mode else operation.first.zero_point
    second_zero_point = 0 if shift_mode else operation.second_zero_point
    compute = _FUNCTIONS[operation.mode]

    def run(regions: Region, internal: Internal) -> None:
        a = first.load(regions).astype(np.int64) - zero_point
        b: Any = None
        if second_access is not None:
            b = second_access.load(regions).astype(np.int64) - second_zero_point
        elif isinstance(second, int):
            b = np.int64(second) - second_zero_point
        if b is not None and operation.reversed:
            a, b = b, a
        values, is_scaled = compute(operation, a, b)
        values = np.broadcast_to(values, operation.output.ofm.shape)
        if is_scaled:
            finish(regions, internal, values, scale.scale, scale.shift)
        else:
            finish(regions, internal, values)

    return run


_Result = tuple["Integers", bool]
"""What an operation gives, and whether the OFM's scale is still to be applied."""


def _sum(operation: ElementwiseOperation, a: Any, b: Any) -> _Result:
    a, b = _operands(operation, a, b)
    return (a - b if operation.mode is Elementwise.SUB else a + b), True


def _operands(operation: ElementwiseOperation, a: Any, b: Any) -> tuple[Any, Any]:
    """The two operands of an addition, scaled.

    Either both by 16-bit factors, or one by a 32-bit factor after a shift to the left, the other by one bit less.
    """
    one, two = operation.first_scale, operation.second_scale
    if operation.scaling is IfmScale.BOTH:
        return a * one.scale, b * two.scale
    shift = 20 if operation.first.type.bits == 8 else 15

    def by_scale(values: Any) -> Any:
        return scaled(np.asarray(values) << shift, one.scale, one.shift + shift, operation.input_rounding)

    if operation.scaling is IfmScale.FIRST:
        return by_scale(a), b << (shift - 1)
    return a << (shift - 1), by_scale(b)


def _leaky(operation: ElementwiseOperation, a: Any, b: Any) -> _Result:
    scale = operation.output.scale or Scale(1, 0)
    return np.where(a < 0, scaled(a, scale.scale, scale.shift, operation.output.rounding), a), False


def _leading_zeros(operation: ElementwiseOperation, a: Any, b: Any) -> _Result:
    if operation.first.type.bits != 32:
        raise ValueError("leading zeros of anything but 32 bits are not simulated")
    # frexp gives the number of bits of an exact double; a negative number has none to spare.
    bits = np.frexp((a & 0xFFFFFFFF).astype(np.float64))[1]
    return (32 - bits).astype(np.int64), False


def _shift_right(operation: ElementwiseOperation, a: Any, b: Any) -> _Result:
    if operation.output.rounding is Rounding.NATURAL:
        return np.where(b > 0, ((a >> np.maximum(b - 1, 0)) + 1) >> 1, a), False
    return a >> b, False


def _shift_left(operation: ElementwiseOperation, a: Any, b: Any) -> _Result:
    low = (a << b) & 0xFFFFFFFF
    return np.where(low >> 31, low - (1 << 32), low), False


_FUNCTIONS: dict[Elementwise, Callable[[ElementwiseOperation, Any, Any], _Result]] = {
    Elementwise.MUL: lambda operation, a, b: (a * b, True),
    Elementwise.ADD: _sum,
    Elementwise.SUB: _sum,
    Elementwise.MIN: lambda operation, a, b: (np.minimum(a, b), False),
    Elementwise.MAX: lambda operation, a, b: (np.maximum(a, b), False),
    Elementwise.LRELU: _leaky,
    Elementwise.ABS: lambda operation, a, b: (np.abs(a), True),
    Elementwise.CLZ: _leading_zeros,
    Elementwise.SHR: _shift_right,
    Elementwise.SHL: _shift_left,
}

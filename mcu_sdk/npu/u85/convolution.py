"""A U85's convolutions, depthwise and not, and its products of two feature maps: exact sums by floating-point
products."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mcu_sdk.npu.accelerator import Accelerator
from mcu_sdk.npu.arithmetic import check_accumulator, largest
from mcu_sdk.npu.convolution import EXACT_F32, EXACT_F64, Constants
from mcu_sdk.npu.memory_access import FeatureMapAccess, Region, take
from mcu_sdk.npu.operations import FeatureMap
from mcu_sdk.npu.tables import Internal
from mcu_sdk.npu.u85.finish import ACCUMULATOR_BITS, Finish, scaler
from mcu_sdk.npu.u85.operations import Accumulator, Convolution, Packed
from mcu_sdk.npu.u85.weights import SCALE_BYTES, WeightLayout, decode_scales, decode_weights
from mcu_sdk.npu.window import largest_element

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]


def prepare_convolution(
    operation: Convolution, accelerator: Accelerator
) -> Callable[[Region, Internal], None]:
    """The operation as a function. Raises ValueError for what is not simulated."""
    kind = operation.window.ifm.type
    if kind.bits > 16:
        raise ValueError(f"a convolution of {kind.numpy} is not simulated: only 8 and 16 bits are")
    if operation.depthwise and operation.window.ifm.shape[2] != operation.output.shape[2]:
        raise ValueError("a depthwise convolution between different numbers of channels is not simulated")
    if isinstance(operation.weights, FeatureMap):
        return _prepare_product(operation, operation.weights)
    packed_weights = operation.weights
    shared = operation.output.scale
    common = None if shared is None else scaler(shared.scale, shared.shift, operation.output.rounding)
    finish = Finish(operation.output, common)
    addend = None if operation.addend is None else FeatureMapAccess(operation.addend)
    if operation.addend is not None and operation.addend.zero_point:
        raise ValueError("accumulators that begin with values with a zero point are not simulated")
    kept: list[Constants] = []

    def run(regions: Region, internal: Internal) -> None:
        packed = _packed(packed_weights, operation.output.shape[2], regions)
        if not kept or not kept[0].are_from(packed):  # a DMA may have brought others than last time
            kept[:] = [_constants(operation, accelerator, [part.copy() for part in packed])]
        constants = kept[0]
        constants.window.fill(regions)
        total = constants.multiply().astype(np.int64).reshape(operation.output.shape)
        total += constants.bias
        if addend is not None:
            total += addend.load(regions)
        if constants.may_overflow or addend is not None:
            check_accumulator(largest(total), ACCUMULATOR_BITS[operation.accumulator])
        bound = None if addend is not None else constants.bound
        finish(regions, internal, total, bound, constants.scaler)

    return run


def weight_layout(operation: Convolution, accelerator: Accelerator) -> WeightLayout:
    """The order of a convolution's weights."""
    kernel = operation.window.kernel
    depth = 1 if operation.depthwise else operation.window.ifm.shape[2]
    return WeightLayout(
        shape=(operation.output.shape[2], *kernel.taps, depth),
        depthwise=operation.depthwise,
        part_kernel=kernel.part_kernel and not operation.depthwise,
        bits=operation.window.ifm.type.bits,
        block_depth=operation.block_depth,
        ublock_depth=operation.ublock_depth,
        stride=(kernel.stride_y, kernel.stride_x),
        dilation=(kernel.dilation_y, kernel.dilation_x),
        macs=accelerator.macs,
        cores=accelerator.cores,
    )


def _packed(weights: Packed, channels: int, regions: Region) -> list[Bytes]:
    """The weight streams, then the scales, as they are in memory. Raises OutOfBounds."""
    found = [take(regions, part.region, part.begin, part.length) for part in weights.streams]
    return [*found, take(regions, weights.scales.region, weights.scales.begin, SCALE_BYTES * channels)]


def _constants(operation: Convolution, accelerator: Accelerator, packed: list[Bytes]) -> Constants:
    assert isinstance(operation.weights, Packed)
    streams = [part.tobytes() for part in packed]
    weights = decode_weights(streams[:-1], weight_layout(operation, accelerator), operation.weights.fast)
    output = operation.output
    is_wide = operation.accumulator is Accumulator.I48
    bias, scale, shift = decode_scales(streams[-1], output.shape[2], is_wide)
    return Constants(
        packed,
        weights,
        bias,
        scaler(scale, shift, output.rounding) if output.scale is None else None,
        window=operation.window,
        size=output.shape[:2],
        bits=ACCUMULATOR_BITS[operation.accumulator],
        depthwise=operation.depthwise,
    )


def _prepare_product(operation: Convolution, weights: FeatureMap) -> Callable[[Region, Internal], None]:
    """[height, width, depth] x [output channels, depth], both feature maps."""
    window, output = operation.window, operation.output
    kernel = window.kernel
    padding = (window.top, window.left, window.bottom, window.right)
    if operation.depthwise or output.scale is None or kernel.taps != (1, 1) or any(padding):
        raise ValueError(
            "a product of feature maps with a kernel, padding or a scale for each channel is not simulated"
        )
    if window.ifm.shape[:2] != output.shape[:2]:
        raise ValueError("a product of feature maps with strides is not simulated")
    finish = Finish(output, scaler(output.scale.scale, output.scale.shift, output.rounding))
    left, right = FeatureMapAccess(window.ifm), FeatureMapAccess(weights)
    low, high = weights.type.range
    bound = (
        window.ifm.shape[2]
        * largest_element(window)
        * max(high - weights.zero_point, weights.zero_point - low)
    )
    if bound >= EXACT_F64:
        raise ValueError(f"sums of up to {bound} are not simulated")
    dtype = np.float32 if bound < EXACT_F32 else np.float64

    def run(regions: Region, internal: Internal) -> None:
        a: NDArray[Any] = left.load(regions).astype(dtype)
        a -= window.ifm.zero_point
        b: NDArray[Any] = right.load(regions)[0].astype(dtype)
        b -= weights.zero_point
        total = (a.reshape(-1, a.shape[2]) @ b.T).astype(np.int64).reshape(output.shape)
        check_accumulator(largest(total), ACCUMULATOR_BITS[operation.accumulator])
        finish(regions, internal, total, bound)

    return run

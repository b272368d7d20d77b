"""What a U85's operations ask of its parts.

As on a U55 (work_u55.py), but the smallest block is the stream's own, and each core decodes its weights. Products of two
feature maps read the second one where others decode weights. Source of the steps and their cycles: EthosU85Performance in
regor/architecture/ethosu85/ethos_u85_performance.cpp of Vela's sources; here they are taken of the blocks that the stream
has.
"""

from __future__ import annotations

from math import prod

from mcu_sdk.npu.accelerator import Accelerator
from mcu_sdk.npu.cycles.rates import DIVISION, RatesU85, rates_u85
from mcu_sdk.npu.cycles.schedule import Start
from mcu_sdk.npu.cycles.work import (
    DECODED,
    Moved,
    Shape,
    Work,
    blocks_in,
    constants,
    over_blocks,
    read_by_window,
    stored_elements,
    sub_kernels,
    whole,
)
from mcu_sdk.npu.operations import FeatureMap
from mcu_sdk.npu.u85.operations import (
    Chained,
    Convolution,
    Elementwise,
    ElementwiseOperation,
    Output,
    Packed,
    Pooling,
    PoolingOperation,
    Resize,
    Tensor,
)

_INPUT_BYTES = 64
"""Of an element's channels, in one step of depth-first products."""
_POOL_STEP = 4
_TAPS_AT_ONCE = 4
_FAST_WEIGHTS = 32
"""Weights that a core takes in a cycle in the format FWD."""

Computing = Convolution | PoolingOperation | ElementwiseOperation | Resize


def work(operation: Computing, start: Start, accelerator: Accelerator, bus: int) -> Work:
    """Of any operation but a DMA. `bus`: bytes that a port moves at once."""
    speed = rates_u85(accelerator)
    height, width = start.ublock
    ublock = height, width, max(1, accelerator.macs // 8 // (height * width))
    if isinstance(operation, Convolution):
        return _convolution(operation, start.block, ublock, speed, accelerator, bus)
    if isinstance(operation, PoolingOperation):
        return _pooling(operation, start.block, ublock, speed, bus)
    if isinstance(operation, ElementwiseOperation):
        return _elementwise(operation, start.block, speed, bus)
    output = operation.output
    moved = tuple(whole(each, bus) for each in _maps(operation.ifm, output.ofm))
    return Work(
        0, 0.0, prod(output.shape) * _cost(output, speed), blocks_in(output.shape, start.block), moved
    )


def _convolution(
    operation: Convolution, block: Shape, ublock: Shape, speed: RatesU85, accelerator: Accelerator, bus: int
) -> Work:
    output, window, weights = operation.output, operation.window, operation.weights
    shape, ifm, kernel = output.shape, window.ifm, window.kernel
    taps, channels, bits = sub_kernels(kernel), ifm.shape[2], ifm.type.bits
    inputs = min(channels * ifm.type.size, _INPUT_BYTES)
    decoded = 0.0
    if isinstance(weights, Packed):
        decoded = DECODED * ublock[2] / (8 * accelerator.cores)
        if weights.fast:
            decoded = ublock[2] * inputs / ifm.type.size / (_FAST_WEIGHTS * accelerator.cores)
    if operation.depthwise:
        steps, step = sum(-(-n // _TAPS_AT_ONCE) for n in taps), _TAPS_AT_ONCE * bits // 8
    elif kernel.part_kernel:
        steps, step = sum(-(-n * bits // 8 // _TAPS_AT_ONCE) for n in taps) * -(-channels // 8), _TAPS_AT_ONCE
    else:
        steps, step = sum(taps) * -(-channels * ifm.type.size // _INPUT_BYTES), -(-inputs // 8)

    def array(part: Shape) -> float:
        high, broad, deep = (-(-size // unit) for size, unit in zip(part, ublock, strict=True))
        return steps * deep * max(decoded, step * high * broad)

    spatial = blocks_in((shape[0], shape[1], 1), (block[0], block[1], 1))
    moved = [Moved(ifm.region, read_by_window(window, shape, block, not operation.depthwise, bus))]
    if isinstance(weights, Packed):
        moved += constants(weights.streams, spatial, bus, speed.weights_in_flight)
        moved += constants([weights.scales], spatial, bus, speed.scales_in_flight)
    else:
        moved.append(Moved(weights.region, spatial * whole(weights, bus).count))
    if operation.addend is not None:
        moved.append(whole(operation.addend, bus))
    return Work(
        macs=prod(shape) * sum(taps) * (1 if operation.depthwise else channels),
        array=over_blocks(shape, block, array),
        output=prod(shape) * _cost(output, speed),
        blocks=blocks_in(shape, block),
        moved=(*moved, *(whole(each, bus) for each in _maps(output.ofm))),
    )


def _pooling(operation: PoolingOperation, block: Shape, ublock: Shape, speed: RatesU85, bus: int) -> Work:
    output, window = operation.output, operation.window
    shape, ifm = output.shape, window.ifm
    taps, channels, bits = sub_kernels(window.kernel), ifm.shape[2], ifm.type.bits
    sums = operation.mode is Pooling.REDUCE_SUM
    if operation.source is not None:  # a rescale: values enter where sums stand otherwise
        moved = [whole(operation.source, bus)]
    else:
        moved = [Moved(ifm.region, read_by_window(window, shape, block, sums, bus))]
    if operation.scales is not None:
        moved += constants([operation.scales], 1, bus, speed.scales_in_flight)

    def array(part: Shape) -> float:
        high, broad, deep = (-(-size // unit) for size, unit in zip(part, ublock, strict=True))
        if operation.source is not None:
            return 0.0
        if sums:
            return -(-channels * ifm.type.size // 8) * high * broad * deep
        return sum(max(_POOL_STEP, n) for n in taps) * (bits // 2) * high * broad * deep

    return Work(
        macs=prod(shape) * channels if sums else prod(shape) * sum(taps) * (sum(taps) > 1),
        array=over_blocks(shape, block, array),
        output=prod(shape) * _cost(output, speed),
        blocks=blocks_in(shape, block),
        moved=(*moved, *(whole(each, bus) for each in _maps(output.ofm))),
    )


def _elementwise(operation: ElementwiseOperation, block: Shape, speed: RatesU85, bus: int) -> Work:
    output = operation.output
    operands = [operation.first, *([operation.second] if operation.second is not None else [])]
    if operation.mode is Elementwise.DIV:
        cost = DIVISION
    else:
        wide = operation.first.type.bits == 32
        inside = isinstance(output.ofm, Chained) or any(isinstance(each.value, Chained) for each in operands)
        if inside and (wide or output.ofm.type.bits == 32):
            cost = speed.chained_32
        elif wide and len(operands) == 2:
            cost = speed.binary_32 if output.ofm.type.bits == 32 else speed.chained_32
        else:
            cost = _cost(output, speed)
    ofm = output.ofm
    maps = _maps(*(each.value for each in operands if not isinstance(each.value, int)), ofm)
    elements = stored_elements(ofm, output.shape) if isinstance(ofm, FeatureMap) else prod(output.shape)
    return Work(
        0, 0.0, elements * cost, blocks_in(output.shape, block), tuple(whole(each, bus) for each in maps)
    )


def _cost(output: Output, speed: RatesU85) -> float:
    """Cycles of the output stage for an element."""
    cost = speed.by_bits[output.ofm.type.bits]
    turned = output.transpose.index(1) < output.transpose.index(0) or output.reverse == 1
    return max(cost, speed.turned) if turned else cost


def _maps(*tensors: Tensor) -> list[FeatureMap]:
    """Those that are in memory, and not handed on inside."""
    return [tensor for tensor in tensors if isinstance(tensor, FeatureMap)]

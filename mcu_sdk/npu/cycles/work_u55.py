"""What a U55's or U65's operations ask of its parts.

The array works on one block of the output after the other; in a block on `Rates.ublock` of it at once, 8 input channels a
cycle. Weights come for one depth of a ublock and one block of inputs at a time, and no faster than they are decoded: a
linear over one row waits for them. Source of the steps and their cycles: `_estimate_conv_cycles` and its neighbours in
ethosu/vela/npu_performance.py, ethos-u-vela 5.1.0; here they are taken of the blocks that the stream has.
"""

from __future__ import annotations

from math import prod

from mcu_sdk.npu.accelerator import Accelerator
from mcu_sdk.npu.cycles.rates import Rates, rates
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
from mcu_sdk.npu.opcodes import Accumulator, Elementwise, IfmScale, Pooling
from mcu_sdk.npu.operations import (
    Convolution,
    ElementwiseOperation,
    FeatureMap,
    PoolingOperation,
)

Computing = Convolution | PoolingOperation | ElementwiseOperation

_STEP = 4
"""Cycles of one step of a ublock: a block of inputs has 32 bytes for each element, 8 a cycle."""
_INPUT_BYTES = 32
_POOL_STEP = 4
_TAPS_AT_ONCE = 4
"""Weights of a kernel that depthwise and part-kernel products take together."""


def work(operation: Computing, start: Start, accelerator: Accelerator, bus: int) -> Work:
    """Of any operation but a DMA. `bus`: bytes that a port moves at once."""
    speed = rates(accelerator)
    if isinstance(operation, Convolution):
        return _convolution(operation, start.block, speed, accelerator, bus)
    if isinstance(operation, PoolingOperation):
        return _pooling(operation, start.block, speed, accelerator, bus)
    return _elementwise(operation, start.block, speed, bus)


def _convolution(
    operation: Convolution, block: Shape, speed: Rates, accelerator: Accelerator, bus: int
) -> Work:
    output, window = operation.output, operation.window
    shape, ifm, kernel = output.ofm.shape, window.ifm, window.kernel
    taps, channels, bits = sub_kernels(kernel), ifm.shape[2], ifm.type.bits
    ublock = _ublock(speed, shape, kernel.height, depthwise=operation.depthwise)
    decoded = DECODED * ublock[2] // 8
    wide = 1
    if operation.depthwise:
        steps, wide = sum(-(-n // _TAPS_AT_ONCE) for n in taps), bits // 8
    elif kernel.part_kernel:
        at_once = _TAPS_AT_ONCE * 8 // bits
        steps = sum(-(-n // at_once) for n in taps) * -(-channels // 8)
    else:
        steps = sum(taps) * -(-channels * ifm.type.size // _INPUT_BYTES)

    def array(part: Shape) -> float:
        high, broad, deep = (-(-size // unit) for size, unit in zip(part, ublock, strict=True))
        return steps * deep * max(decoded, _STEP * wide * high * broad)

    spatial = blocks_in((shape[0], shape[1], 1), (block[0], block[1], 1))
    moved = [
        Moved(ifm.region, read_by_window(window, shape, block, not operation.depthwise, bus)),
        *constants((*operation.weights, *operation.scales), spatial, bus),
        whole(output.ofm, bus),
    ]
    return Work(
        macs=prod(shape) * sum(taps) * (1 if operation.depthwise else channels),
        array=over_blocks(shape, block, array) / accelerator.cores,
        output=prod(shape) * _after_products(operation.accumulator, output.table, speed),
        blocks=blocks_in(shape, block),
        moved=tuple(moved),
    )


def _pooling(
    operation: PoolingOperation, block: Shape, speed: Rates, accelerator: Accelerator, bus: int
) -> Work:
    output, window = operation.output, operation.window
    shape, ifm = output.ofm.shape, window.ifm
    taps, channels = sub_kernels(window.kernel), ifm.shape[2]
    sums = operation.mode is Pooling.REDUCE_SUM
    ublock = _ublock(speed, shape, window.kernel.height, depthwise=True)

    def array(part: Shape) -> float:
        high, broad, deep = (-(-size // unit) for size, unit in zip(part, ublock, strict=True))
        if sums:
            return _STEP * -(-channels * ifm.type.size // _INPUT_BYTES) * high * broad * deep
        halves = 1 if accelerator.macs == 32 else ifm.type.bits // 2
        return sum(max(_POOL_STEP, n) for n in taps) * halves * high * broad * deep

    cost = _after_products(operation.accumulator, output.table, speed)
    if operation.mode is Pooling.MAX:
        cost = speed.maximum if output.table is None else max(speed.maximum, speed.table)
    return Work(
        macs=prod(shape) * channels if sums else prod(shape) * sum(taps) * (sum(taps) > 1),
        array=over_blocks(shape, block, array) / accelerator.cores,
        output=prod(shape) * cost,
        blocks=blocks_in(shape, block),
        moved=(
            Moved(ifm.region, read_by_window(window, shape, block, sums, bus)),
            whole(output.ofm, bus),
        ),
    )


def _elementwise(operation: ElementwiseOperation, block: Shape, speed: Rates, bus: int) -> Work:
    output, first, second = operation.output, operation.first, operation.second
    ofm = output.ofm
    if first.type.bits == 32:
        cost = speed.unary_32 if second is None else speed.binary_32
    elif operation.mode is Elementwise.MUL:
        cost = speed.product_32 if ofm.type.bits == 32 else speed.product
    elif operation.mode in (Elementwise.ADD, Elementwise.SUB):
        cost = speed.sum if operation.scaling is IfmScale.BOTH else speed.scaled_sum
    else:
        cost = speed.other
    if output.table is not None:
        cost = max(cost, speed.table)
    maps = [first, *([second] if isinstance(second, FeatureMap) else []), ofm]
    elements = stored_elements(ofm, ofm.shape)
    return Work(
        0, 0.0, elements * cost, blocks_in(ofm.shape, block), tuple(whole(each, bus) for each in maps)
    )


def _ublock(speed: Rates, shape: Shape, kernel_height: int, depthwise: bool) -> Shape:
    """Two rows of two become one of four where the output has one row and an even number of columns."""
    height, _, depth = speed.ublock
    if height == 2 and not depthwise and shape[0] == 1 and shape[1] % 2 == 0 and kernel_height == 1:
        return 1, 4, depth
    return speed.ublock


def _after_products(accumulator: Accumulator, table: int | None, speed: Rates) -> float:
    cost = speed.product if accumulator is Accumulator.I40 else speed.other
    return cost if table is None else max(cost, speed.table)

"""Weights and scales as an Ethos-U55 or U65 reads them out of memory.

The weight stream is compressed (`ethosu.mlw_codec`, part of ethos-u-vela) and holds the weights in the order in which
the NPU consumes them, padding included: blocks of output channels; in each, blocks of input channels (32, or 16 for
part-kernel order and 16-bit feature maps); in each, pieces of the kernel of at most 8 x 8; in each, micro-blocks. Here
that order is undone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mcu_sdk.npu import weight_decoder
from mcu_sdk.npu.accelerator import Accelerator
from mcu_sdk.npu.operations import Convolution

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]

SCALE_BYTES = 10
"""Of each output channel: bias s40, scale u32, shift u6."""


def decode_weights(
    stream: bytes, operation: Convolution, accelerator: Accelerator, core: int, channels: int
) -> NDArray[np.int16]:
    """One core's weight stream -> int16[channels, rows, columns, input channels] (depthwise: one input channel).

    `channels` are the core's output channels: the cores take turns, in a block of channels too. Raises ValueError for
    a stream that is corrupt or holds another number of weights.
    """
    flat = weight_decoder.shared.decode(stream)
    order = _order(operation, accelerator, core, channels)
    if len(flat) != len(order):
        raise ValueError(f"the weight stream holds {len(flat)} weights; {len(order)} are needed")
    rows, columns = operation.window.kernel.taps
    depth = 1 if operation.depthwise else operation.window.ifm.shape[2]
    weights = np.zeros(channels * rows * columns * depth + 1, np.int16)
    weights[order] = flat  # the last element takes the padding
    return weights[:-1].reshape(channels, rows, columns, depth)


def decode_scales(data: bytes, channels: int) -> tuple[Integers, Integers, Integers]:
    """Biases, scales and shifts of `channels` output channels: int64[channels] each."""
    raw = np.frombuffer(data[: SCALE_BYTES * channels], np.uint8).reshape(channels, SCALE_BYTES)
    wide = raw.astype(np.int64)
    bias = sum(wide[:, i] << (8 * i) for i in range(5))
    bias = np.where(bias >> 39, bias - (1 << 40), bias)
    scale = sum(wide[:, 5 + i] << (8 * i) for i in range(4))
    return np.asarray(bias), np.asarray(scale), wide[:, 9] & 63


def _order(operation: Convolution, accelerator: Accelerator, core: int, channels: int) -> NDArray[np.int64]:
    """For each weight of the stream its index in [channels, rows, columns, depth]; one past the end for padding."""
    kernel = operation.window.kernel
    rows, columns = kernel.taps
    depth = 1 if operation.depthwise else operation.window.ifm.shape[2]
    past = channels * rows * columns * depth
    bits = operation.window.ifm.type.bits
    block_depth = len(range(core, operation.block_depth, len(operation.weights)))
    parts = [
        _sub_kernel(operation, accelerator, bits, (first, size), inputs, origin, extent)
        for first, size in _blocks(channels, block_depth)
        for inputs in _input_blocks(operation, accelerator, bits)
        for origin, extent in _pieces(rows, columns, kernel.dilation_y, kernel.dilation_x)
    ]
    o, y, x, i = (np.concatenate([part[axis] for part in parts]) for axis in range(4))
    inside = (o < channels) & (y < rows) & (i < depth)
    index = ((o * rows + y) * columns + x) * depth + i
    return np.where(inside, index, past)


def _blocks(total: int, size: int) -> list[tuple[int, int]]:
    """(first, number) of each block."""
    return [(first, min(size, total - first)) for first in range(0, total, size)]


def _input_blocks(operation: Convolution, accelerator: Accelerator, bits: int) -> list[tuple[int, int]]:
    """(first, number) of each block of input channels; the number is padded except in part-kernel order."""
    depth = operation.window.ifm.shape[2]
    if operation.depthwise:
        return [(0, accelerator.ifm_ublock_depth)]
    part_kernel = operation.window.kernel.part_kernel
    size = 16 if part_kernel or bits == 16 else 32
    return [(first, number if part_kernel else size) for first, number in _blocks(depth, size)]


def _pieces(
    rows: int, columns: int, dilation_y: int, dilation_x: int
) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """((row, column), (rows, columns)) of each piece of the kernel."""
    return [
        ((row, column), (height, width))
        for row, height in _blocks(rows, 8 // dilation_y)
        for column, width in _blocks(columns, 8 // dilation_x)
    ]


def _sub_kernel(
    operation: Convolution,
    accelerator: Accelerator,
    bits: int,
    outputs: tuple[int, int],
    inputs: tuple[int, int],
    origin: tuple[int, int],
    extent: tuple[int, int],
) -> tuple[Integers, Integers, Integers, Integers]:
    """Output channel, row, column and input channel of each weight of one piece, in the stream's order.

    Loops from the outside: groups of input channels (part-kernel order only), micro-blocks of output channels, kernel
    elements (padded to a multiple), groups of input channels (other orders), output channels, input channels.
    """
    part_kernel = operation.window.kernel.part_kernel and not operation.depthwise
    multiple = 4 if operation.depthwise else (2 if bits == 16 else 4) if part_kernel else 1
    elements = -(-extent[0] * extent[1] // multiple) * multiple
    lanes = 1 if operation.depthwise else accelerator.ifm_ublock_depth
    step = accelerator.ifm_ublock_depth
    groups = np.arange(0, inputs[1], step)
    outer, inner = (groups, np.zeros(1, np.int64)) if part_kernel else (np.zeros(1, np.int64), groups)
    blocks = np.arange(0, outputs[1], accelerator.ofm_ublock_depth)
    outer, blocks, element, inner, channel, lane = np.meshgrid(
        outer, blocks, np.arange(elements), inner, np.arange(accelerator.ofm_ublock_depth), np.arange(lanes),
        indexing="ij",
    )  # fmt: skip
    row = origin[0] + element // extent[1]
    # What lies behind the piece's last element is padding: a row outside the kernel says so.
    row = np.where(element < extent[0] * extent[1], row, np.int64(1) << 30)
    found = (
        outputs[0] + blocks + channel,
        row,
        origin[1] + element % extent[1],
        inputs[0] + outer + inner + lane,
    )
    return tuple(part.ravel().astype(np.int64) for part in found)  # type: ignore[return-value]

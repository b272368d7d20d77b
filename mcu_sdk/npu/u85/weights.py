"""Weights and scales as an Ethos-U85 reads them out of memory.

Two formats: SWD, the compression of the U55 and U65 with a stream for each core, and FWD, a palette or plain bytes in
one stream. Both hold the weights in the order in which the NPU consumes them, padding included: blocks of output
channels; in each, blocks of input channels, upwards and downwards in turn; in each, pieces of the kernel of at most
8 x 8, columns first; in each, groups of input channels, micro-blocks of output channels, the piece's elements (those
of each phase of the stride together, every second row backwards), eight input channels (depthwise: one), output
channels in fours, which cores take in turn. Here that order is undone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mcu_sdk.npu import weight_decoder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Integers = NDArray[np.int64]

SCALE_BYTES = 10
"""Of each output channel: bias s32, scale u31, shift u6; or, with 48-bit accumulators, bias s48, scale u15, shift u6."""
_PIECE = 8
_FOUR = 4
"""Output channels that a core takes before it is another one's turn."""
_LANES = 8
_PADDING = np.int64(1) << 40
"""A row that no kernel has."""
_FWD_HEADER = 32
"""Bytes: raw, small palette, 102 zeros, what was added to each raw weight (s8), the palette's 16 entries (9 bits)."""


@dataclass(frozen=True)
class WeightLayout:
    """What decides the order: `shape` is output channels, rows, columns, input channels (depthwise: 1)."""

    shape: tuple[int, int, int, int]
    depthwise: bool
    part_kernel: bool
    bits: int
    block_depth: int
    ublock_depth: int
    stride: tuple[int, int]
    dilation: tuple[int, int]
    macs: int
    cores: int

    @property
    def input_block(self) -> int:
        """Input channels of a block."""
        if self.depthwise:
            return 1
        if self.part_kernel:
            return 16
        return 32 if self.macs <= 256 and self.ublock_depth == 16 else 64

    @property
    def input_group(self) -> int:
        """Input channels that are worked on before the next element of the kernel."""
        return _LANES if self.part_kernel and self.bits == 16 else self.input_block

    @property
    def round_up(self) -> int:
        """Elements of a piece are padded to a multiple of this."""
        if self.depthwise:
            return 10
        return 1 if not self.part_kernel else 10 if self.bits == 16 else 5

    @property
    def depthwise_padding(self) -> int:
        """Further elements of padding behind each ten of a depthwise kernel."""
        if not self.depthwise or (self.bits == 8 and self.macs <= 256):
            return 0
        return 2 if self.macs <= 512 else 6


def decode_weights(streams: Sequence[bytes], layout: WeightLayout, fast: bool) -> NDArray[np.int16]:
    """int16[output channels, rows, columns, input channels]. `streams`: one for each core, or, `fast`, one in FWD.

    Raises ValueError for a stream that is corrupt, holds another number of weights, or weights where padding belongs.
    """
    orders = [_order(layout, core) for core in range(layout.cores)]
    if fast:
        size = layout.ublock_depth * layout.input_group * layout.round_up // layout.cores
        orders = [np.stack([order.reshape(-1, size) for order in orders], axis=1).ravel()]
    if len(streams) != len(orders):
        raise ValueError(f"there are {len(streams)} weight streams; {len(orders)} are needed")
    whole = np.zeros(int(np.prod(layout.shape)) + 1, np.int16)
    for stream, order in zip(streams, orders, strict=True):
        flat = _decode_fast(stream, len(order)) if fast else weight_decoder.shared.decode(stream)
        if len(flat) != len(order):
            raise ValueError(f"the weight stream holds {len(flat)} weights; {len(order)} are needed")
        if flat[order == whole.size - 1].any():
            raise ValueError("the weight stream has weights where padding belongs: it is in another order")
        whole[order] = flat  # the last element takes the padding
    return whole[:-1].reshape(layout.shape)


def decode_scales(data: bytes, channels: int, wide: bool) -> tuple[Integers, Integers, Integers]:
    """Biases, scales and shifts of `channels` output channels, int64[channels] each; `wide`: 48-bit accumulators.

    Raises ValueError for bits that are not zero where nothing is defined.
    """
    raw = (
        np.frombuffer(data[: SCALE_BYTES * channels], np.uint8)
        .reshape(channels, SCALE_BYTES)
        .astype(np.int64)
    )
    split = 6 if wide else 4
    bias = _number(raw[:, :split])
    bias = np.where(bias >> (8 * split - 1), bias - (1 << 8 * split), bias)
    scale = _number(raw[:, split:8])
    if (scale >> (8 * (8 - split) - 1)).any() or (raw[:, 8] >> 6).any() or raw[:, 9].any():
        raise ValueError("the scales have bits where none are defined")
    return np.asarray(bias), scale, raw[:, 8]


def _number(columns: Integers) -> Integers:
    """Bytes, the least first -> int64."""
    return np.asarray(sum(columns[:, i] << (8 * i) for i in range(columns.shape[1])))


def _decode_fast(stream: bytes, count: int) -> NDArray[np.int16]:
    """A stream in FWD. Raises ValueError for one that is corrupt or has not room for exactly `count` weights."""
    bits = np.unpackbits(np.frombuffer(stream, np.uint8), bitorder="little")
    if len(bits) < 8 * _FWD_HEADER:
        raise ValueError(f"the weight stream of {len(stream)} bytes is corrupt")
    is_raw, is_small = bool(bits[0]), bool(bits[1])
    if bits[2:104].any() or (is_raw and is_small):
        raise ValueError("the header of the weight stream is corrupt")
    width = 8 if is_raw else 2 if is_small else 4
    wanted = -(-count * width // 256) * 32 + _FWD_HEADER
    if len(stream) != wanted:
        raise ValueError(
            f"the weight stream has {len(stream)} bytes; {count} weights of {width} bits need {wanted}"
        )
    codes = _little(bits[256 : 256 + count * width], width)
    if is_raw:
        added = _little(bits[104:112], 8)[0]
        return (_signed(codes, 8) - _signed(added, 8)).astype(np.int16)
    entries = _little(bits[112:256], 9)
    palette = np.where(entries & 1, -(entries >> 1), entries >> 1)
    return palette[codes].astype(np.int16)


def _little(bits: NDArray[np.uint8], width: int) -> Integers:
    return np.asarray(bits.reshape(-1, width).astype(np.int64) @ (1 << np.arange(width)))


def _signed(values: Integers, width: int) -> Integers:
    return np.asarray(values - ((values >> (width - 1)) << width))


def _order(layout: WeightLayout, core: int) -> Integers:
    """For each weight of a core's stream its index in [channels, rows, columns, depth]; one past the end for padding."""
    channels, rows, columns, depth = layout.shape
    parts = [
        _piece(layout, core, outputs, inputs, origin, extent)
        for outputs, inputs in _blocks_of_channels(layout)
        for origin, extent in _pieces(layout)
    ]
    o, y, x, i = (np.concatenate([part[axis] for part in parts]) for axis in range(4))
    inside = (o < channels) & (y < rows) & (i < depth)
    return np.where(inside, ((o * rows + y) * columns + x) * depth + i, channels * rows * columns * depth)


def _blocks(total: int, size: int) -> list[tuple[int, int]]:
    """(first, number) of each block."""
    return [(first, min(size, total - first)) for first in range(0, total, size)]


def _blocks_of_channels(layout: WeightLayout) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Blocks of output and input channels; the latter forwards and backwards in turn."""
    inputs = _blocks(layout.shape[3], layout.input_block)
    for number, outputs in enumerate(_blocks(layout.shape[0], layout.block_depth)):
        for each in inputs if number % 2 == 0 else inputs[::-1]:
            yield outputs, each


def _pieces(layout: WeightLayout) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """((row, column), (rows, columns)) of each piece of the kernel."""
    for column, width in _blocks(layout.shape[2], _PIECE // layout.dilation[1]):
        for row, height in _blocks(layout.shape[1], _PIECE // layout.dilation[0]):
            yield (row, column), (height, width)


def _elements(layout: WeightLayout, extent: tuple[int, int]) -> list[tuple[int, int]]:
    """(row, column) of each element of a piece in order; padding has a row that no kernel has."""
    step_y, step_x = layout.stride if layout.depthwise or layout.part_kernel else (1, 1)
    found = []
    for phase_y in range(min(step_y, extent[0])):
        for phase_x in range(min(step_x, extent[1])):
            columns = list(range(phase_x, extent[1], step_x))
            for number, row in enumerate(range(phase_y, extent[0], step_y)):
                found += [(row, column) for column in (columns if number % 2 == 0 else columns[::-1])]
    size = layout.round_up
    padded = []
    for first in range(0, len(found), size):
        group = found[first : first + size]
        padded += group + [(int(_PADDING), 0)] * (size - len(group) + layout.depthwise_padding)
    return padded


def _piece(
    layout: WeightLayout,
    core: int,
    outputs: tuple[int, int],
    inputs: tuple[int, int],
    origin: tuple[int, int],
    extent: tuple[int, int],
) -> tuple[Integers, Integers, Integers, Integers]:
    """Output channel, row, column and input channel of each weight of one piece, in the stream's order."""
    elements = np.array(_elements(layout, extent), np.int64)
    group = layout.input_group
    lanes = 1 if layout.depthwise else _LANES
    axes = np.meshgrid(
        np.arange(0, inputs[1], group),
        np.arange(0, outputs[1], layout.ublock_depth),
        np.arange(len(elements)),
        np.arange(0, group, lanes),
        np.arange(core * _FOUR, layout.ublock_depth, _FOUR * layout.cores),
        np.arange(_FOUR),
        np.arange(lanes),
        indexing="ij",
    )
    outer, ublock, element, inner, four, channel, lane = (axis.ravel() for axis in axes)
    return (
        outputs[0] + ublock + four + channel,
        origin[0] + elements[element, 0],
        origin[1] + elements[element, 1],
        inputs[0] + outer + inner + lane,
    )

"""Which bytes of the scratch an Ethos-U's command stream writes: what of its inputs is still there afterwards.

Every operation writes one output feature map (OFM), every DMA one stretch of bytes. Of a feature map the whole
interval between its first and its last byte counts as written, gaps included.
"""

from __future__ import annotations

from mcu_sdk.errors import PteError
from mcu_sdk.npu.opcodes import COMPUTING, SCALES, Op, Set, SetWide
from mcu_sdk.npu.stream import Command, CommandStream

_INTERNAL = 0x100  # in a DMA's region: the memory inside the NPU

Interval = tuple[int, int]
"""[begin, end) in bytes."""


def written_intervals(stream: CommandStream, region: int) -> tuple[Interval, ...]:
    """The bytes of `region` that a U55's or U65's stream writes, as sorted, disjoint intervals.

    Raises PteError for a stream whose registers are used before they are set.
    """
    small: dict[int, int] = {}
    wide: dict[int, int] = {}
    found: list[Interval] = []
    for command in stream.commands:
        if command.payload is not None:
            wide[command.opcode] = command.payload | _high_bits(command) << 32
        elif command.opcode >= 0x100:
            small[command.opcode] = command.parameter
        elif command.opcode in COMPUTING or command.opcode == Op.DMA_START:
            try:
                if command.opcode == Op.DMA_START:
                    found += _dma(small, wide, region)
                elif small[Set.OFM_REGION] & 7 == region:
                    found += _feature_map(small, wide)
            except KeyError as error:
                raise PteError(
                    f"The Ethos-U command stream is corrupt: command {command.index} needs register {error.args[0]:#x}, "
                    "which nothing has set.",
                    hint="Lower the model again.",
                ) from error
    return _merge(found)


def _high_bits(command: Command) -> int:
    """Bits 39:32 of an address; other payloads keep a shift or nothing there."""
    return 0 if command.opcode in SCALES else command.parameter & 0xFF


def _dma(small: dict[int, int], wide: dict[int, int], region: int) -> list[Interval]:
    destination = small[Set.DMA0_DST_REGION]
    if destination & _INTERNAL or destination & 7 != region:
        return []
    begin = wide[SetWide.DMA0_DST]
    return [(begin, begin + wide[SetWide.DMA0_LEN])]


def _feature_map(small: dict[int, int], wide: dict[int, int]) -> list[Interval]:
    """The intervals of the OFM's tiles. The tiles: left above, right above, left below, right below."""
    width, height, depth = (small[r] + 1 for r in (Set.OFM_WIDTH_M1, Set.OFM_HEIGHT_M1, Set.OFM_DEPTH_M1))
    left = min(width, small[Set.OFM_WIDTH0_M1] + 1)
    left_height = min(height, small[Set.OFM_HEIGHT0_M1] + 1)
    right_height = min(height, small[Set.OFM_HEIGHT1_M1] + 1)
    tiles = (
        (left, left_height),
        (width - left, right_height),
        (left, height - left_height),
        (width - left, height - right_height),
    )
    precision = small[Set.OFM_PRECISION]
    element = 1 << (precision >> 1 & 3)
    stride_x, stride_y, stride_c = (
        _signed(wide[r]) for r in (SetWide.OFM_STRIDE_X, SetWide.OFM_STRIDE_Y, SetWide.OFM_STRIDE_C)
    )
    if precision >> 6 & 1:  # NHCWB16: 16 channels side by side; the last of the bricks may have fewer
        stride_x = 16 * element
        last = (depth - 1) // 16
        corners = [(0, 0), (0, min(depth, 16) - 1), (last, 0), (last, (depth - 1) % 16)]
        if last:
            corners.append((last - 1, 15))
        channels = [brick * stride_c + channel * element for brick, channel in corners]
    else:
        channels = [0, (depth - 1) * element]
    intervals = []
    for number, (tile_width, tile_height) in enumerate(tiles):
        if tile_width <= 0 or tile_height <= 0:
            continue
        steps = [(tile_width - 1) * stride_x, (tile_height - 1) * stride_y]
        base = wide[SetWide.OFM_BASE0 + number]
        low = base + sum(step for step in steps if step < 0) + min(channels)
        high = base + sum(step for step in steps if step > 0) + max(channels) + element
        intervals.append((low, high))
    return intervals


def _signed(stride: int) -> int:
    """A stride of 32 bits in two's complement, or of 40."""
    bits = 32 if stride < 1 << 32 else 40
    return stride - (1 << bits) if stride >> (bits - 1) else stride


def _merge(intervals: list[Interval]) -> tuple[Interval, ...]:
    merged: list[Interval] = []
    for begin, end in sorted(intervals):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((begin, end))
    return tuple(merged)

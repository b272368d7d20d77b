"""The written intervals against an enumeration of every byte of a feature map."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcu_sdk.errors import PteError
from mcu_sdk.npu.footprint import written_intervals
from mcu_sdk.npu.stream import read_stream
from tests.npu.blobs import command_block

STOP = 0xFFFF_0000


def small(opcode: int, value: int) -> list[int]:
    return [opcode | (value & 0xFFFF) << 16]


def wide(opcode: int, value: int) -> list[int]:
    return [0x4000 | opcode | (value >> 32 & 0xFF) << 16, value & 0xFFFFFFFF]


def operation(
    shape: tuple[int, int, int],
    tiles: tuple[int, int, int],
    bases: tuple[int, int, int, int],
    strides: tuple[int, int, int],
    *,
    bits: int,
    brick: bool,
    region: int = 1,
) -> list[int]:
    """A pooling with the OFM height, width, depth; `tiles` are height0, height1, width0; strides y, x, c."""
    height, width, depth = shape
    words = small(0x112, height - 1) + small(0x111, width - 1) + small(0x113, depth - 1)
    words += small(0x11B, tiles[0] - 1) + small(0x11C, tiles[1] - 1) + small(0x11A, tiles[2] - 1)
    words += small(0x114, {8: 1, 16: 3, 32: 5}[bits] | brick << 6) + small(0x11F, region)
    for number, base in enumerate(bases):
        words += wide(0x10 + number, base)
    words += wide(0x15, strides[0]) + wide(0x14, strides[1]) + wide(0x16, strides[2])
    return [*words, 0x005, STOP]


def enumerate_bytes(
    shape: tuple[int, int, int],
    tiles: tuple[int, int, int],
    bases: tuple[int, int, int, int],
    strides: tuple[int, int, int],
    bits: int,
    brick: bool,
) -> dict[int, set[int]]:
    """Every byte that each tile's elements have."""
    element = bits // 8
    found: dict[int, set[int]] = {}
    for y in range(shape[0]):
        for x in range(shape[1]):
            right = x >= tiles[2]
            limit = tiles[1] if right else tiles[0]
            low = y >= limit
            tile = 2 * low + right
            row, column = y - limit * low, x - tiles[2] * right
            for c in range(shape[2]):
                address = bases[tile] + row * strides[0]
                if brick:
                    address += column * 16 * element + c // 16 * strides[2] + c % 16 * element
                else:
                    address += column * strides[1] + c * element
                found.setdefault(tile, set()).update(range(address, address + element))
    return found


@given(
    shape=st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 20)),
    tiles=st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 6)),
    bits=st.sampled_from([8, 16, 32]),
    brick=st.booleans(),
    gaps=st.tuples(st.integers(0, 8), st.integers(0, 8)),
)
def test_every_byte_lies_in_an_interval(
    shape: tuple[int, int, int],
    tiles: tuple[int, int, int],
    bits: int,
    brick: bool,
    gaps: tuple[int, int],
) -> None:
    element = bits // 8
    stride_x = shape[2] * element + gaps[0]
    if brick:
        stride_x = 16 * element
    stride_c = shape[1] * 16 * element
    stride_y = shape[1] * stride_x * (2 if brick else 1) + gaps[1]
    strides = (stride_y, stride_x, stride_c)
    bases = (0, 10_000, 20_000, 30_000)
    words = operation(shape, tiles, bases, strides, bits=bits, brick=brick)
    found = written_intervals(read_stream(command_block(words)), region=1)
    tiles_bytes = enumerate_bytes(shape, tiles, bases, strides, bits, brick)
    assert set(found) == {(min(used), max(used) + 1) for used in tiles_bytes.values()}
    assert written_intervals(read_stream(command_block(words)), region=2) == ()


def test_negative_strides_reach_below_the_base() -> None:
    words = operation((3, 1, 4), (3, 1, 1), (100, 0, 0, 0), (-16 & 0xFFFFFFFF, 4, 0), bits=8, brick=False)
    assert written_intervals(read_stream(command_block(words)), region=1) == ((68, 104),)


def test_a_dma_writes_its_destination_but_not_inside_the_npu() -> None:
    words = small(0x131, 1) + wide(0x31, 48) + wide(0x32, 16) + [0x010, *small(0x131, 0x101), 0x010, STOP]
    assert written_intervals(read_stream(command_block(words)), region=1) == ((48, 64),)


def test_a_register_that_was_never_set_is_named() -> None:
    with pytest.raises(PteError, match="0x11f"):
        written_intervals(read_stream(command_block([0x005, STOP])), region=1)

"""The look-up tables behind an operation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mcu_sdk.npu.operations import Output

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]

_SLOPES = 512
_FRACTION_BITS = 7


def look_up(values: Integers, output: Output, internal: NDArray[np.uint8], base: int) -> Integers:
    """`values`, which are within the limits of the activation, through the table at `base` of the internal memory.

    8 bits: 256 entries of the OFM's type, one for each value from the least on. 16 bits: 512 entries of a slope and a base, between which
    7 bits of fraction interpolate. Raises ValueError for a table that reaches over the memory's end.
    """
    kind = output.ofm.type
    if kind.bits == 16:
        return _interpolated(values, _entries(internal, base, _SLOPES, "<u4"))
    entries = _entries(internal, base, 256, kind.numpy).astype(np.int64)
    return np.asarray(entries[values - kind.range[0]])


def _interpolated(values: Integers, entries: NDArray[np.int64]) -> Integers:
    entry = entries.astype(np.int64)[(values >> _FRACTION_BITS) + _SLOPES // 2]
    base = ((entry & 0xFFFF) ^ 0x8000) - 0x8000
    slope = ((entry >> 16) ^ 0x8000) - 0x8000
    fraction = values & ((1 << _FRACTION_BITS) - 1)
    half = 1 << (_FRACTION_BITS - 1)
    between = base + ((slope * fraction + half) >> _FRACTION_BITS)
    return np.asarray(np.clip(between, -(1 << 15), (1 << 15) - 1))


def _entries(internal: NDArray[np.uint8], base: int, count: int, dtype: str) -> NDArray[np.int64]:
    size = count * np.dtype(dtype).itemsize
    if base + size > internal.size:
        raise ValueError(f"a look-up table would reach to byte {base + size} of {internal.size}")
    return np.frombuffer(internal[base : base + size].tobytes(), dtype)

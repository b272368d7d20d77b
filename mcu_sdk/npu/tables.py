"""The memory inside the NPU, and the look-up tables in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mcu_sdk.npu.operations import Output

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]

_SLOPES = 512
_FRACTION_BITS = 7


class Internal:
    """The memory inside the NPU, `size` bytes: a DMA writes it, and only look-up tables are read out of it."""

    def __init__(self, size: int) -> None:
        self._bytes = np.zeros(size, np.uint8)
        self._written = np.zeros(size, bool)
        self.chained: dict[int, NDArray[np.int64]] = {}
        """Of a U85: what an operation hands to the next one, by the buffer's number."""

    def write(self, begin: int, data: NDArray[np.uint8]) -> None:
        """Raises ValueError for what reaches over the end."""
        end = begin + data.size
        if end > self._bytes.size:
            raise ValueError(
                f"bytes {begin} to {end} of the {self._bytes.size} inside the NPU would be written"
            )
        self._bytes[begin:end] = data
        self._written[begin:end] = True

    def read(self, begin: int, count: int, dtype: str) -> NDArray[np.int64]:
        """`count` numbers of a type, int64. Raises ValueError for bytes that nothing has written in this run."""
        end = begin + count * np.dtype(dtype).itemsize
        if end > self._bytes.size or not self._written[begin:end].all():
            raise ValueError(f"a table at bytes {begin} to {end} inside the NPU is used, and was not loaded")
        return self._bytes[begin:end].view(dtype).astype(np.int64)


def look_up(values: Integers, output: Output, internal: Internal, base: int) -> Integers:
    """`values`, which are within the limits of the activation, through the table at `base` of the internal memory.

    8 bits: 256 entries of the OFM's type, one for each value from the least on. 16 bits: 512 entries of a slope and a base, between which
    7 bits of fraction interpolate. Raises ValueError for a table that was not loaded.
    """
    kind = output.ofm.type
    if kind.bits == 16:
        return interpolated(values, internal.read(base, _SLOPES, "<u4"))
    entries = internal.read(base, 256, kind.numpy)
    return np.asarray(entries[values - kind.range[0]])


def interpolated(values: Integers, entries: NDArray[np.int64]) -> Integers:
    """16 bits to 16: rounded, and limited to them."""
    half = 1 << (_FRACTION_BITS - 1)
    between = (unrounded(values, entries) + half) >> _FRACTION_BITS
    return np.asarray(np.clip(between, -(1 << 15), (1 << 15) - 1))


def unrounded(values: Integers, entries: NDArray[np.int64]) -> Integers:
    """16 bits to 32: the 7 bits of fraction stay."""
    entry = entries[(values >> _FRACTION_BITS) + _SLOPES // 2]
    base = ((entry & 0xFFFF) ^ 0x8000) - 0x8000
    slope = ((entry >> 16) ^ 0x8000) - 0x8000
    fraction = values & ((1 << _FRACTION_BITS) - 1)
    return np.asarray((base << _FRACTION_BITS) + slope * fraction)

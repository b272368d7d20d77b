"""Feature maps in memory as numpy arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mcu_sdk.npu.operations import FeatureMap

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]

Region = Sequence["NDArray[np.uint8] | None"]
"""uint8[...] from each base pointer to the end of its memory, or None for a region that is not there."""


class OutOfBounds(Exception):
    """An access outside the memory behind a base pointer; the message says where."""


class FeatureMapAccess:
    """Reads and writes one feature map; what can be computed beforehand is."""

    def __init__(self, feature_map: FeatureMap) -> None:
        self._map = feature_map
        self._dtype = np.dtype(feature_map.type.numpy)
        size = feature_map.type.size
        depth = feature_map.shape[2]
        self._parts = []
        for base, row, column, rows, columns in feature_map.tiles():
            if feature_map.bricks:
                full, rest = divmod(depth, 16)
                pieces = [(0, full, 16)] if full else []
                pieces += [(full, 1, rest)] if rest else []
                for brick, bricks, channels in pieces:
                    shape = (rows, bricks, columns, channels)
                    strides = (feature_map.stride_y, feature_map.stride_c, 16 * size, size)
                    start = base + brick * feature_map.stride_c
                    self._parts.append((start, shape, strides, row, column, 16 * brick))
            else:
                shape = (rows, 1, columns, depth)
                strides = (feature_map.stride_y, 0, feature_map.stride_x, size)
                self._parts.append((base, shape, strides, row, column, 0))

    def extent(self) -> tuple[int, int]:
        """First byte, and one past the last, from the region's base."""
        ends = [
            _reach(start, shape, strides, self._dtype.itemsize) for start, shape, strides, *_ in self._parts
        ]
        return min(low for low, _ in ends), max(high for _, high in ends)

    def load(self, regions: Region) -> NDArray[Any]:
        """[height, width, depth] in the map's own type. Raises OutOfBounds."""
        whole = np.empty(self._map.shape, self._dtype)
        for view, row, column, channel in self._views(regions):
            rows, bricks, columns, channels = view.shape
            target = whole[row : row + rows, column : column + columns, channel : channel + bricks * channels]
            target[:] = view.transpose(0, 2, 1, 3).reshape(rows, columns, bricks * channels)
        return whole

    def store(self, regions: Region, values: NDArray[Any]) -> None:
        """Write [height, width, depth]; values outside the type's range are the caller's mistake. Raises OutOfBounds."""
        for view, row, column, channel in self._views(regions):
            rows, bricks, columns, channels = view.shape
            part = values[row : row + rows, column : column + columns, channel : channel + bricks * channels]
            view[:] = part.reshape(rows, columns, bricks, channels).transpose(0, 2, 1, 3)

    def _views(self, regions: Region) -> list[tuple[NDArray[Any], int, int, int]]:
        memory = regions[self._map.region] if self._map.region < len(regions) else None
        if memory is None:
            raise OutOfBounds(f"a feature map lies in region {self._map.region}, which has no memory")
        low, high = self.extent()
        if low < 0 or high > memory.size:
            raise OutOfBounds(
                f"a feature map has bytes {low} to {high} of region {self._map.region}, which has {memory.size}"
            )
        return [
            (
                np.ndarray(shape, self._dtype, memory.data, start, strides),
                row,
                column,
                channel,
            )
            for start, shape, strides, row, column, channel in self._parts
        ]


def take(regions: Region, region: int, begin: int, length: int) -> NDArray[np.uint8]:
    """Bytes of a region, not copied. Raises OutOfBounds."""
    memory = regions[region] if region < len(regions) else None
    if memory is None:
        raise OutOfBounds(f"region {region} has no memory")
    if begin < 0 or length < 0 or begin + length > memory.size:
        raise OutOfBounds(f"bytes {begin} to {begin + length} of region {region}, which has {memory.size}")
    return memory[begin : begin + length]


def _reach(start: int, shape: tuple[int, ...], strides: tuple[int, ...], size: int) -> tuple[int, int]:
    steps = [(extent - 1) * stride for extent, stride in zip(shape, strides, strict=True)]
    return start + sum(s for s in steps if s < 0), start + sum(s for s in steps if s > 0) + size

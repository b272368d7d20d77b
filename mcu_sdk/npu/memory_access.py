"""Feature maps in memory as numpy arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from mcu_sdk.npu.operations import FeatureMap

if TYPE_CHECKING:
    from numpy.typing import NDArray

Region = Sequence["NDArray[np.uint8] | None"]
"""uint8[...] from each base pointer to the end of its memory, or None for a region that is not there."""

_BRICK = 16
_MOST_ELEMENTS = 1 << 26
"""Of a feature map: far more than fits any memory these NPUs are built with, and few enough for buffers of ours."""


class OutOfBounds(Exception):
    """An access outside the memory behind a base pointer; the message says where."""


@dataclass(frozen=True)
class _Part:
    """Elements at regular steps in memory: three axes, or four where the channels are in whole bricks (rows, columns,
    bricks, channels). `index`: where they belong in [height, width, depth], None where they are all of it."""

    start: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    index: tuple[slice, slice, slice] | None


class FeatureMapAccess:
    """Reads and writes one feature map; what can be computed beforehand is. Raises ValueError for one that is too large
    to be simulated."""

    def __init__(self, feature_map: FeatureMap) -> None:
        if prod(feature_map.shape) > _MOST_ELEMENTS:
            raise ValueError(f"a feature map of {feature_map.shape} elements is not simulated")
        self._map = feature_map
        self._dtype = np.dtype(feature_map.type.numpy)
        self._parts = [part for tile in feature_map.tiles() for part in _parts(feature_map, *tile)]
        ends = [_reach(part, feature_map.type.size) for part in self._parts]
        self._low, self._high = min(low for low, _ in ends), max(high for _, high in ends)
        self._is_plain = len(self._parts) == 1 and len(self._parts[0].shape) == 3

    def extent(self) -> tuple[int, int]:
        """First byte, and one past the last, from the region's base."""
        return self._low, self._high

    def load(self, regions: Region) -> NDArray[Any]:
        """[height, width, depth] in the map's own type: the memory itself or a copy, only to be read. Raises
        OutOfBounds."""
        if self._is_plain:
            return self._view(self._memory(regions), self._parts[0])
        whole = np.empty(self._map.shape, self._dtype)
        self.load_into(regions, whole)
        return whole

    def load_into(self, regions: Region, whole: NDArray[Any]) -> None:
        """Fill `whole` [height, width, depth] of any type that holds the values. Raises OutOfBounds."""
        memory = self._memory(regions)
        for part in self._parts:
            target = whole if part.index is None else whole[part.index]
            if len(part.shape) == 4:
                target = np.reshape(target, part.shape, copy=False)  # splits an axis: never a copy
            target[...] = self._view(memory, part)

    def store(self, regions: Region, values: NDArray[Any]) -> None:
        """Write [height, width, depth]; values outside the type's range are the caller's mistake. Raises OutOfBounds."""
        memory = self._memory(regions)
        for part in self._parts:
            source = values if part.index is None else values[part.index]
            self._view(memory, part)[...] = source.reshape(part.shape) if len(part.shape) == 4 else source

    def _memory(self, regions: Region) -> NDArray[np.uint8]:
        memory = regions[self._map.region] if self._map.region < len(regions) else None
        if memory is None:
            raise OutOfBounds(f"a feature map lies in region {self._map.region}, which has no memory")
        if self._low < 0 or self._high > memory.size:
            raise OutOfBounds(
                f"a feature map has bytes {self._low} to {self._high} of region {self._map.region}, which has "
                f"{memory.size}"
            )
        return memory

    def _view(self, memory: NDArray[np.uint8], part: _Part) -> NDArray[Any]:
        return np.ndarray(part.shape, self._dtype, memory.data, part.start, part.strides)


def take(regions: Region, region: int, begin: int, length: int) -> NDArray[np.uint8]:
    """Bytes of a region, not copied. Raises OutOfBounds."""
    memory = regions[region] if region < len(regions) else None
    if memory is None:
        raise OutOfBounds(f"region {region} has no memory")
    if begin < 0 or length < 0 or begin + length > memory.size:
        raise OutOfBounds(f"bytes {begin} to {begin + length} of region {region}, which has {memory.size}")
    return memory[begin : begin + length]


def _parts(feature_map: FeatureMap, base: int, row: int, column: int, rows: int, columns: int) -> list[_Part]:
    """The parts of one tile."""
    size, depth = feature_map.type.size, feature_map.shape[2]
    step_y, step_x, step_c = feature_map.stride_y, feature_map.stride_x, feature_map.stride_c
    if feature_map.bricks:
        step_x = _BRICK * size
    in_bricks = feature_map.bricks and depth > _BRICK and step_c != _BRICK * size
    found = []
    full, rest = divmod(depth, _BRICK) if in_bricks else (0, depth)
    if full:
        channels = full * _BRICK
        shape = (rows, columns, full, _BRICK)
        index = _index(feature_map, row, column, rows, columns, 0, channels)
        found.append(_Part(base, shape, (step_y, step_x, step_c, size), index))
    if rest:
        index = _index(feature_map, row, column, rows, columns, full * _BRICK, depth)
        found.append(_Part(base + full * step_c, (rows, columns, rest), (step_y, step_x, size), index))
    return found


def _index(
    feature_map: FeatureMap, row: int, column: int, rows: int, columns: int, first: int, end: int
) -> tuple[slice, slice, slice] | None:
    if (rows, columns, end - first) == feature_map.shape:
        return None
    return slice(row, row + rows), slice(column, column + columns), slice(first, end)


def _reach(part: _Part, size: int) -> tuple[int, int]:
    steps = [(extent - 1) * stride for extent, stride in zip(part.shape, part.strides, strict=True)]
    return part.start + sum(s for s in steps if s < 0), part.start + sum(s for s in steps if s > 0) + size

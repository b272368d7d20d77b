"""Pillow's resampling of 8 bits a channel (src/libImaging/Resample.c): which lines make a line, and by what weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

WEIGHT_BITS = 22
"""Behind the point of a weight."""

NEAREST, LANCZOS, BILINEAR, BICUBIC, BOX, HAMMING = range(6)
"""Pillow's numbers."""


def _triangle(x: float) -> float:
    return 1 - abs(x) if abs(x) < 1 else 0.0


def _box(x: float) -> float:
    return 1.0 if -0.5 < x <= 0.5 else 0.0


def _sinc(x: float) -> float:
    return 1.0 if x == 0 else math.sin(x * math.pi) / (x * math.pi)


def _hamming(x: float) -> float:
    x = abs(x)
    if x == 0:
        return 1.0
    return 0.0 if x >= 1 else _sinc(x) * (0.54 + 0.46 * math.cos(x * math.pi))


def _bicubic(x: float, a: float = -0.5) -> float:
    x = abs(x)
    if x < 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return (((x - 5) * x + 8) * x - 4) * a if x < 2 else 0.0


def _lanczos(x: float) -> float:
    return _sinc(x) * _sinc(x / 3) if -3 <= x < 3 else 0.0


FILTERS: Mapping[int, tuple[Callable[[float], float], float]] = {
    BOX: (_box, 0.5),
    BILINEAR: (_triangle, 1.0),
    HAMMING: (_hamming, 1.0),
    BICUBIC: (_bicubic, 2.0),
    LANCZOS: (_lanczos, 3.0),
}
"""And how far each reaches."""


def spans_of(length: int, side: int, resample: int) -> tuple[list[tuple[int, int]], list[list[int]]]:
    """(begin, count) of the source's lines of each of `side` lines, and their weights."""
    if length == side or resample == NEAREST:
        step, place = length / side, 0.5 * length / side
        places = []
        for _ in range(side):  # as Pillow adds them up
            places.append(int(place))
            place += step
        return [(place, 1) for place in places], [[1 << WEIGHT_BITS] for _ in places]
    function, reach = FILTERS[resample]
    scale = length / side
    stretch = max(scale, 1.0)
    support = reach * stretch
    spans, weights = [], []
    for line in range(side):
        center = (line + 0.5) * scale
        begin = max(int(center - support + 0.5), 0)
        end = min(int(center + support + 0.5), length)
        parts = [function((place - center + 0.5) * (1 / stretch)) for place in range(begin, end)]
        total = sum(parts)
        scaled = [part / total * (1 << WEIGHT_BITS) for part in parts]
        spans.append((begin, end - begin))
        weights.append([int(part - 0.5) if part < 0 else int(part + 0.5) for part in scaled])
    return spans, weights


def cropped(
    spans: list[tuple[int, int]], weights: list[list[int]], side: int, wanted: int, length: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The middle `wanted` lines of `side`, with lines of nothing around where they are fewer (project/images.py)."""
    before = 0
    if side < wanted:
        # As much is added on both sides as to reach `wanted`, the larger half first.
        before = math.ceil((wanted - side) / 2)
        first = 0
    else:
        first = (side - wanted) // 2
    kept = range(first, min(side, first + wanted))
    after = wanted - before - len(kept)
    found = [(0, 0)] * before + [spans[line] for line in kept] + [(length, 0)] * after
    return flat(found, [weights[line] for line in kept])


def flat(
    spans: list[tuple[int, int]], weights: list[list[int]]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Spans int32[lines, 2], and their weights one after the other."""
    return np.array(spans, np.int32), np.array([part for line in weights for part in line], np.int32)

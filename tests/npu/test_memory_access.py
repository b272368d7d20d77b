"""Feature maps in memory, element by element against the formula of their addresses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcu_sdk.npu.memory_access import FeatureMapAccess, OutOfBounds, take
from mcu_sdk.npu.operations import ElementType, FeatureMap


def _address(feature_map: FeatureMap, y: int, x: int, c: int) -> int:
    right = x >= feature_map.width0
    height = feature_map.height1 if right else feature_map.height0
    lower = y >= height
    y, x = y - height * lower, x - feature_map.width0 * right
    size = feature_map.type.size
    base = feature_map.bases[2 * lower + right] + y * feature_map.stride_y
    if feature_map.bricks:
        return base + c // 16 * feature_map.stride_c + (16 * x + c % 16) * size
    return base + x * feature_map.stride_x + c * size


@st.composite
def feature_maps(draw: st.DrawFn) -> FeatureMap:
    """Maps whose elements do not overlap: each tile has its own stretch, rows may run backwards."""
    height, width, depth = draw(st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 40)))
    kind = ElementType(draw(st.sampled_from([8, 16, 32])), signed=True)
    bricks = draw(st.booleans())
    row = width * (-(-depth // 16) * 16 if bricks else depth) * kind.size
    backwards = draw(st.booleans())
    tile = 8 * row
    first = 5 * row if backwards else 0
    return FeatureMap(
        shape=(height, width, depth),
        type=kind,
        region=1,
        bases=(first, first + tile, first + 2 * tile, first + 3 * tile),
        height0=draw(st.integers(1, 6)),
        height1=draw(st.integers(1, 6)),
        width0=draw(st.integers(1, 6)),
        stride_y=-row if backwards else row,
        stride_x=depth * kind.size,
        stride_c=16 * width * kind.size,
        bricks=bricks,
        zero_point=0,
    )


@given(feature_map=feature_maps(), seed=st.integers(0, 99))
def test_every_element_is_where_the_formula_says(feature_map: FeatureMap, seed: int) -> None:
    kind = np.dtype(feature_map.type.numpy)
    addresses = [_address(feature_map, *index) for index in np.ndindex(feature_map.shape)]
    memory = np.random.default_rng(seed).integers(0, 256, max(addresses) + kind.itemsize, np.uint8)
    access = FeatureMapAccess(feature_map)
    expected = np.array([memory[a : a + kind.itemsize].view(kind)[0] for a in addresses])
    loaded = access.load([None, memory])
    np.testing.assert_array_equal(loaded.ravel(), expected)
    assert access.extent() == (min(addresses), max(addresses) + kind.itemsize)

    wide = np.zeros((feature_map.shape[0] + 2, *feature_map.shape[1:]), np.float64)
    access.load_into([None, memory], wide[1:-1])
    np.testing.assert_array_equal(wide[1:-1].ravel(), expected)
    assert not wide[[0, -1]].any()

    other = memory.copy()
    negated = ~loaded.astype(np.int64)
    access.store([None, other], negated)
    np.testing.assert_array_equal(access.load([None, other]), negated)
    touched = np.zeros(memory.size, bool)
    for address in addresses:
        touched[address : address + kind.itemsize] = True
    np.testing.assert_array_equal(other[~touched], memory[~touched])


@given(feature_map=feature_maps())
def test_one_byte_too_few_is_noticed(feature_map: FeatureMap) -> None:
    access = FeatureMapAccess(feature_map)
    memory = np.zeros(access.extent()[1] - 1, np.uint8)
    with pytest.raises(OutOfBounds, match="of region 1, which has"):
        access.load([None, memory])
    with pytest.raises(OutOfBounds):
        access.store([None, memory], np.zeros(feature_map.shape, np.int64))


def test_stretches() -> None:
    memory = np.arange(8, dtype=np.uint8)
    assert take([memory], 0, 2, 3).tolist() == [2, 3, 4]
    for begin, length in ((6, 3), (-1, 2)):
        with pytest.raises(OutOfBounds):
            take([memory], 0, begin, length)
    with pytest.raises(OutOfBounds, match="region 3 has no memory"):
        take([memory], 3, 0, 1)

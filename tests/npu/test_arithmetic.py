"""Scaling against integers of any size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcu_sdk.npu.arithmetic import Scaler, largest
from mcu_sdk.npu.opcodes import Rounding

WIDE = st.integers(-(1 << 39), (1 << 39) - 1)


def _exactly(value: int, scale: int, shift: int, rounding: Rounding) -> int:
    """TOSA's apply_scale_32, without its limits."""
    addend = (1 << shift) >> 1
    if rounding is Rounding.DOUBLE and shift > 31:
        addend += (1 << 30) if value >= 0 else -(1 << 30)
    return (value * scale + addend) >> shift


@given(
    values=st.lists(WIDE, min_size=1, max_size=20),
    scale=st.integers(0, (1 << 32) - 1),
    shift=st.integers(20, 62),
    rounding=st.sampled_from([Rounding.NATURAL, Rounding.DOUBLE]),
)
def test_products_of_any_width(values: list[int], scale: int, shift: int, rounding: Rounding) -> None:
    found = Scaler(scale, shift, rounding)(np.array(values, np.int64))
    assert found.tolist() == [_exactly(value, scale, shift, rounding) for value in values]


@given(
    values=st.lists(st.integers(-(1 << 31), (1 << 31) - 1), min_size=3, max_size=3),
    scales=st.lists(st.integers(0, (1 << 31) - 1), min_size=3, max_size=3),
    shifts=st.lists(st.integers(0, 62), min_size=3, max_size=3),
)
def test_a_scale_for_each_channel(values: list[int], scales: list[int], shifts: list[int]) -> None:
    try:
        found = Scaler(np.array(scales), np.array(shifts), Rounding.NATURAL)(np.array(values, np.int64))
    except OverflowError:  # refused rather than wrong: over 63 bits, and a shift that leaves too many of them
        assert max(abs(v) for v in values) * max(scales) + (1 << max(shifts)) >= 1 << 62
        return
    assert found.tolist() == [
        _exactly(v, scale, shift, Rounding.NATURAL)
        for v, scale, shift in zip(values, scales, shifts, strict=True)
    ]


@given(bound=st.integers(1, 1 << 31), scale=st.integers(1, (1 << 32) - 1), shift=st.integers(0, 40))
def test_identity_changes_no_value_up_to_the_bound(bound: int, scale: int, shift: int) -> None:
    for rounding in (Rounding.NATURAL, Rounding.DOUBLE):
        if Scaler(scale, shift, rounding, bound).is_identity:
            for value in (bound, -bound, 1, -1, 0):
                assert _exactly(value, scale, shift, rounding) == value


def test_velas_scale_for_one_element_is_an_identity() -> None:
    assert Scaler((1 << 31) + 1, 31, Rounding.DOUBLE, bound=1 << 16).is_identity
    assert not Scaler((1 << 31) + 1, 31, Rounding.DOUBLE, bound=1 << 31).is_identity


def test_truncation_is_refused() -> None:
    with pytest.raises(ValueError, match="TRUNCATE"):
        Scaler(3, 1, Rounding.TRUNCATE)
    assert Scaler(2, 1, Rounding.TRUNCATE).is_identity


def test_too_wide_a_product_is_refused() -> None:
    with pytest.raises(OverflowError, match="too wide"):
        Scaler((1 << 32) - 1, 0, Rounding.NATURAL)(np.array([1 << 40]))


def test_largest_magnitude() -> None:
    assert largest(np.array([3, -5])) == 5
    assert largest(np.array([], np.int64)) == 0

"""mcu_linear_s8, _static, _requantize, _add_s16, mcu_quantize_rows, mcu_quantize and mcu_embedding_s8 are their references."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import from_numpy

from mcu_sdk.operators.reference import linear
from tests.kernels.call import EXTREMES, Guarded, assert_same_bits, call, int8, normal

SHAPES = [
    (1, 1, 1),
    (1, 1, 7),
    (3, 5, 4),
    (1, 16, 8),
    (2, 17, 9),
    (1, 31, 33),
    (1, 64, 64),
    (4, 100, 3),
    (1, 688, 5),
]
"""(rows, k, n)"""
SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.tuples(st.integers(0, 4), st.integers(1, 70), st.integers(0, 20))


def _t(array: Any) -> Any:
    return None if array is None else from_numpy(array)


def _check_linear_s8(library: ctypes.CDLL, size: tuple[int, int, int], seed: int, with_bias: bool) -> None:
    rows, k, n = size
    rng = np.random.default_rng(seed)
    x, x_scale, weight, weight_scale = int8(rng, rows, k), normal(rng, rows), int8(rng, n, k), normal(rng, n)
    bias = normal(rng, n) if with_bias else None
    out = Guarded((rows, n), np.float32)
    call(library, "linear_s8", x, x_scale, weight, weight_scale, bias, out, rows, k, n)
    expected = linear.linear_s8(_t(x), _t(x_scale), _t(weight), _t(weight_scale), _t(bias)).numpy()
    assert_same_bits(out.array, expected)


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("size", [size for size in SHAPES if size[0] > 1])
def test_pairs_of_rows(kernel_library: ctypes.CDLL, size: tuple[int, int, int], static: bool) -> None:
    """What the kernels for one row after the other give, in any order of the rows' pairs."""
    rows, k, n = size
    rng = np.random.default_rng(2)
    x, weight, scale, bias = int8(rng, rows, k), int8(rng, n, k), normal(rng, n), normal(rng, n)
    offset, row_scale = rng.integers(-99, 99, n).astype(np.int32), normal(rng, rows)
    results = []
    for pairs in (False, True):
        out, scratch = Guarded((rows, n), np.float32), Guarded(64 * -(-k // 16), np.uint8, aligned=True)
        middle = (scratch,) if pairs else ()
        operands = (x, weight, offset, scale, bias) if static else (x, row_scale, weight, scale, bias)
        name = f"linear_s8{'_static' if static else ''}{'_pairs' if pairs else ''}"
        call(kernel_library, name, *operands, out, *middle, rows, k, n)
        results.append(out.array)
    assert_same_bits(results[1], results[0])


@pytest.mark.parametrize("size", SHAPES)
@pytest.mark.parametrize("with_bias", [False, True])
def test_linear_s8(kernel_library: ctypes.CDLL, size: tuple[int, int, int], with_bias: bool) -> None:
    _check_linear_s8(kernel_library, size, 1, with_bias)


@settings(max_examples=60, deadline=None)
@given(size=SIZES, seed=SEEDS, with_bias=st.booleans())
def test_linear_s8_any_size(
    kernel_library: ctypes.CDLL, size: tuple[int, int, int], seed: int, with_bias: bool
) -> None:
    _check_linear_s8(kernel_library, size, seed, with_bias)


@pytest.mark.parametrize("value", [-128, 127])
def test_linear_s8_longest_sum_is_exact(kernel_library: ctypes.CDLL, value: int) -> None:
    """The longest row that the emitters let through does not overflow."""
    k = (1 << 16) - 1
    x, weight = np.full((1, k), value, np.int8), np.full((1, k), -128, np.int8)
    one, out = np.ones(1, np.float32), Guarded((1, 1), np.float32)
    call(kernel_library, "linear_s8", x, one, weight, one, None, out, 1, k, 1)
    assert out.array[0, 0] == np.float32(value * -128 * k)


@settings(max_examples=60, deadline=None)
@given(size=SIZES, seed=SEEDS, with_bias=st.booleans())
def test_linear_s8_static(
    kernel_library: ctypes.CDLL, size: tuple[int, int, int], seed: int, with_bias: bool
) -> None:
    rows, k, n = size
    rng = np.random.default_rng(seed)
    x, weight, scale = int8(rng, rows, k), int8(rng, n, k), normal(rng, n)
    offset = (
        rng.integers(-(2**31), 2**31, n).astype(np.int32)
        if seed % 2
        else rng.integers(-9999, 9999, n, np.int32)
    )
    bias = normal(rng, n) if with_bias else None
    out = Guarded((rows, n), np.float32)
    call(kernel_library, "linear_s8_static", x, weight, offset, scale, bias, out, rows, k, n)
    expected = linear.linear_s8_static(_t(x), _t(weight), _t(offset), _t(scale), _t(bias)).numpy()
    assert_same_bits(out.array, expected)


@settings(max_examples=100, deadline=None)
@given(
    size=SIZES,
    seed=SEEDS,
    zero_point=st.integers(-128, 127),
    limits=st.tuples(st.integers(-128, 127), st.integers(-128, 127)),
    extreme=st.booleans(),
)
def test_linear_s8_requantize(
    kernel_library: ctypes.CDLL,
    size: tuple[int, int, int],
    seed: int,
    zero_point: int,
    limits: tuple[int, int],
    extreme: bool,
) -> None:
    rows, k, n = size
    rng = np.random.default_rng(seed)
    x, weight = int8(rng, rows, k), int8(rng, n, k)
    bias, multiplier, shift = requantization(rng, n, extreme=extreme, largest_shift=31 if extreme else 0)
    low, high = sorted(limits)
    out = Guarded((rows, n), np.int8)
    call(
        kernel_library,
        "linear_s8_requantize",
        x,
        weight,
        bias,
        multiplier,
        shift,
        out,
        rows,
        k,
        n,
        zero_point,
        low,
        high,
    )
    expected = linear.linear_s8_requantize(
        _t(x), _t(weight), _t(bias), _t(multiplier), _t(shift), zero_point, low, high
    ).numpy()
    assert_same_bits(out.array, expected)


def requantization(
    rng: np.random.Generator, n: int, *, extreme: bool, largest_shift: int = 0
) -> tuple[Any, Any, Any]:
    """(bias, multiplier, shift) for n channels; with `extreme` the ends of what the emitters let through, and sums that wrap."""
    if extreme:
        bias = rng.choice(np.array([-(2**31), -1, 0, 1, 2**31 - 1]), n).astype(np.int32)
        multiplier = rng.choice(np.array([0, 1, 2**30, 2**31 - 1]), n).astype(np.int32)
        return bias, multiplier, rng.integers(-31, largest_shift + 1, n).astype(np.int32)
    bias = rng.integers(-5000, 5000, n).astype(np.int32)
    multiplier = rng.integers(2**30, 2**31, n).astype(np.int32)
    return bias, multiplier, rng.integers(-14, largest_shift + 1, n).astype(np.int32)


def residual(rng: np.random.Generator, rows: int, n: int) -> Any:
    """int16[rows, n], a third of it at the ends."""
    values = rng.integers(-(2**15), 2**15, (rows, n))
    ends = rng.choice(np.array([-(2**15), 2**15 - 1]), (rows, n))
    return np.where(rng.random((rows, n)) < 0.3, ends, values).astype(np.int16)


@settings(max_examples=60, deadline=None)
@given(size=SIZES, seed=SEEDS, in_place=st.booleans())
def test_linear_s8_add_s16(
    kernel_library: ctypes.CDLL, size: tuple[int, int, int], seed: int, in_place: bool
) -> None:
    rows, k, n = size
    rng = np.random.default_rng(seed)
    x, weight = int8(rng, rows, k), int8(rng, n, k)
    bias = rng.integers(-(2**20), 2**20, n).astype(np.int32)
    multiplier = rng.integers(2**30, 2**31, n).astype(np.int32)
    shift = rng.integers(-9, 4, n).astype(np.int32)
    added = residual(rng, rows, n)
    out = Guarded((rows, n), np.int16, added if in_place else None)
    before = out if in_place else added
    call(kernel_library, "linear_s8_add_s16", before, x, weight, bias, multiplier, shift, out, rows, k, n)
    expected = linear.linear_s8_add_s16(*map(_t, (added, x, weight, bias, multiplier, shift)))
    assert_same_bits(out.array, expected.numpy())


def test_a_residual_saturates_before_and_after() -> None:
    """By hand: 40,000 becomes 32,767, less 30,000; then 32,767 twice; and the same below."""
    bias = np.array([40000, 40000, -40000, -40000, 5], np.int32)
    multiplier, shift = np.full(5, 2**30, np.int32), np.ones(5, np.int32)
    added = np.array([[-30000, 32767, 30000, -32768, 7]], np.int16)
    zeros = np.zeros((5, 1), np.int8)
    result = linear.linear_s8_add_s16(*map(_t, (added, zeros[:1], zeros, bias, multiplier, shift)))
    assert result.tolist() == [[2767, 32767, -2768, -32768, 12]]


def test_requantize_rounds_ties_away_from_zero(kernel_library: ctypes.CDLL) -> None:
    """By hand: acc * 2^30 * 2 / 2^31 = acc, then a shift by 1 of 3, -3, 5, -5: 1.5 -> 2, -1.5 -> -2, ..."""
    bias = np.array([3, -3, 5, -5, 4, -4], np.int32)
    n = len(bias)
    multiplier, shift = np.full(n, 2**30, np.int32), np.zeros(n, np.int32)
    out = Guarded((1, n), np.int8)
    zeros = np.zeros((n, 1), np.int8)
    call(
        kernel_library,
        "linear_s8_requantize",
        zeros[:1],
        zeros,
        bias,
        multiplier,
        shift,
        out,
        1,
        1,
        n,
        0,
        -128,
        127,
    )
    assert out.array.tolist() == [[2, -1, 3, -2, 2, -2]]
    shift[:] = -1
    call(
        kernel_library,
        "linear_s8_requantize",
        zeros[:1],
        zeros,
        2 * bias,
        multiplier,
        shift,
        out,
        1,
        1,
        n,
        0,
        -128,
        127,
    )
    assert out.array.tolist() == [[2, -2, 3, -3, 2, -2]]


@settings(max_examples=80, deadline=None)
@given(rows=st.integers(0, 4), n=st.integers(1, 70), seed=SEEDS, exponent=st.integers(-30, 30))
def test_quantize_rows(kernel_library: ctypes.CDLL, rows: int, n: int, seed: int, exponent: int) -> None:
    x = normal(np.random.default_rng(seed), rows, n, spread=10.0**exponent)
    _check_quantize_rows(kernel_library, x)


def _check_quantize_rows(library: ctypes.CDLL, x: Any) -> None:
    rows, n = x.shape
    q, scale = Guarded((rows, n), np.int8), Guarded(rows, np.float32)
    call(library, "quantize_rows", x, q, scale, rows, n)
    with np.errstate(all="ignore"):
        expected_q, expected_scale = linear.quantize_rows(from_numpy(x))
    assert_same_bits(q.array, expected_q.numpy())
    assert_same_bits(scale.array, expected_scale.numpy())


def test_quantize_rows_extremes(kernel_library: ctypes.CDLL) -> None:
    special = np.array([np.nan, np.inf, -np.inf], np.float32)
    rows = [
        np.zeros(19),
        -np.zeros(19),
        np.full(19, 1e-30),
        np.full(19, np.nan),
        np.concatenate([EXTREMES, [np.nan, 0]]),
        np.concatenate([special, special, np.arange(13)]),
        np.arange(19) - 9.5,  # the halves between integers, once scaled
        np.concatenate([[127], np.arange(18) + 0.5]),  # m = 127: every one is a tie
    ]
    _check_quantize_rows(kernel_library, np.array(rows, np.float32))


@settings(max_examples=80, deadline=None)
@given(
    n=st.integers(0, 70),
    seed=SEEDS,
    scale=st.floats(2.0**-20, 2.0**20, width=32),
    zero_point=st.integers(-128, 127),
)
def test_quantize(kernel_library: ctypes.CDLL, n: int, seed: int, scale: float, zero_point: int) -> None:
    rng = np.random.default_rng(seed)
    ties = (rng.integers(-300, 300, n) + 0.5) * scale
    x = np.where(rng.random(n) < 0.5, ties, normal(rng, n, spread=100 * scale)).astype(np.float32)
    x = np.concatenate([x, EXTREMES, np.array([np.nan, np.inf, -np.inf], np.float32)])
    out = Guarded(len(x), np.int8)
    inverse = np.float32(1) / np.float32(scale)
    call(kernel_library, "quantize", x, out, len(x), inverse, zero_point, -128, 127)
    with np.errstate(all="ignore"):
        expected = linear.quantize(from_numpy(x), scale, zero_point).numpy()
    assert_same_bits(out.array, expected)


@settings(max_examples=40, deadline=None)
@given(count=st.integers(0, 5), vocabulary=st.integers(0, 9), n=st.integers(1, 40), seed=SEEDS)
def test_embedding_s8(kernel_library: ctypes.CDLL, count: int, vocabulary: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weight, scale = int8(rng, vocabulary, n), normal(rng, vocabulary)
    outside = np.array([-1, vocabulary, 2**31, 2**32, -(2**63), 2**63 - 1])
    ids = rng.integers(0, max(vocabulary, 1), count)
    ids = np.where(rng.random(count) < 0.3, rng.choice(outside, size=count), ids).astype(np.int64)
    out = Guarded((count, n), np.float32)
    call(kernel_library, "embedding_s8", weight, scale, ids, out, count, vocabulary, n)
    if vocabulary:
        expected = linear.embedding_s8(from_numpy(weight), from_numpy(scale), from_numpy(ids)).numpy()
    else:
        expected = np.zeros((count, n), np.float32)
    assert_same_bits(out.array, expected)

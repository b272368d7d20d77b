"""The kernels with packed weights are their references on this computer, and those are the unpacked ones."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import from_numpy

from mcu_sdk.operators.reference import linear, packed
from tests.kernels.call import Guarded, assert_same_bits, call, int8, normal
from tests.kernels.test_linear import requantization, residual

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.tuples(st.integers(0, 3), st.integers(1, 70), st.integers(1, 30))
"""(rows, k, n)"""


def _t(array: Any) -> Any:
    return None if array is None else from_numpy(array)


def _padded(array: Any) -> Any:
    return None if array is None else packed.pad_channels(from_numpy(array)).numpy()


def test_pack_by_hand() -> None:
    """Byte [g, b, r, i] is row 8 g + r, column 16 b + i; what lies beyond the matrix is zero."""
    weight = torch.arange(9 * 17, dtype=torch.int16).reshape(9, 17).to(torch.int8)
    result = packed.pack(weight)
    assert result.shape == (2, 2, 8, 16)
    assert result[0, 0, 3, 5] == weight[3, 5]
    assert result[0, 1, 7, 0] == weight[7, 16]
    assert result[1, 0, 0, 15] == weight[8, 15]
    assert int(result[:, 1, :, 1:].abs().sum()) == 0
    assert int(result[1, :, 1:].abs().sum()) == 0


@given(size=st.tuples(st.integers(1, 40), st.integers(1, 40)), seed=SEEDS)
def test_unpack_undoes_pack(size: tuple[int, int], seed: int) -> None:
    weight = from_numpy(int8(np.random.default_rng(seed), *size))
    assert torch.equal(packed.unpack(packed.pack(weight), *size), weight)


@settings(max_examples=60, deadline=None)
@given(size=SIZES, seed=SEEDS, with_bias=st.booleans())
def test_linear_s8(
    kernel_library: ctypes.CDLL, size: tuple[int, int, int], seed: int, with_bias: bool
) -> None:
    rows, k, n = size
    rng = np.random.default_rng(seed)
    x, x_scale, weight, weight_scale = int8(rng, rows, k), normal(rng, rows), int8(rng, n, k), normal(rng, n)
    bias = normal(rng, n) if with_bias else None
    expected = linear.linear_s8(_t(x), _t(x_scale), _t(weight), _t(weight_scale), _t(bias)).numpy()
    laid_out = packed.pack(_t(weight)).numpy()
    scales, biases = _padded(weight_scale), _padded(bias)
    reference = packed.linear_s8_packed(_t(x), _t(x_scale), _t(laid_out), _t(scales), _t(biases), n)
    assert_same_bits(reference.numpy(), expected)
    out = Guarded((rows, n), np.float32)
    call(kernel_library, "linear_s8_packed", x, x_scale, laid_out, scales, biases, out, rows, k, n)
    assert_same_bits(out.array, expected)


@settings(max_examples=60, deadline=None)
@given(size=SIZES, seed=SEEDS, with_bias=st.booleans())
def test_linear_s8_static(
    kernel_library: ctypes.CDLL, size: tuple[int, int, int], seed: int, with_bias: bool
) -> None:
    rows, k, n = size
    rng = np.random.default_rng(seed)
    x, weight, scale = int8(rng, rows, k), int8(rng, n, k), normal(rng, n)
    span = 2**31 if seed % 2 else 9999
    offset = rng.integers(-span, span, n).astype(np.int32)
    bias = normal(rng, n) if with_bias else None
    expected = linear.linear_s8_static(_t(x), _t(weight), _t(offset), _t(scale), _t(bias)).numpy()
    laid_out = packed.pack(_t(weight)).numpy()
    channels = [_padded(values) for values in (offset, scale, bias)]
    reference = packed.linear_s8_static_packed(_t(x), _t(laid_out), *map(_t, channels), n)
    assert_same_bits(reference.numpy(), expected)
    out = Guarded((rows, n), np.float32)
    call(kernel_library, "linear_s8_static_packed", x, laid_out, *channels, out, rows, k, n)
    assert_same_bits(out.array, expected)


@settings(max_examples=80, deadline=None)
@given(
    size=SIZES,
    seed=SEEDS,
    zero_point=st.integers(-128, 127),
    limits=st.tuples(st.integers(-128, 127), st.integers(-128, 127)),
)
def test_linear_s8_requantize(
    kernel_library: ctypes.CDLL,
    size: tuple[int, int, int],
    seed: int,
    zero_point: int,
    limits: tuple[int, int],
) -> None:
    rows, k, n = size
    rng = np.random.default_rng(seed)
    x, weight = int8(rng, rows, k), int8(rng, n, k)
    bias, multiplier, shift = requantization(rng, n, extreme=bool(seed % 2))
    low, high = sorted(limits)
    expected = linear.linear_s8_requantize(
        _t(x), _t(weight), _t(bias), _t(multiplier), _t(shift), zero_point, low, high
    ).numpy()
    laid_out = packed.pack(_t(weight)).numpy()
    constants = packed.interleave(_t(bias), _t(multiplier), _t(shift)).numpy()
    reference = packed.linear_s8_requantize_packed(
        _t(x), _t(laid_out), _t(constants), zero_point, low, high, n
    )
    assert_same_bits(reference.numpy(), expected)
    out = Guarded((rows, n), np.int8)
    sizes = (rows, k, n, zero_point, low, high)
    call(kernel_library, "linear_s8_requantize_packed", x, laid_out, constants, out, *sizes)
    assert_same_bits(out.array, expected)


@settings(max_examples=60, deadline=None)
@given(size=SIZES, seed=SEEDS)
def test_linear_s8_add_s16(kernel_library: ctypes.CDLL, size: tuple[int, int, int], seed: int) -> None:
    rows, k, n = size
    rng = np.random.default_rng(seed)
    x, weight, added = int8(rng, rows, k), int8(rng, n, k), residual(rng, rows, n)
    constants = [_t(values) for values in requantization(rng, n, extreme=bool(seed % 2))]
    expected = linear.linear_s8_add_s16(_t(added), _t(x), _t(weight), *constants).numpy()
    laid_out, interleaved = packed.pack(_t(weight)), packed.interleave(*constants)
    reference = packed.linear_s8_add_s16_packed(_t(added), _t(x), laid_out, interleaved, n)
    assert_same_bits(reference.numpy(), expected)
    out = Guarded((rows, n), np.int16)
    arguments = (added, x, laid_out.numpy(), interleaved.numpy(), out, rows, k, n)
    call(kernel_library, "linear_s8_add_s16_packed", *arguments)
    assert_same_bits(out.array, expected)


@settings(max_examples=40, deadline=None)
@given(count=st.integers(0, 5), vocabulary=st.integers(1, 20), n=st.integers(1, 40), seed=SEEDS)
def test_embedding_s8(kernel_library: ctypes.CDLL, count: int, vocabulary: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weight, scale = int8(rng, vocabulary, n), normal(rng, vocabulary)
    outside = np.array([-1, vocabulary, 2**31, 2**32, -(2**63), 2**63 - 1])
    ids = rng.integers(0, vocabulary, count)
    ids = np.where(rng.random(count) < 0.3, rng.choice(outside, size=count), ids).astype(np.int64)
    expected = linear.embedding_s8(_t(weight), _t(scale), _t(ids)).numpy()
    laid_out, scales = packed.pack(_t(weight)).numpy(), _padded(scale)
    assert_same_bits(packed.embedding_s8_packed(_t(laid_out), _t(scales), _t(ids), n).numpy(), expected)
    out = Guarded((count, n), np.float32)
    call(kernel_library, "embedding_s8_packed", laid_out, scales, ids, out, count, len(scales), n)
    assert_same_bits(out.array, expected)


@pytest.mark.parametrize("value", [-128, 127])
def test_longest_sum_is_exact(kernel_library: ctypes.CDLL, value: int) -> None:
    """The longest row that the emitters let through does not overflow."""
    k = (1 << 16) - 1
    x, weight = np.full((1, k), value, np.int8), np.full((1, k), -128, np.int8)
    one, out = np.ones(1, np.float32), Guarded((1, 1), np.float32)
    laid_out, scale = packed.pack(_t(weight)).numpy(), np.ones(8, np.float32)
    call(kernel_library, "linear_s8_packed", x, one, laid_out, scale, None, out, 1, k, 1)
    assert out.array[0, 0] == np.float32(value * -128 * k)

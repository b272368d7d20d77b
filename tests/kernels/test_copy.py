"""mcu_copy, mcu_embedding_f32 and mcu_dequantize."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernels.call import Guarded, assert_same_bits, call, normal


@pytest.mark.parametrize("size", [0, 1, 7, 64, 1001])
def test_copy(kernel_library: ctypes.CDLL, size: int) -> None:
    x = np.random.default_rng(size).integers(0, 256, size).astype(np.uint8)
    out = Guarded(size, np.uint8)
    call(kernel_library, "copy", x, out, size)
    assert_same_bits(out.array, x)


@pytest.mark.parametrize("shift", [-3, 0, 3])
def test_copy_over_itself(kernel_library: ctypes.CDLL, shift: int) -> None:
    memory = np.arange(40, dtype=np.uint8)
    call(kernel_library, "copy", memory[5:35], memory[5 + shift :], 30)
    assert_same_bits(memory[5 + shift : 35 + shift], np.arange(5, 35, dtype=np.uint8))


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(0, 5),
    vocabulary=st.integers(0, 9),
    n=st.integers(1, 40),
    seed=st.integers(0, 2**32 - 1),
)
def test_embedding_f32(kernel_library: ctypes.CDLL, count: int, vocabulary: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weight = normal(rng, vocabulary, n)
    ids = rng.choice([-1, 0, 1, vocabulary - 1, vocabulary, 2**32, -(2**63)], count).astype(np.int64)
    out = Guarded((count, n), np.float32)
    call(kernel_library, "embedding_f32", weight, ids, out, count, vocabulary, n)
    for row, number in zip(out.array, ids, strict=True):
        assert_same_bits(row, weight[number] if 0 <= number < vocabulary else np.zeros(n, np.float32))


@settings(max_examples=40, deadline=None)
@given(scale=st.floats(2.0**-20, 2.0**20, width=32), zero_point=st.integers(-128, 127))
def test_dequantize(kernel_library: ctypes.CDLL, scale: float, zero_point: int) -> None:
    x = np.arange(-128, 128, dtype=np.int8)
    out = Guarded(256, np.float32)
    call(kernel_library, "dequantize", x, out, 256, scale, zero_point)
    assert_same_bits(out.array, (x.astype(np.int32) - zero_point).astype(np.float32) * np.float32(scale))

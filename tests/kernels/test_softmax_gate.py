"""Gates by a softmax: the kernel is its reference, and that is close to the gate in float64, however long a row is."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import from_numpy

from mcu_sdk.operators.reference.softmax_gate import softmax_gate_s8
from tests.kernels.call import Guarded, assert_same_bits, call, int8


@settings(max_examples=80, deadline=None)
@given(
    rows=st.integers(1, 4),
    n=st.integers(1, 70),
    seed=st.integers(0, 2**32 - 1),
    score_scale=st.sampled_from([1e-4, 0.03, 0.5, 40.0, 9e29]),
    ratio=st.sampled_from([1e-30, 0.25, 1.0, 7.5, 300.0, 9e29]),
    zero_points=st.tuples(st.integers(-128, 127), st.integers(-128, 127)),
    in_place=st.booleans(),
)
def test_kernel(
    kernel_library: ctypes.CDLL,
    rows: int,
    n: int,
    seed: int,
    score_scale: float,
    ratio: float,
    zero_points: tuple[int, int],
    in_place: bool,
) -> None:
    rng = np.random.default_rng(seed)
    x, scores = int8(rng, rows, n), int8(rng, rows, n)
    scales = float(np.float32(score_scale)), float(np.float32(ratio))
    expected = softmax_gate_s8(from_numpy(x), from_numpy(scores), *scales, *zero_points).numpy()
    out = Guarded((rows, n), np.int8, x if in_place else None)
    terms = Guarded(4 * n, np.uint8, 0x7F, aligned=True)
    given_x = out if in_place else x
    call(kernel_library, "softmax_gate_s8", given_x, scores, out, terms, rows, n, *scales, *zero_points)
    assert_same_bits(out.array, expected)


@pytest.mark.parametrize("n", [1, 8, 300, 2000])
def test_reference_is_the_gate(n: int) -> None:
    """Within half a step of the result, and what float32 adds to it (n additions, each within 6e-8)."""
    rng = np.random.default_rng(n)
    x, scores = int8(rng, 3, n), int8(rng, 3, n)
    shares = np.exp(0.01 * scores.astype(np.float64))
    shares /= shares.sum(-1, keepdims=True)
    real = shares * (x.astype(np.float64) - 5)
    scale = np.abs(real).max() / 120  # of the result, x's being 1
    found = softmax_gate_s8(from_numpy(x), from_numpy(scores), 0.01, 1 / scale, 5, -7).numpy()
    assert np.abs(found - (-7 + real / scale)).max() <= 0.5 + 128 * (n + 10) * 6e-8
    if n >= 300:  # where shares in steps of 1/256 would be 0, 1 or 2 of them
        assert shares.max() < 3 / 256 and len(np.unique(found)) > 150

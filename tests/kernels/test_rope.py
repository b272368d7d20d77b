"""mcu_rope is its reference."""

from __future__ import annotations

import ctypes

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import from_numpy

from mcu_sdk.operators.reference.rope import rope
from tests.kernels.call import Guarded, assert_same_bits, call, normal


@settings(max_examples=100, deadline=None)
@given(
    rows=st.integers(1, 5),
    half=st.integers(0, 20),
    rest=st.integers(0, 9),
    positions=st.integers(1, 6),
    position=st.one_of(st.integers(-2, 8), st.sampled_from([-(2**63), 2**63 - 1, 2**32, 2**31])),
    seed=st.integers(0, 2**32 - 1),
    in_place=st.booleans(),
)
def test_rope(
    kernel_library: ctypes.CDLL,
    rows: int,
    half: int,
    rest: int,
    positions: int,
    position: int,
    seed: int,
    in_place: bool,
) -> None:
    rng = np.random.default_rng(seed)
    n = max(2 * half + rest, 1)
    x, cosine, sine = (
        normal(rng, rows, n, spread=3),
        normal(rng, positions, half),
        normal(rng, positions, half),
    )
    at = np.array([position], np.int64)
    expected = rope(*map(from_numpy, (x, cosine, sine, at))).numpy()
    out = Guarded((rows, n), np.float32, x if in_place else None)
    call(kernel_library, "rope", out if in_place else x, cosine, sine, at, out, rows, n, half, positions)
    assert_same_bits(out.array, expected)

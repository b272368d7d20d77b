"""mcu_rope and mcu_rope_pairs are their references."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, from_numpy

from mcu_sdk.operators.reference.rope import rope, rope_pairs
from tests.kernels.call import Guarded, assert_same_bits, call, normal


@pytest.mark.parametrize("kernel", [rope, rope_pairs])
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
    kernel: Callable[..., Tensor],
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
    expected = kernel(*map(from_numpy, (x, cosine, sine, at))).numpy()
    out = Guarded((rows, n), np.float32, x if in_place else None)
    given = out if in_place else x
    call(kernel_library, kernel.__name__, given, cosine, sine, at, out, rows, n, half, positions)
    assert_same_bits(out.array, expected)

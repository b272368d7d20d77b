"""The rotations of a whole sequence are their references."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import from_numpy

from mcu_sdk.operators.reference.rope import rope
from mcu_sdk.operators.reference.rope_rows import rope_rows, rope_rows_s8
from tests.kernels.call import Guarded, assert_same_bits, call, int8, normal


class Rows(ctypes.Structure):
    """McuRopeRows."""

    _fields_ = [
        *((name, ctypes.c_int32) for name in ("positions", "heads", "n", "half", "step", "apart")),
        ("ratio", ctypes.c_float),
    ]


def parameters_of(x: Any, cosine: Any, n: int, interleaved: bool, ratio: float = 1.0) -> np.ndarray[Any, Any]:
    """The bytes of the struct."""
    half = cosine.shape[1]
    pairs = (2, 1) if interleaved else (1, half)
    rows = Rows(x.shape[1], x.shape[2] // n, n, half, *pairs, ratio)
    return np.frombuffer(bytearray(rows), np.int32).copy()


@settings(max_examples=80, deadline=None)
@given(
    positions=st.integers(1, 4),
    heads=st.integers(1, 3),
    half=st.integers(0, 19),
    rest=st.integers(0, 9),
    interleaved=st.booleans(),
    ratio=st.sampled_from([0.3, 1.0, 40.0]),
    seed=st.integers(0, 2**32 - 1),
    in_place=st.booleans(),
)
def test_rows(
    kernel_library: ctypes.CDLL,
    positions: int,
    heads: int,
    half: int,
    rest: int,
    interleaved: bool,
    ratio: float,
    seed: int,
    in_place: bool,
) -> None:
    rng = np.random.default_rng(seed)
    n = max(2 * half + rest, 1)
    cosine, sine = (normal(rng, positions, half) for _ in range(2))
    tables = from_numpy(cosine), from_numpy(sine), n, interleaved
    x = normal(rng, 1, positions, heads * n, spread=3)
    out = Guarded(x.shape, np.float32, x if in_place else None)
    parameters = parameters_of(x, cosine, n, interleaved)
    call(kernel_library, "rope_rows", out if in_place else x, cosine, sine, out, parameters)
    assert_same_bits(out.array, rope_rows(from_numpy(x), *tables).numpy())
    values = int8(rng, 1, positions, heads * n)
    out = Guarded(x.shape, np.int8, values if in_place else None)
    parameters = parameters_of(x, cosine, n, interleaved, ratio)
    call(kernel_library, "rope_rows_s8", out if in_place else values, cosine, sine, out, parameters)
    assert_same_bits(out.array, rope_rows_s8(from_numpy(values), *tables, float(np.float32(ratio))).numpy())


def test_rows_are_positions_of_a_step() -> None:
    """Row by row what mcu_rope does at each position."""
    rng = np.random.default_rng(2)
    x, cosine, sine = normal(rng, 1, 5, 3 * 12), normal(rng, 5, 4), normal(rng, 5, 4)
    found = rope_rows(*map(from_numpy, (x, cosine, sine)), 12, False).numpy()
    for position in range(5):
        row, at = from_numpy(x[:, position].reshape(3, 12)), from_numpy(np.array([position]))
        wanted = rope(row, from_numpy(cosine), from_numpy(sine), at)
        assert_same_bits(found[:, position].reshape(3, 12), wanted.numpy())

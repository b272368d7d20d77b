"""mcu_key_bias_scores is its reference, and what it gives is q . table over the visible positions, by distance."""

from __future__ import annotations

import ctypes

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import from_numpy

from mcu_sdk.operators.reference.key_bias import key_bias_scores
from tests.kernels.call import Guarded, assert_same_bits, call, normal


@settings(max_examples=80, deadline=None)
@given(
    groups=st.integers(1, 3),
    share=st.integers(1, 3),
    channels=st.integers(1, 5),
    positions=st.integers(1, 37),
    at=st.one_of(st.integers(-2, 40), st.sampled_from([-(2**63), 2**63 - 1])),
    tokens=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_scores(
    kernel_library: ctypes.CDLL,
    groups: int,
    share: int,
    channels: int,
    positions: int,
    at: int,
    tokens: int,
    seed: int,
) -> None:
    rng, heads, n = np.random.default_rng(seed), groups * share, 7
    q, table = normal(rng, tokens, heads, 1, n), normal(rng, groups, channels, positions, spread=600)
    columns = rng.integers(0, n, channels).astype(np.int32)
    places = np.array([min(at + token, 2**63 - 1) for token in range(tokens)], np.int64)
    out = Guarded((tokens, heads, positions), np.float32)
    name = "key_bias_scores" if tokens == 1 else "key_bias_scores_chunk"
    sizes = (heads, groups, channels, positions, n)
    counts = sizes if tokens == 1 else (tokens, *sizes)
    call(kernel_library, name, q, table, columns, places, out, *counts, 0.3)
    found = key_bias_scores(*map(from_numpy, (q, table, columns, places)), 0.3).numpy()
    assert_same_bits(out.array, found)

    parts = table.astype(np.float64).repeat(share, 0)
    for token, place in enumerate(places.tolist()):
        seen = min(max(place, 0), positions - 1) + 1
        products = np.einsum("hc,hcs->hs", 0.3 * q[token, :, 0, columns].T.astype(np.float64), parts)
        assert (found[token, :, : positions - seen] == 0).all()
        # Of each of at most 5 terms, two roundings of 2^-24, and one more of each sum.
        allowed = 15 * 2.0**-24 * np.einsum("hc,hcs->hs", abs(0.3 * q[token, :, 0, columns].T), abs(parts))
        assert (abs(found[token, :, positions - seen :] - products[:, :seen]) <= allowed[:, :seen]).all()

"""mcu_gated_attention_s8 is its reference, and that is mcu_sequence_attention_s8 with the bias that its numbers make."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import from_numpy

from mcu_sdk.operators.reference.gated_attention import gated_attention_s8
from mcu_sdk.operators.reference.sequence_attention import scratch_bytes, sequence_attention_s8
from tests.kernels.call import Guarded, assert_same_bits, call, int8, normal

SCALES = (0.01, 0.9)
"""Of products, and of results."""


class Gated(ctypes.Structure):
    """McuGatedAttention."""

    _fields_ = [
        *((name, ctypes.c_int32) for name in ("queries", "positions", "heads", "n", "m")),
        *((name, ctypes.c_int32) for name in ("bias_heads", "bias_rows", "bias_stride")),
        *((name, ctypes.c_float) for name in ("score_scale", "out_scale")),
        ("out_zero_point", ctypes.c_int32),
    ]


def parameters_of(given_: tuple[Any, ...], heads: int, zero_point: int) -> np.ndarray[Any, Any]:
    """The bytes of the struct."""
    q, k, v, _, bias = given_
    sizes = q.shape[1], k.shape[1], heads, q.shape[2] // heads, v.shape[2] // heads
    form = bias.shape[1], bias.shape[2], bias[0, 0].size
    return np.frombuffer(bytearray(Gated(*sizes, *form, *SCALES, zero_point)), np.int32).copy()


def operands(
    rng: np.random.Generator,
    lengths: tuple[int, int],
    heads: int,
    widths: tuple[int, int],
    form: tuple[bool, bool],
) -> tuple[Any, ...]:
    """(q, k, v, gates, bias) of (queries, positions) and (n, m) channels; `form`: whether heads share the bias, and
    whether it is one by distance."""
    (queries, positions), (n, m), (shared, by_distance) = lengths, widths, form
    q, k = int8(rng, 1, queries, heads * n), int8(rng, 1, positions, heads * n)
    row = (1, queries + positions - 1) if by_distance else (queries, positions)
    bias = normal(rng, 1, 1 if shared else heads, *row)
    return q, k, int8(rng, 1, positions, heads * m), normal(rng, heads, queries, spread=2), bias


def expected_of(given_: tuple[Any, ...], heads: int, zero_point: int) -> Any:
    scales = [float(np.float32(scale)) for scale in SCALES]
    return gated_attention_s8(*map(from_numpy, given_), heads, *scales, zero_point)[0].numpy()


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.tuples(st.integers(1, 19), st.integers(1, 37)),
    heads=st.integers(1, 3),
    widths=st.tuples(st.integers(1, 21), st.integers(1, 21)),
    form=st.tuples(st.booleans(), st.booleans()),
    zero_point=st.sampled_from([-128, -3, 127]),
    seed=st.integers(0, 2**32 - 1),
)
def test_gated_attention(
    kernel_library: ctypes.CDLL,
    lengths: tuple[int, int],
    heads: int,
    widths: tuple[int, int],
    form: tuple[bool, bool],
    zero_point: int,
    seed: int,
) -> None:
    given_ = operands(np.random.default_rng(seed), lengths, heads, widths, form)
    out = Guarded((1, lengths[0], heads * widths[1]), np.int8)
    scratch = Guarded(scratch_bytes(lengths[1], *widths), np.uint8, 0x7F, aligned=True)
    parameters = parameters_of(given_, heads, zero_point)
    call(kernel_library, "gated_attention_s8", *given_, out, scratch, parameters)
    assert_same_bits(out.array, expected_of(given_, heads, zero_point))


@pytest.mark.parametrize("form", [(False, False), (False, True), (True, True)])
def test_it_is_attention_with_a_bias(form: tuple[bool, bool]) -> None:
    """Whose number for query i and key j of a head is gates[head, i] times the table's entry of their distance."""
    queries, positions, heads = 6, 9, 2
    given_ = operands(np.random.default_rng(3), (queries, positions), heads, (8, 5), form)
    q, k, v, gates, bias = given_
    rows = np.zeros((1, heads, queries, positions), np.float32)
    for head in range(heads):
        table = bias[0, head if bias.shape[1] > 1 else 0]
        for i in range(queries):
            for j in range(positions):
                entry = table[0, queries - 1 - i + j] if form[1] else table[i, j]
                rows[0, head, i, j] = gates[head, i] * entry
    scales = [float(np.float32(scale)) for scale in SCALES]
    plain = sequence_attention_s8(
        *map(from_numpy, (q, k, v)), None, from_numpy(rows), None, heads, *scales, -3
    )[0]
    assert_same_bits(expected_of(given_, heads, -3), plain.numpy())

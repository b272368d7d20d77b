"""mcu_relative_attention_s8 is its reference, and that is close to what it stands for in float64."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import from_numpy

from mcu_sdk.operators.reference.relative_attention import relative_attention_s8
from mcu_sdk.operators.reference.sequence_attention import scratch_bytes, sequence_attention_s8
from tests.kernels.call import Guarded, assert_same_bits, call, int8

SCALES = (0.01, 0.007, 0.013, 0.9)
"""Of products, of the tables' products, and of results."""


class Relative(ctypes.Structure):
    """McuRelativeAttention."""

    _fields_ = [
        *((name, ctypes.c_int32) for name in ("length", "heads", "n")),
        *((name, ctypes.c_float) for name in ("score", "keys", "queries", "out")),
        ("out_zero_point", ctypes.c_int32),
    ]


def parameters_of(q: Any, heads: int, zero_point: int) -> np.ndarray[Any, Any]:
    """The bytes of the struct."""
    bytes_of = bytearray(Relative(q.shape[1], heads, q.shape[2] // heads, *SCALES, zero_point))
    return np.frombuffer(bytes_of, np.int32).copy()


def operands(
    rng: np.random.Generator, length: int, heads: int, n: int, parts: tuple[bool, bool], visible: float | None
) -> tuple[Any, ...]:
    """(q, k, v, padding, the keys' table, the queries')."""
    values = [int8(rng, 1, length, heads * n) for _ in range(3)]
    padding = None if visible is None else (rng.random((1, length)) < visible).astype(np.int64)
    tables = [int8(rng, heads, 2 * length - 1, n) if has else None for has in parts]
    return *values, padding, *tables


def expected_of(given_: tuple[Any, ...], heads: int, zero_point: int) -> Any:
    tensors = [None if x is None else from_numpy(x) for x in given_]
    scales = [float(np.float32(scale)) for scale in SCALES]
    return relative_attention_s8(*tensors, heads, *scales, zero_point)[0].numpy()


@settings(max_examples=60, deadline=None)
@given(
    length=st.integers(1, 21),
    heads=st.integers(1, 3),
    n=st.integers(1, 21),
    parts=st.sampled_from([(True, True), (True, False), (False, True)]),
    visible=st.sampled_from([None, 0, 0.5, 1]),
    zero_point=st.sampled_from([-128, -3, 127]),
    seed=st.integers(0, 2**32 - 1),
)
def test_relative_attention(
    kernel_library: ctypes.CDLL,
    length: int,
    heads: int,
    n: int,
    parts: tuple[bool, bool],
    visible: float | None,
    zero_point: int,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    given_ = operands(rng, length, heads, n, parts, visible)
    out = Guarded(given_[0].shape, np.int8)
    scratch = Guarded(scratch_bytes(length, n, n), np.uint8, 0x7F, aligned=True)
    parameters = parameters_of(given_[0], heads, zero_point)
    call(kernel_library, "relative_attention_s8", *given_, out, scratch, parameters)
    assert_same_bits(out.array, expected_of(given_, heads, zero_point))


def test_without_tables_it_is_attention() -> None:
    q, k, v, padding, *_ = operands(np.random.default_rng(3), 9, 2, 8, (False, False), None)
    plain = [from_numpy(x) for x in (q, k, v)]
    wanted = sequence_attention_s8(*plain, None, None, None, 2, float(np.float32(0.01)), 0.9, -3)[0]
    assert_same_bits(expected_of((q, k, v, padding, None, None), 2, -3), wanted.numpy())


@pytest.mark.parametrize("counts", [None, 6])
def test_it_is_what_it_stands_for(counts: int | None) -> None:
    """Within a step and a half of the result's scale, as mcu_sequence_attention_s8."""
    length, heads, n = 9, 2, 8
    q, k, v, _, keys, queries = operands(np.random.default_rng(4), length, heads, n, (True, True), None)
    padding = None if counts is None else (np.arange(length) < counts).astype(np.int64)[None]
    found = expected_of((q, k, v, padding, keys, queries), heads, 0).astype(np.float64)
    wide = [x[0].reshape(length, heads, n).astype(np.float64) for x in (q, k, v)]
    wanted = np.zeros((length, heads, n))
    for head in range(heads):
        for i in range(length):
            rows = [length - 1 - i + j for j in range(length)]
            scores = np.array(
                [
                    SCALES[0] * wide[0][i, head] @ wide[1][j, head]
                    + SCALES[1] * wide[0][i, head] @ keys[head, row].astype(np.float64)
                    + SCALES[2] * wide[1][j, head] @ queries[head, row].astype(np.float64)
                    for j, row in enumerate(rows)
                ]
            )
            if padding is not None:
                scores = np.where(padding[0] == 1, scores, -np.inf) if padding[0, i] else np.zeros(length)
            share = np.exp(scores - scores.max())
            wanted[i, head] = share / share.sum() @ wide[2][:, head]
    assert np.abs(found - SCALES[3] * wanted.reshape(found.shape)).max() < 1.5

"""Attention over a whole sequence, norms, tables and added embeddings in int8: the kernels are their references, and these
are close to what they stand for in float64."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import from_numpy

from mcu_sdk.operators.reference.lookup_add import lookup_add_s16
from mcu_sdk.operators.reference.rows_s8 import add_channels_s8, embedding_s8_add, layer_norm_s8, lookup_s8
from mcu_sdk.operators.reference.rows_s16 import requantize_s16
from mcu_sdk.operators.reference.sequence_attention import scratch_bytes, sequence_attention_s8
from tests.kernels.call import Guarded, assert_same_bits, call, int8, normal

SEEDS = st.integers(0, 2**32 - 1)


class Attention(ctypes.Structure):
    """McuSequenceAttention."""

    _fields_ = [
        *(
            (name, ctypes.c_int32)
            for name in ("sequences", "queries", "positions", "heads", "groups", "n", "m")
        ),
        *(
            (name, ctypes.c_int32)
            for name in ("bias_tables", "bias_heads", "bias_rows", "bias_stride", "bias_table")
        ),
        ("score_scale", ctypes.c_float),
        ("out_scale", ctypes.c_float),
        ("out_zero_point", ctypes.c_int32),
    ]


def parameters_of(q: Any, k: Any, v: Any, bias: Any, heads: int, *scales: float) -> np.ndarray[Any, Any]:
    """The bytes of the struct; `scales`: of scores and results, and the results' zero point."""
    n = q.shape[2] // heads
    groups = k.shape[2] // n
    form = (1, 1, 1, 0, 0) if bias is None else (*bias.shape[:3], bias[0, 0].size, bias[0].size)
    sizes = (*q.shape[:2], k.shape[1], heads, groups, n, v.shape[2] // groups)
    return np.frombuffer(bytearray(Attention(*sizes, *form, *scales[:2], int(scales[2]))), np.int32).copy()


def attend(
    library: ctypes.CDLL,
    q: Any,
    k: Any,
    v: Any,
    padding: Any,
    bias: Any,
    tables: Any,
    heads: int,
    *scales: float,
) -> Any:
    n = q.shape[2] // heads
    m = v.shape[2] * n // k.shape[2]
    out = Guarded((*q.shape[:2], heads * m), np.int8)
    scratch = Guarded(scratch_bytes(k.shape[1], n, m), np.uint8, 0x7F, aligned=True)
    parameters = parameters_of(q, k, v, bias, heads, *scales)
    call(library, "sequence_attention_s8", q, k, v, padding, bias, tables, out, scratch, parameters)
    return out.array


@settings(max_examples=80, deadline=None)
@given(
    queries=st.integers(1, 9),
    positions=st.integers(1, 37),
    groups=st.integers(1, 3),
    share=st.integers(1, 2),
    n=st.integers(1, 21),
    m=st.integers(1, 21),
    form=st.sampled_from([None, "rows", "distance"]),
    shared=st.booleans(),
    visible=st.sampled_from([None, 0, 0.5, 1]),
    seed=SEEDS,
    spread=st.sampled_from([1e-4, 1e-2, 1.0]),
    zero_point=st.sampled_from([-128, -3, 0, 127]),
)
def test_sequence_attention(
    kernel_library: ctypes.CDLL,
    queries: int,
    positions: int,
    groups: int,
    share: int,
    n: int,
    m: int,
    form: str | None,
    shared: bool,
    visible: float | None,
    seed: int,
    spread: float,
    zero_point: int,
) -> None:
    rng = np.random.default_rng(seed)
    heads = groups * share
    q, k = int8(rng, 1, queries, heads * n), int8(rng, 1, positions, groups * n)
    v = int8(rng, 1, positions, groups * m)
    padding = None if visible is None else (rng.random((1, positions)) < visible).astype(np.int64)
    shape = (queries, positions) if form == "rows" else (1, queries + positions - 1)
    bias = None if form is None else normal(rng, 1, 1 if shared else heads, *shape)
    if bias is not None:
        bias[rng.random(bias.shape) < 0.2] = -1e30
    arguments = heads, spread, 0.9, zero_point
    given_ = [None if x is None else from_numpy(x) for x in (q, k, v, padding, bias)]
    expected = sequence_attention_s8(*given_, None, *arguments)[0].numpy()
    assert_same_bits(attend(kernel_library, q, k, v, padding, bias, None, *arguments), expected)


@pytest.mark.parametrize("form", [(2, 1, 3, 5), (3, 4, 1, 7), None])
def test_attention_of_several_sequences(kernel_library: ctypes.CDLL, form: tuple[int, ...] | None) -> None:
    """Each as it is alone, with the table that is its own."""
    rng = np.random.default_rng(5)
    heads, arguments = 4, (0.01, 0.8, -9)
    q, k, v = int8(rng, 6, 3, 8 * heads), int8(rng, 6, 5, 8 * 2), int8(rng, 6, 5, 11 * 2)
    bias = None if form is None else normal(rng, *form)
    tables = None if form is None else rng.integers(0, form[0], 6).astype(np.int32)
    given_ = [None if x is None else from_numpy(x) for x in (q, k, v, None, bias, tables)]
    expected = sequence_attention_s8(*given_, heads, *arguments)[0].numpy()
    assert_same_bits(attend(kernel_library, q, k, v, None, bias, tables, heads, *arguments), expected)
    for number in range(6):
        one = slice(number, number + 1)
        own = None if bias is None or tables is None else bias[tables[one]]
        alone = attend(kernel_library, q[one], k[one], v[one], None, own, None, heads, *arguments)
        assert_same_bits(alone, expected[one])


def test_sequence_attention_is_attention(kernel_library: ctypes.CDLL) -> None:
    """Within a step and a half of the result's scale: half a step is its rounding, the rest that of probabilities to 7 bits."""
    rng = np.random.default_rng(1)
    queries, positions, heads, n, scale = 8, 40, 2, 16, 0.001
    q, k, v = int8(rng, 1, queries, heads * n), *(int8(rng, 1, positions, heads * n) for _ in range(2))
    counts = (np.arange(positions) < 29).astype(np.int64)[None]
    bias = normal(rng, 1, heads, 1, queries + positions - 1)
    found = attend(kernel_library, q, k, v, counts, bias, None, heads, scale, 1.0, 0).astype(np.float64)
    wide = [x[0].reshape(-1, heads, n).astype(np.float64) for x in (q, k, v)]
    scores = np.einsum("ihd,jhd->hij", wide[0], wide[1]) * scale
    places = queries - 1 - np.arange(queries)[:, None] + np.arange(positions)
    scores = np.where(counts[0] == 1, scores + bias[0, :, 0][:, places], -np.inf)
    share = np.exp(scores - scores.max(-1, keepdims=True))
    wanted = np.einsum("hij,jhd->ihd", share / share.sum(-1, keepdims=True), wide[2]).reshape(found.shape)
    assert np.abs(found - wanted).max() < 1.5


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 4),
    n=st.integers(1, 40),
    second=st.booleans(),
    seed=SEEDS,
    ratio=st.sampled_from([0.01, 1.0, 37.5]),
    in_place=st.booleans(),
)
def test_layer_norm(
    kernel_library: ctypes.CDLL, rows: int, n: int, second: bool, seed: int, ratio: float, in_place: bool
) -> None:
    rng = np.random.default_rng(seed)
    x, y = int8(rng, rows, n), int8(rng, rows, n) if second else None
    weight, bias = normal(rng, n, spread=30), normal(rng, n, spread=10)
    tensors = [None if value is None else from_numpy(value) for value in (x, y, weight, bias)]
    expected = layer_norm_s8(*tensors, ratio, 1e-3).numpy()
    out = Guarded((rows, n), np.int8, x if in_place else None)
    row = Guarded(4 * n, np.uint8, 0x7F, aligned=True)
    call(
        kernel_library,
        "layer_norm_s8",
        out if in_place else x,
        y,
        weight,
        bias,
        out,
        row,
        rows,
        n,
        ratio,
        1e-3,
    )
    assert_same_bits(out.array, expected)

    floats = normal(rng, rows, n, spread=3)
    expected = layer_norm_s8(from_numpy(floats), None, *tensors[2:], 0.0, 1e-5).numpy()
    out = Guarded((rows, n), np.int8)
    call(kernel_library, "layer_norm_to_s8", floats, weight, bias, out, rows, n, 1e-5)
    assert_same_bits(out.array, expected)

    stream = rng.integers(-(2**15), 2**15, (rows, n)).astype(np.int16)
    expected = layer_norm_s8(from_numpy(stream), None, *tensors[2:], 0.0, 1e-2).numpy()
    out = Guarded((rows, n), np.int8)
    call(kernel_library, "layer_norm_s16_to_s8", stream, weight, bias, out, row, rows, n, 1e-2)
    assert_same_bits(out.array, expected)


@pytest.mark.parametrize("n", [1, 3, 15, 16, 33])
@pytest.mark.parametrize("in_place", [False, True])
def test_channels_with_scales_of_their_own_are_added(
    kernel_library: ctypes.CDLL, n: int, in_place: bool
) -> None:
    rng = np.random.default_rng(n)
    total, x = normal(rng, 3, n, spread=20), int8(rng, 3, n)
    scale, offset = normal(rng, n, spread=0.3), normal(rng, n, spread=9)
    expected = add_channels_s8(*map(from_numpy, (total, x, scale, offset))).numpy()
    out = Guarded((3, n), np.float32, total if in_place else None)
    call(kernel_library, "add_channels_s8", out if in_place else total, x, scale, offset, out, 3, n)
    assert_same_bits(out.array, expected)
    wide = total.astype(np.float64) + x.astype(np.float64) * scale + offset
    terms = np.abs(total) + np.abs(x * scale) + np.abs(offset)
    assert (np.abs(expected - wide) <= 2**-23 * terms).all()  # two roundings to half of 2^-23 each


@pytest.mark.parametrize("n", [1, 15, 16, 33])
def test_a_table_and_an_added_embedding(kernel_library: ctypes.CDLL, n: int) -> None:
    rng = np.random.default_rng(n)
    x, table = int8(rng, n), int8(rng, 256)
    out = Guarded(n, np.int8, x)
    call(kernel_library, "lookup_s8", out, table, out, n)
    assert_same_bits(out.array, lookup_s8(from_numpy(x), from_numpy(table)).numpy())

    total, wide = (rng.integers(-(2**15), 2**15, count).astype(np.int16) for count in (n, 256))
    expected = lookup_add_s16(*map(from_numpy, (total, x, wide))).numpy()
    stream = Guarded(n, np.int16, total)
    call(kernel_library, "lookup_add_s16", stream, x, wide, stream, n)
    assert_same_bits(stream.array, expected)

    for factor in ((1_234_567_890, -7, 5), (2**31 - 1, 0, -128), (1 << 30, -31, 127), (1 << 30, -8, 0)):
        narrow = Guarded(n, np.int8)
        call(kernel_library, "requantize_s16", total, narrow, n, *factor)
        assert_same_bits(narrow.array, requantize_s16(from_numpy(total), *factor).numpy())

    rows, weight, scale = normal(rng, 4, n), int8(rng, 3, n), normal(rng, 3)
    ids = np.array([2, -1, 0, 3])
    expected = embedding_s8_add(*map(from_numpy, (rows, weight, scale, ids))).numpy()
    sums = Guarded((4, n), np.float32, rows)
    call(kernel_library, "embedding_s8_add", sums, weight, scale, ids, 4, 3, n)
    assert_same_bits(sums.array, expected)
    assert_same_bits(sums.array[1], rows[1])

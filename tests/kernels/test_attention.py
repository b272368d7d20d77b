"""The int8 KV cache: mcu_cache_write, _dynamic, mcu_cache_scale_write, mcu_attention_s8 and _dynamic are their
references, and the attention is close to softmax(q k) v in float64."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import from_numpy

from mcu_sdk.operators.reference import attention, sliding_attention
from tests.kernels.call import EXTREMES, Guarded, assert_same_bits, call, int8, normal

SEEDS = st.integers(0, 2**32 - 1)
POSITIONS = st.one_of(st.integers(-2, 40), st.sampled_from([-(2**63), 2**63 - 1, 2**32, 2**31]))
CACHES = st.tuples(st.integers(1, 3), st.integers(1, 37), st.integers(1, 37))
"""(heads, positions, channels)"""


def _at(position: int) -> Any:
    return np.array([position], np.int64)


@settings(max_examples=80, deadline=None)
@given(cache=CACHES, position=POSITIONS, seed=SEEDS, exponent=st.integers(-12, 12))
def test_cache_writes(
    kernel_library: ctypes.CDLL, cache: tuple[int, int, int], position: int, seed: int, exponent: int
) -> None:
    heads, positions, n = cache
    rng = np.random.default_rng(seed)
    before, inverse = int8(rng, 1, heads, positions, n), normal(rng, heads, n, spread=100)
    x, at = normal(rng, 1, heads, 1, n, spread=10.0**exponent), _at(position)
    x.reshape(-1)[0] = rng.choice([0, np.nan, np.inf, -3e38, 1])
    scales_before = rng.integers(0, 2**15, (1, heads, positions)).astype(np.uint16).view(np.float16)

    static, dynamic = Guarded(before.shape, np.int8, before), Guarded(before.shape, np.int8, before)
    scales = Guarded(scales_before.shape, np.uint16, scales_before.view(np.uint16))
    call(kernel_library, "cache_write", static, x, inverse, at, heads, positions, n)
    call(kernel_library, "cache_write_dynamic", dynamic, x, at, heads, positions, n)
    call(kernel_library, "cache_scale_write", scales, x, at, heads, positions, n)
    turned = np.ascontiguousarray(before.swapaxes(2, 3))
    columns, dynamic_columns = (Guarded(turned.shape, np.int8, turned) for _ in range(2))
    call(kernel_library, "cache_write_columns", columns, x, inverse, at, heads, positions, n)
    call(kernel_library, "cache_write_columns_dynamic", dynamic_columns, x, at, heads, positions, n)

    old, new, where = from_numpy(before), from_numpy(x), from_numpy(at)
    with np.errstate(all="ignore"):
        assert_same_bits(static.array, attention.cache_write(old, new, from_numpy(inverse), where).numpy())
        assert_same_bits(dynamic.array, attention.cache_write_dynamic(old, new, where).numpy())
        assert_same_bits(
            columns.array,
            attention.cache_write_columns(from_numpy(turned), new, from_numpy(inverse), where).numpy(),
        )
        assert_same_bits(
            dynamic_columns.array,
            attention.cache_write_columns_dynamic(from_numpy(turned), new, where).numpy(),
        )
        written = attention.cache_scale_write(from_numpy(scales_before), new, where).numpy()
    assert_same_bits(scales.array, written.view(np.uint16))
    assert_same_bits(np.ascontiguousarray(columns.array.swapaxes(2, 3)), static.array)
    assert_same_bits(np.ascontiguousarray(dynamic_columns.array.swapaxes(2, 3)), dynamic.array)


def test_row_scales_are_rounded_as_numpy_rounds_them(kernel_library: ctypes.CDLL) -> None:
    """Ties among float16's, its smallest and largest normal numbers, and what lies beyond."""
    halves = np.arange(0x0400, 0x7BFF, 37, dtype=np.uint16).view(np.float16).astype(np.float32)
    next_halves = (np.arange(0x0400, 0x7BFF, 37, dtype=np.uint16) + 1).view(np.float16).astype(np.float32)
    wanted = np.concatenate([halves, (halves + next_halves) / 2, np.abs(EXTREMES)])
    with np.errstate(over="ignore"):
        x = (wanted * np.float32(127)).reshape(1, -1, 1, 1)
    heads = x.shape[1]
    scales = Guarded((1, heads, 1), np.uint16)
    call(kernel_library, "cache_scale_write", scales, x, _at(0), heads, 1, 1)
    with np.errstate(all="ignore"):
        expected = attention.cache_scale_write(
            from_numpy(np.zeros((1, heads, 1), np.float16)), from_numpy(x), from_numpy(_at(0))
        ).numpy()
    assert_same_bits(scales.array, expected.view(np.uint16))


def _scratch(positions: int, n: int) -> Guarded:
    """Exactly what the operator's shape function asks for, dirty, and not 0xA5."""
    size = attention._scratch_bytes(positions) + (n + 15) // 16 * 16
    return Guarded(size, np.uint8, 0x7F, aligned=True)


def _attend(
    library: ctypes.CDLL, q: Any, k: Any, v: Any, ks: Any, vs: Any, position: int, scale: float
) -> Any:
    """Call the kernel that fits the scales' type. k and v [1, groups, positions, n]."""
    _, groups, positions, n = k.shape
    heads = q.shape[1]
    out, dynamic = Guarded(q.shape, np.float32), ks.dtype == np.float16
    name = "attention_s8_dynamic" if dynamic else "attention_s8"
    sizes = (heads, groups, positions, n, scale)
    columns = np.ascontiguousarray(v.swapaxes(2, 3))
    call(library, name, q, k, columns, ks, vs, _at(position), out, _scratch(positions, n), *sizes)
    return out.array


def _reference(q: Any, k: Any, v: Any, ks: Any, vs: Any, position: int, scale: float) -> Any:
    function = attention.attention_s8_dynamic if ks.dtype == np.float16 else attention.attention_s8
    columns = np.ascontiguousarray(v.swapaxes(2, 3))
    return function(*map(from_numpy, (q, k, columns, ks, vs, _at(position))), scale)[0].numpy()


def _scales(rng: np.random.Generator, dynamic: bool, groups: int, positions: int, n: int) -> tuple[Any, Any]:
    if dynamic:
        low, high = np.log([6.2e-5, 1.0])
        return tuple(
            np.exp(rng.uniform(low, high, (1, groups, positions))).astype(np.float16) for _ in range(2)
        )
    return tuple((np.abs(normal(rng, groups, n, spread=0.02)) + 1e-4).astype(np.float32) for _ in range(2))


@pytest.mark.parametrize("dynamic", [False, True])
@settings(max_examples=60, deadline=None)
@given(
    cache=CACHES,
    share=st.integers(1, 3),
    position=POSITIONS,
    seed=SEEDS,
    cap=st.sampled_from([0.0, 0.5, 30.0]),
    biased=st.booleans(),
    sink=st.sampled_from([None, -200.0, -3.0, 0.5, 40.0, 300.0]),
)
def test_shaped_attention(
    kernel_library: ctypes.CDLL,
    dynamic: bool,
    cache: tuple[int, int, int],
    share: int,
    position: int,
    seed: int,
    cap: float,
    biased: bool,
    sink: float | None,
) -> None:
    """A soft cap, what is added by distance, and sinks below, among and far above the scores; with none it is attention."""
    groups, positions, n = cache
    rng, heads = np.random.default_rng(seed), groups * share
    k, v = int8(rng, 1, groups, positions, n), int8(rng, 1, groups, n, positions)
    ks, vs = _scales(rng, dynamic, groups, positions, n)
    q, bias = normal(rng, 1, heads, 1, n), normal(rng, heads, positions, spread=3) if biased else None
    sinks = None if sink is None else normal(rng, heads) + np.float32(sink)
    out = Guarded(q.shape, np.float32)
    name = "attention_s8_dynamic" if dynamic else "attention_s8"
    raw = [value.view(np.uint16) if value.dtype == np.float16 else value for value in (ks, vs)]
    sizes, at = (heads, groups, positions, n, 0.3, cap), _at(position)
    call(
        kernel_library, f"{name}_shaped", q, k, v, *raw, at, bias, sinks, out, _scratch(positions, n), *sizes
    )
    inputs = tuple(map(from_numpy, (q, k, v, ks, vs, at)))
    added, beside = (None if each is None else from_numpy(each) for each in (bias, sinks))
    expected = getattr(attention, f"{name}_shaped")(*inputs, added, beside, 0.3, cap)[0].numpy()
    assert_same_bits(out.array, expected)
    if sink == 300.0:
        assert np.abs(expected).max() < 1e-30
    if not cap and not biased and sink in (None, -200.0):
        assert_same_bits(expected, getattr(attention, name)(*inputs, 0.3)[0].numpy())


@pytest.mark.parametrize("dynamic", [False, True])
@settings(max_examples=120, deadline=None)
@given(
    cache=CACHES,
    share=st.integers(1, 3),
    position=POSITIONS,
    seed=SEEDS,
    spread=st.sampled_from([0.0, 1e-3, 1.0, 30.0]),
)
def test_attention(
    kernel_library: ctypes.CDLL,
    dynamic: bool,
    cache: tuple[int, int, int],
    share: int,
    position: int,
    seed: int,
    spread: float,
) -> None:
    groups, positions, n = cache
    rng = np.random.default_rng(seed)
    k, v = int8(rng, 1, groups, positions, n), int8(rng, 1, groups, positions, n)
    ks, vs = _scales(rng, dynamic, groups, positions, n)
    q = (rng.standard_normal((1, groups * share, 1, n)) * spread).astype(np.float32)
    scale = float(np.float32(n**-0.5))
    expected = _reference(q, k, v, ks, vs, position, scale)
    assert_same_bits(_attend(kernel_library, q, k, v, ks, vs, position, scale), expected)


@pytest.mark.parametrize("dynamic", [False, True])
def test_only_past_positions_are_read(kernel_library: ctypes.CDLL, dynamic: bool) -> None:
    rng = np.random.default_rng(3)
    k, v = int8(rng, 1, 2, 20, 16), int8(rng, 1, 2, 20, 16)
    ks, vs = _scales(rng, dynamic, 2, 20, 16)
    q = rng.standard_normal((1, 4, 1, 16)).astype(np.float32)
    before = _attend(kernel_library, q, k, v, ks, vs, 6, 0.25)
    k[:, :, 7:], v[:, :, 7:] = int8(rng, 1, 2, 13, 16), int8(rng, 1, 2, 13, 16)
    if dynamic:
        ks[:, :, 7:], vs[:, :, 7:] = np.nan, np.inf
    assert_same_bits(_attend(kernel_library, q, k, v, ks, vs, 6, 0.25), before)


def test_a_cache_that_was_never_written_gives_zeros(kernel_library: ctypes.CDLL) -> None:
    """Scales of 0 in the dynamic cache: nothing is divided by zero that reaches the output."""
    q = np.ones((1, 1, 1, 8), np.float32)
    cache, scales = np.zeros((1, 1, 5, 8), np.int8), np.zeros((1, 1, 5), np.float16)
    out = _attend(kernel_library, q, cache, cache, scales, scales, 4, 1.0)
    assert_same_bits(out, np.zeros_like(q))


@pytest.mark.parametrize("dynamic", [False, True])
def test_bad_numbers_stay_defined(kernel_library: ctypes.CDLL, dynamic: bool) -> None:
    """NaN and infinity in the query: whatever comes out, no undefined behaviour on the way (the build traps it)."""
    rng = np.random.default_rng(4)
    k, v = int8(rng, 1, 1, 9, 8), int8(rng, 1, 1, 9, 8)
    ks, vs = _scales(rng, dynamic, 1, 9, 8)
    for bad in (np.nan, np.inf, -np.inf, 3e38):
        for whole in (False, True):
            q = np.full((1, 1, 1, 8), bad if whole else 1, np.float32)
            q[..., 0] = bad
            _attend(kernel_library, q, k, v, ks, vs, 8, 1.0)
    if dynamic:
        raw = rng.integers(0, 2**16, (2, 1, 1, 9)).astype(np.uint16).view(np.float16)
        _attend(kernel_library, np.ones((1, 1, 1, 8), np.float32), k, v, raw[0], raw[1], 8, 1.0)


@pytest.mark.parametrize("dynamic", [False, True])
def test_close_to_softmax(kernel_library: ctypes.CDLL, dynamic: bool) -> None:
    """Against float64 on the dequantized cache.

    A probability is off by at most half of 1/127 of the greatest, relative to a sum of at least one whole; a score
    by half a step of the int8 query in each channel. Both are bounded below for this seed's data.
    """
    rng = np.random.default_rng(11)
    positions, n, scale = 64, 32, 32**-0.5
    k, v = int8(rng, 1, 1, positions, n), int8(rng, 1, 1, positions, n)
    ks, vs = _scales(rng, dynamic, 1, positions, n)
    if dynamic:
        ks[:], vs[:] = 0.01, 0.02
        keys, values = k[0, 0] * ks[0, 0, :, None].astype(float), v[0, 0] * vs[0, 0, :, None].astype(float)
    else:
        keys, values = k[0, 0] * ks[0].astype(float), v[0, 0] * vs[0].astype(float)
    q = rng.standard_normal((1, 1, 1, n)).astype(np.float32)
    scores = keys @ (q.reshape(-1) * scale)
    p = np.exp(scores - scores.max())
    expected = p / p.sum() @ values
    step = np.abs(q).max() * scale / 127 / 2
    if not dynamic:
        step = (np.abs(q.reshape(-1) * ks[0]).max() * scale / 127 / 2) / ks[0]
    score_error = (np.abs(keys) * step).sum(-1).max()
    probability_error = (0.5 / 127) * positions / p.sum()
    bound = (np.expm1(2 * score_error) + 2 * probability_error) * np.abs(values).max()
    found = _attend(kernel_library, q, k, v, ks, vs, positions - 1, scale).reshape(-1)
    assert np.abs(found - expected).max() < bound
    assert bound < np.abs(values).max()  # the bound says something


@settings(max_examples=80, deadline=None)
@given(
    positions=st.lists(st.integers(0, 2**40), min_size=1, max_size=5),
    length=st.integers(1, 40),
    share=st.floats(0, 0.99),
)
def test_ring_slots(kernel_library: ctypes.CDLL, positions: list[int], length: int, share: float) -> None:
    """Each position follows the one before, around the ring, and the sinks are never written over."""
    sinks = int(length * share)
    at = np.array([p + d for p in positions for d in (0, 1)], np.int64)
    out = Guarded(at.shape, np.int64)
    call(kernel_library, "ring_slot", at, out, len(at), sinks, length)
    expected = sliding_attention.ring_slot(from_numpy(at), sinks, length).numpy()
    assert_same_bits(out.array, expected)
    for position, slot, after in zip(positions, expected[::2], expected[1::2], strict=True):
        assert slot == position if position < length else sinks <= slot < length
        assert after == (slot + 1 if slot + 1 < length else sinks)


@pytest.mark.parametrize("dynamic", [False, True])
@settings(max_examples=60, deadline=None)
@given(
    cache=CACHES,
    share=st.integers(1, 3),
    position=POSITIONS,
    slot=st.one_of(st.integers(-2, 40), st.sampled_from([-(2**63), 2**63 - 1])),
    seed=SEEDS,
    cap=st.sampled_from([0.0, 0.5, 30.0]),
)
def test_sliding_attention(
    kernel_library: ctypes.CDLL,
    dynamic: bool,
    cache: tuple[int, int, int],
    share: int,
    position: int,
    slot: int,
    seed: int,
    cap: float,
) -> None:
    """Three queries for three parts of the slots; with three alike it is attention."""
    groups, positions, n = cache
    rng, heads = np.random.default_rng(seed), groups * share
    k, v = int8(rng, 1, groups, positions, n), int8(rng, 1, groups, n, positions)
    ks, vs = _scales(rng, dynamic, groups, positions, n)
    queries = [normal(rng, 1, heads, 1, n) for _ in range(3)]
    if seed % 4 == 0:
        queries = queries[:1] * 3
    sinks = int(rng.integers(0, positions))
    out = Guarded(queries[0].shape, np.float32)
    name = "attention_s8_dynamic" if dynamic else "attention_s8"
    raw = [value.view(np.uint16) if value.dtype == np.float16 else value for value in (ks, vs)]
    sizes, at = (heads, groups, positions, n, sinks, 0.3, cap), (_at(position), _at(slot))
    call(kernel_library, f"{name}_sliding", *queries, k, v, *raw, *at, out, _scratch(positions, n), *sizes)
    reference = getattr(sliding_attention, f"{name}_sliding")
    tensors = map(from_numpy, (*queries, k, v, ks, vs, *at))
    assert_same_bits(out.array, reference(*tensors, sinks, sizes[-2], cap)[0].numpy())
    if seed % 4 == 0:
        plain = getattr(attention, f"{name}_shaped")
        tensors = map(from_numpy, (queries[0], k, v, ks, vs, _at(position)))
        assert_same_bits(out.array, plain(*tensors, None, None, sizes[-2], cap)[0].numpy())

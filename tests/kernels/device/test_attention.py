"""Attention and the writing of its cache on Helium are their references, bit for bit, and cost what they are to cost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from torch import from_numpy

from mcu_sdk.operators.reference import attention, sliding_attention
from tests.kernels.call import Guarded, assert_same_bits, int8, normal
from tests.kernels.conftest import kernel_files
from tests.kernels.device.simulated import Call, Simulated, build

SHAPES = [
    (heads, groups, positions, n)
    for heads, groups, positions in ((1, 1, 1), (2, 1, 3), (2, 2, 19), (4, 2, 40), (1, 1, 131))
    for n in (1, 3, 4, 8, 15, 16, 17, 32, 36, 48, 64, 80, 100)
]
"""(query heads, key/value heads, positions, channels)"""


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    sources = kernel_files("attention_s8*.cpp", "cache_*.cpp", "row_s8.cpp", "*_helium.S")
    return build(sources, tmp_path_factory.mktemp("device"))


def _unaligned(values: Any) -> Guarded:
    return Guarded(values.shape, values.dtype, values)


def _operands(rng: np.random.Generator, dynamic: bool, shape: tuple[int, int, int, int]) -> list[Any]:
    """q, keys, values and their scales."""
    heads, groups, positions, n = shape
    spread = float(rng.choice([0.0, 1e-3, 1.0, 30.0]))
    operands = [
        (rng.standard_normal((1, heads, 1, n)) * spread).astype(np.float32),
        int8(rng, 1, groups, positions, n),
        int8(rng, 1, groups, n, positions),
    ]
    if dynamic:
        low, high = np.log([6.2e-5, 1.0])
        scales = [np.exp(rng.uniform(low, high, (1, groups, positions))).astype(np.float16) for _ in range(2)]
    else:
        scales = [(np.abs(normal(rng, groups, n, spread=0.02)) + 1e-4).astype(np.float32) for _ in range(2)]
    return [*operands, *scales]


def _attend(simulated: Simulated, operands: list[Any], position: int, scale: float) -> tuple[Call, Guarded]:
    """The call of the kernel that fits the scales' type, and its result."""
    q, k, _, k_scale, _ = operands
    _, groups, positions, n = k.shape
    dynamic = k_scale.dtype == np.float16
    raw = [value.view(np.uint16) if value.dtype == np.float16 else value for value in operands]
    size = attention._scratch_bytes(positions) + (n + 15) // 16 * 16
    scratch, out = Guarded(size, np.uint8, 0x7F, aligned=True), Guarded(q.shape, np.float32)
    sizes = (q.shape[1], groups, positions, n, scale)
    name = "attention_s8_dynamic" if dynamic else "attention_s8"
    at = np.array([position], np.int64)
    return simulated.call(name, *map(_unaligned, raw), at, out, scratch, *sizes), out


def _reference(operands: list[Any], position: int, scale: float) -> Any:
    dynamic = operands[3].dtype == np.float16
    function = attention.attention_s8_dynamic if dynamic else attention.attention_s8
    return function(*map(from_numpy, operands), from_numpy(np.array([position])), scale)[0].numpy()


@pytest.mark.parametrize("dynamic", [False, True])
def test_attention(simulated: Simulated, dynamic: bool) -> None:
    rng = np.random.default_rng(20 + dynamic)
    results = []
    for shape in SHAPES:
        for position in sorted({0, shape[2] - 1, *map(int, rng.integers(0, shape[2], 2))}):
            operands, scale = _operands(rng, dynamic, shape), float(np.float32(shape[3] ** -0.5))
            _, out = _attend(simulated, operands, position, scale)
            results.append((out, _reference(operands, position, scale)))
    simulated.run()
    for out, expected in results:
        assert_same_bits(out.array, expected)


@pytest.mark.parametrize("dynamic", [False, True])
def test_shaped_attention(simulated: Simulated, dynamic: bool) -> None:
    """A soft cap, something added by distance, and both, with sinks and without."""
    rng = np.random.default_rng(50 + dynamic)
    name = "attention_s8_dynamic_shaped" if dynamic else "attention_s8_shaped"
    results = []
    for shape in SHAPES[::3]:
        heads, groups, positions, n = shape
        for cap, biased in ((0.0, True), (2.5, False), (30.0, True)):
            operands, position = _operands(rng, dynamic, shape), int(rng.integers(0, positions))
            bias = normal(rng, heads, positions, spread=4) if biased else None
            at, scale = np.array([position], np.int64), float(np.float32(n**-0.5))
            raw = [value.view(np.uint16) if value.dtype == np.float16 else value for value in operands]
            size = attention._scratch_bytes(positions) + (n + 15) // 16 * 16
            scratch, out = Guarded(size, np.uint8, 0x7F, aligned=True), Guarded((1, heads, 1, n), np.float32)
            given = None if bias is None else _unaligned(bias)
            sinks = normal(rng, heads, spread=4) if cap else None
            sizes = (heads, groups, positions, n, scale, cap)
            beside = None if sinks is None else _unaligned(sinks)
            simulated.call(name, *map(_unaligned, raw), at, given, beside, out, scratch, *sizes)
            added, extra = (None if each is None else from_numpy(each) for each in (bias, sinks))
            inputs = (*map(from_numpy, operands), from_numpy(at), added, extra, scale, cap)
            results.append((out, getattr(attention, name)(*inputs)[0].numpy()))
    simulated.run()
    for out, expected in results:
        assert_same_bits(out.array, expected)


@pytest.mark.slow
@pytest.mark.parametrize("dynamic", [False, True])
def test_sliding_attention(simulated: Simulated, dynamic: bool) -> None:
    """Parts of all lengths, the empty ones among them, each with its own query."""
    rng = np.random.default_rng(70 + dynamic)
    name = "attention_s8_dynamic_sliding" if dynamic else "attention_s8_sliding"
    results = []
    for shape in SHAPES:
        heads, groups, positions, n = shape
        for cap in (0.0, 2.5):
            first, *operands = _operands(rng, dynamic, shape)
            queries = [first, normal(rng, *first.shape), normal(rng, *first.shape)]
            sinks, slot = (int(rng.integers(0, positions)) for _ in range(2))
            position = int(rng.choice([positions * 3, int(rng.integers(0, positions))]))
            at, scale = [np.array([p], np.int64) for p in (position, slot)], float(np.float32(n**-0.5))
            raw = [value.view(np.uint16) if value.dtype == np.float16 else value for value in operands]
            size = attention._scratch_bytes(positions) + (n + 15) // 16 * 16
            scratch, out = Guarded(size, np.uint8, 0x7F, aligned=True), Guarded(first.shape, np.float32)
            sizes = (heads, groups, positions, n, sinks, scale, cap)
            simulated.call(name, *map(_unaligned, [*queries, *raw]), *at, out, scratch, *sizes)
            inputs = (*map(from_numpy, [*queries, *operands, *at]), sinks, scale, cap)
            results.append((out, getattr(sliding_attention, name)(*inputs)[0].numpy()))
    simulated.run()
    for out, expected in results:
        assert_same_bits(out.array, expected)


@pytest.mark.parametrize(
    ("dynamic", "position", "most"),
    [(False, 7, 670), (False, 127, 2760), (True, 7, 640), (True, 127, 3030)],
)
def test_attention_costs(simulated: Simulated, dynamic: bool, position: int, most: int) -> None:
    """One head of 32 over a cache of 128: a bar slightly above what was measured."""
    operands = _operands(np.random.default_rng(5), dynamic, (8, 8, 128, 32))
    call, _ = _attend(simulated, operands, position, 0.25)
    simulated.run()
    assert call.instructions / 8 <= most


CACHES = [
    (heads, positions, n) for heads in (1, 3) for positions in (1, 9) for n in (1, 3, 4, 16, 18, 32, 37)
]


def test_cache_writes(simulated: Simulated) -> None:
    rng, results = np.random.default_rng(40), []
    for heads, positions, n in CACHES:
        x = normal(rng, 1, heads, 1, n, spread=10.0 ** int(rng.integers(-12, 13)))
        x[0, 0, 0, 0] = rng.choice(np.array([0, np.nan, np.inf, -3e38, 1], np.float32))
        inverse, rows = normal(rng, heads, n, spread=100), int8(rng, 1, heads, positions, n)
        columns = int8(rng, 1, heads, n, positions)
        scales = rng.integers(0, 2**15, (1, heads, positions)).astype(np.uint16)
        for position in (-1, 0, positions - 1, positions):
            at, sizes = np.array([position], np.int64), (heads, positions, n)
            cases: list[tuple[Any, Any, tuple[Any, ...]]] = [
                (attention.cache_write, rows, (x, inverse)),
                (attention.cache_write_columns, columns, (x, inverse)),
                (attention.cache_write_dynamic, rows, (x,)),
                (attention.cache_write_columns_dynamic, columns, (x,)),
                (attention.cache_scale_write, scales.view(np.float16), (x,)),
            ]
            for reference, before, inputs in cases:
                raw = before.view(np.uint16) if before.dtype == np.float16 else before
                cache = _unaligned(raw)
                simulated.call(reference.__name__, cache, *map(_unaligned, inputs), at, *sizes)
                with np.errstate(all="ignore"):
                    expected = reference(*map(from_numpy, (before, *inputs, at))).numpy()
                results.append((cache, expected.view(raw.dtype)))
    simulated.run()
    for cache, expected in results:
        assert_same_bits(cache.array, expected)


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("cache_write", 710),
        ("cache_write_columns", 630),
        ("cache_write_dynamic", 1200),
        ("cache_write_columns_dynamic", 1280),
        ("cache_scale_write", 575),
    ],
)
def test_cache_write_costs(simulated: Simulated, name: str, most: int) -> None:
    """Eight heads of 32: bars slightly above what was measured."""
    rng = np.random.default_rng(41)
    cache = Guarded(8 * 128, np.uint16) if "scale" in name else Guarded(8 * 128 * 32, np.int8)
    inputs = (
        [normal(rng, 256)] if "dynamic" in name or "scale" in name else [normal(rng, 256) for _ in range(2)]
    )
    call = simulated.call(name, cache, *inputs, np.array([7], np.int64), 8, 128, 32)
    simulated.run()
    assert call.instructions <= most

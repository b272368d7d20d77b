"""On Helium quantization is its reference, bit for bit; corners included."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from torch import from_numpy

from mcu_sdk.operators.reference import linear
from mcu_sdk.operators.reference.exact_math import round_clamped
from tests.kernels.call import EXTREMES, Guarded, assert_same_bits, normal
from tests.kernels.device.simulated import Simulated

SPECIAL = np.array([np.nan, np.inf, -np.inf], np.float32)
LENGTHS = [*range(1, 22), 31, 32, 33, 63, 64, 65, 172, 256]


def _unaligned(values: Any) -> Guarded:
    return Guarded(values.shape, values.dtype, values)


def _rows(rng: np.random.Generator) -> list[Any]:
    """float32[rows, n] of many lengths and sizes, ties, and what is no number."""
    ties = np.concatenate([[127], np.arange(18) + 0.5])  # m = 127: every one lies between two integers
    corners = [
        np.zeros(19),
        np.full(19, 1e-30),
        np.full(19, np.nan),
        np.concatenate([EXTREMES, [np.nan, 0]]),
        np.concatenate([SPECIAL, SPECIAL, np.arange(13)]),
        ties,
        -ties,
    ]
    found = [normal(rng, 2, n, spread=10.0 ** int(rng.integers(-25, 26))) for n in LENGTHS]
    return [np.array(corners, np.float32), *found]


def test_quantize_rows(simulated: Simulated) -> None:
    results = []
    for x in _rows(np.random.default_rng(7)):
        rows, n = x.shape
        q, scale = Guarded((rows, n), np.int8), Guarded(rows, np.float32)
        simulated.call("quantize_rows", _unaligned(x), q, scale, rows, n)
        with np.errstate(all="ignore"):
            results.append((q, scale, *linear.quantize_rows(from_numpy(x))))
    simulated.run()
    for q, scale, expected_q, expected_scale in results:
        assert_same_bits(q.array, expected_q.numpy())
        assert_same_bits(scale.array, expected_scale.numpy())


@pytest.mark.parametrize(("kernel", "kind"), [("quantize", np.int8), ("quantize_s16", np.int16)])
def test_quantize(simulated: Simulated, kernel: str, kind: type[Any]) -> None:
    rng, of = np.random.default_rng(8), np.iinfo(kind)
    results = []
    for n in LENGTHS:
        scale, zero_point = np.float32(10.0 ** rng.uniform(-5, 5)), int(rng.integers(of.min, of.max + 1))
        ties = rng.integers(2 * of.min, 2 * of.max, n) + 0.5
        x = np.where(rng.random(n) < 0.4, ties, normal(rng, n, spread=0.8 * of.max)) * scale
        x = np.where(rng.random(n) < 0.2, rng.choice(np.concatenate([SPECIAL, EXTREMES]), n), x)
        x = x.astype(np.float32)
        out, inverse = Guarded(n, kind), np.float32(1) / scale
        low, high = (of.min, of.max) if n % 2 else (of.min + 28, of.max - 37)
        simulated.call(kernel, _unaligned(x), out, n, inverse, zero_point, low, high)
        with np.errstate(all="ignore"):
            rounded = round_clamped(x * inverse, -(2**20), 2**20).astype(np.int64)
            expected = np.clip(rounded + zero_point, low, high).astype(kind)
            if kind is np.int8:  # what has a reference of its own
                reference = linear.quantize(from_numpy(x), float(scale), zero_point).numpy()
                assert_same_bits(expected, np.clip(reference, low, high))
        results.append((out, expected))
    simulated.run()
    for out, expected in results:
        assert_same_bits(out.array, expected)


@pytest.mark.parametrize(("kernel", "kind"), [("dequantize", np.int8), ("dequantize_s16", np.int16)])
def test_dequantize(simulated: Simulated, kernel: str, kind: type[Any]) -> None:
    rng, of = np.random.default_rng(9), np.iinfo(kind)
    results = []
    for n in LENGTHS:
        x, scale = rng.integers(of.min, of.max + 1, n).astype(kind), np.float32(rng.normal())
        zero_point, out = int(rng.integers(of.min, of.max + 1)), Guarded(n, np.float32)
        simulated.call(kernel, _unaligned(x), out, n, scale, zero_point)
        results.append((out, (x.astype(np.int32) - zero_point).astype(np.float32) * scale))
    simulated.run()
    for out, expected in results:
        assert_same_bits(out.array, expected)


def test_instructions(simulated: Simulated) -> None:
    """256 values: what was measured (602, 476, 404), and 2 % more."""
    x, q, scale = np.ones((1, 256), np.float32), Guarded((1, 256), np.int8), Guarded(1, np.float32)
    rows = simulated.call("quantize_rows", x, q, scale, 1, 256)
    static = simulated.call("quantize", x, q, 256, np.float32(3), 0, -128, 127)
    back = simulated.call("dequantize", q, x, 256, np.float32(3), 0)
    simulated.run()
    assert rows.instructions <= 614
    assert static.instructions <= 486
    assert back.instructions <= 412

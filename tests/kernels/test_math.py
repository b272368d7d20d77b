"""kernels/math/math.h is mcu_sdk/operators/reference/exact_math.py, with a fused multiply-add in hardware and without."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcu_sdk.operators.reference import exact_math
from tests.kernels.call import EXTREMES, Guarded, assert_same_bits, call, normal

DRIVER = Path(__file__).with_name("math_driver.cpp")
SPECIAL = np.concatenate([EXTREMES, np.array([np.nan, np.inf, -np.inf], np.float32)])


def _has_fma() -> bool:
    flags = Path("/proc/cpuinfo")
    return flags.exists() and " fma " in flags.read_text()


@pytest.fixture(scope="module", params=["emulated", "hardware"])
def library(request: pytest.FixtureRequest, build_library: Callable[..., ctypes.CDLL]) -> ctypes.CDLL:
    if request.param == "emulated":
        return build_library([DRIVER])
    if not _has_fma():
        pytest.skip("this processor has no fused multiply-add")
    return build_library([DRIVER], "-O3", "-mfma")


def _map(library: ctypes.CDLL, name: str, *arrays: Any, dtype: Any = np.float32) -> Any:
    out = Guarded(arrays[0].shape, dtype)
    call(library, f"test_{name}", *arrays, out, len(arrays[0]))
    return out.array


def _sweep(low: float, high: float) -> Any:
    """Evenly spaced, and of all magnitudes down to 2^-30, of both signs."""
    even = np.linspace(low, high, 100_001)
    sizes = np.geomspace(2.0**-30, max(abs(low), high), 20_001)
    return np.concatenate([even, sizes, -sizes, SPECIAL]).astype(np.float32)


def _rounded(value: Fraction) -> np.float32:
    """The float32 nearest to an exact value, ties to even; normal numbers only."""
    if value == 0:
        return np.float32(0)
    magnitude = abs(value)
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    exponent -= magnitude < Fraction(2) ** exponent
    unit = Fraction(2) ** (exponent - 23)
    return np.float32(np.ldexp(float(round(value / unit)), exponent - 23))  # Fraction rounds ties to even


def test_fma_is_exact(library: ctypes.CDLL) -> None:
    """Against rational arithmetic, where cancellation, ties and far-apart exponents make double rounding wrong."""
    rng = np.random.default_rng(0)
    n = 4000
    a, b = (
        np.ldexp(rng.integers(-(2**24), 2**24, n), rng.integers(-20, 20, n)).astype(np.float32) for _ in "ab"
    )
    product = a.astype(np.float64) * b
    near = -product * (1 + rng.integers(-4, 5, n) * 2.0**-24)
    tie = np.ldexp(rng.integers(1, 2**24, n) + 0.0, rng.integers(-60, 60, n))
    c = np.where(rng.random(n) < 0.5, near, tie).astype(np.float32)
    # Products of 2^-24 (1 - 2^-36) and 2^-24 (1 + 2^-36): just below and just beyond the tie between two neighbours of
    # 1, by too little for float64. Only the sticky last bit tells which.
    below = (2.0**-12 * (1 - 2.0**-18), 2.0**-12 * (1 + 2.0**-18))
    beyond = (2.0**-12 * (1 + 2.0**-12), 2.0**-12 * (1 - 2.0**-12 + 2.0**-24))
    ties = [(x, y, z) for x, y in (below, beyond) for z in (1.0, 1 + 2.0**-23)]
    ties += [(-x, y, -z) for x, y, z in ties]
    a[: len(ties)], b[: len(ties)], c[: len(ties)] = np.array(ties, np.float32).T
    expected = np.array(
        [
            _rounded(Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z)))
            for x, y, z in zip(a, b, c, strict=True)
        ],
        np.float32,
    )
    assert_same_bits(_map(library, "fma", a, b, c), expected)
    assert_same_bits(exact_math.fma(a, b, c), expected)
    # One by one as well: numbers of which none is near a tie are rounded the short way.
    alone = [exact_math.fma(a[i : i + 1], b[i : i + 1], c[i : i + 1]) for i in range(n)]
    assert_same_bits(np.concatenate(alone), expected)


_FLOATS = st.floats(width=32, allow_subnormal=False)


@settings(max_examples=300, deadline=None)
@given(numbers=st.tuples(_FLOATS, _FLOATS, _FLOATS))
def test_fma_of_any_numbers(library: ctypes.CDLL, numbers: tuple[float, float, float]) -> None:
    arrays = [np.array([number], np.float32) for number in numbers]
    with np.errstate(all="ignore"):
        expected = exact_math.fma(*arrays)
    found = _map(library, "fma", *arrays)
    if abs(expected[0]) >= 2.0**-126 or expected[0] == found[0] or np.isnan(expected[0]):
        assert_same_bits(found, expected)
    else:  # subnormal: outside the specification
        assert abs(found[0]) <= 2.0**-126


def test_exp(library: ctypes.CDLL) -> None:
    x = _sweep(-90, 90)
    with np.errstate(all="ignore"):
        expected = exact_math.exp(x)
    found = _map(library, "exp", x)
    assert_same_bits(found, expected)
    inside = np.abs(x) <= 86
    np.testing.assert_allclose(found[inside], np.exp(x[inside].astype(np.float64)), rtol=2.5e-7)


def test_exp_share(library: ctypes.CDLL) -> None:
    """127 e^x, of what is rounded to an int8; exactly 127 at 0, and next to nothing for a NaN."""
    x = np.minimum(_sweep(-90, 0), np.float32(0))
    with np.errstate(all="ignore"):
        expected = exact_math.exp_share(x)
    found = _map(library, "exp_share", x)
    assert_same_bits(found, expected)
    inside = x >= -44
    np.testing.assert_allclose(found[inside], 127 * np.exp(x[inside].astype(np.float64)), rtol=1.1e-4)
    assert (found[x == 0] == 127).all() and (found[~inside] < 1e-16).all()


def test_log(library: ctypes.CDLL) -> None:
    x = np.concatenate([np.geomspace(1.2e-38, 3e38, 100_001), np.linspace(0.5, 2, 20_001)]).astype(np.float32)
    found = _map(library, "log", x)
    assert_same_bits(found, exact_math.log(x))
    np.testing.assert_allclose(found, np.log(x.astype(np.float64)), rtol=3e-7)


def test_erf(library: ctypes.CDLL) -> None:
    import math

    x = _sweep(-6, 6)
    with np.errstate(all="ignore"):
        expected = exact_math.erf(x)
    found = _map(library, "erf", x)
    assert_same_bits(found, expected)
    some = np.arange(0, 100_001, 50)
    np.testing.assert_allclose(found[some], [math.erf(v) for v in x[some].tolist()], rtol=0, atol=6e-7)


def test_sqrt_is_ieee(library: ctypes.CDLL) -> None:
    x = np.abs(_sweep(0, 1e6))
    with np.errstate(all="ignore"):
        expected = np.sqrt(x)
    assert_same_bits(_map(library, "sqrt", x), expected)


@pytest.mark.parametrize("limits", [(-127, 127), (-128, 0), (0, 127), (-(1 << 20), 1 << 20), (0, 0)])
def test_round_clamped(library: ctypes.CDLL, limits: tuple[int, int]) -> None:
    low, high = limits
    halves = np.arange(-600, 600, dtype=np.float32) / 2
    beside = np.concatenate([np.nextafter(halves, np.float32(9e9)), np.nextafter(halves, np.float32(-9e9))])
    x = np.concatenate([halves, beside, _sweep(-2e6, 2e6)]).astype(np.float32)
    out = Guarded(len(x), np.int32)
    call(library, "test_round_clamped", x, out, len(x), low, high)
    assert_same_bits(out.array, exact_math.round_clamped(x, low, high))


@settings(max_examples=60, deadline=None)
@given(n=st.integers(0, 40), seed=st.integers(0, 2**32 - 1), spread=st.sampled_from([1e-3, 1, 1e5]))
def test_lane_sums(library: ctypes.CDLL, n: int, seed: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    x, offset = normal(rng, n, spread=spread), normal(rng, 1, spread=spread)[0]
    out = Guarded(3, np.float32)
    call(library, "test_lane_sums", x, out, n, offset)
    assert_same_bits(out.array[0], exact_math.lane_sum(x))
    assert_same_bits(out.array[1], exact_math.lane_sum_of_squares(x - offset))
    assert_same_bits(out.array[2], exact_math.greatest_magnitude(x).astype(np.float32))


def test_every_half(library: ctypes.CDLL) -> None:
    bits = np.arange(1 << 16, dtype=np.uint16)
    floats = bits.view(np.float16).astype(np.float32)
    assert_same_bits(_map(library, "from_half", bits), floats)
    normals = np.arange(0x0400, 0x7C00, dtype=np.uint16)
    values = normals.view(np.float16).astype(np.float32)
    assert_same_bits(_map(library, "to_half", values, dtype=np.uint16), normals)
    # Between neighbours: the tie, and one float32 to either side of it.
    ties = (values[:-1] + values[1:]) / 2
    for x in (ties, np.nextafter(ties, np.float32(0)), np.nextafter(ties, np.float32(1e9))):
        assert_same_bits(_map(library, "to_half", x, dtype=np.uint16), x.astype(np.float16).view(np.uint16))

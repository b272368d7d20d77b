"""Float32 arithmetic with a fixed order, in numpy: what the C++ kernels compute, bit for bit.

Nothing here depends on the host's libm, on the width of its vectors or on the order in which a library adds. IEEE
754 single precision, round to nearest even; subnormals are outside the specification, because every target flushes
them (docs/numerics.md).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F32 = np.float32
Array = NDArray[np.float32]

LANES = 4
TINY = F32(1e-30)
"""A greatest magnitude at or below this counts as zero when a scale is derived from it: 127 / m must stay finite."""

EXP_LOW, EXP_HIGH = F32(-86.0), F32(88.0)
LOG2_E = F32(1.44269504)
LN2_HIGH, LN2_LOW = F32(0.693359375), F32(-2.12194440e-4)
EXP_C5 = F32(float.fromhex("0x1.10624ep-7"))
EXP_C4 = F32(float.fromhex("0x1.572a64p-5"))
EXP_C3 = F32(float.fromhex("0x1.5557b0p-3"))
EXP_C2 = F32(float.fromhex("0x1.fffdfcp-2"))
EXP2_LOW = F32(-64.0)
SHARE_C3 = F32(float.fromhex("0x1.bf1d04p+2"))
SHARE_C2 = F32(float.fromhex("0x1.ec2c56p+4"))
SHARE_C1 = F32(float.fromhex("0x1.603010p+6"))
SHARE_ONE = F32(127)
SQRT_2_OVER_PI = F32(0.7978845608028654)
GELU_CUBIC = F32(0.044715 * 0.7978845608028654)
SQRT_HALF = F32(0.7071067811865476)
ERF_P = F32(0.3275911)
ERF_A = tuple(F32(a) for a in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592))


def fma(a: Array | np.float32, b: Array | np.float32, c: Array | np.float32) -> Array:
    """a * b + c with one rounding, elementwise."""
    return _add_once_rounded(np.multiply(a, b, dtype=np.float64), c)


_BELOW_F32 = np.int64((1 << 29) - 1)
"""The bits of a float64 that a float32 does not have."""
_HALFWAY = np.int64(1 << 28)
_SMALLEST_NORMAL = 2.0**-126


def _add_once_rounded(product: NDArray[np.float64], c: Array | np.float32) -> Array:
    """product + c, rounded once, to float32; `product` is exact, as that of two float32 is in float64.

    Rounding to float64 first does harm only where it lands halfway between two float32, or below the normal ones.
    Where any element does, the sum is rounded to odd there, which makes the last rounding the only one that counts
    (53 >= 2 * 24 + 2 bits: Boldo and Melquiond, 2008).
    """
    addend = np.asarray(c, dtype=np.float64)
    total = np.asarray(product + addend)
    if not _rounding_twice_matters(total):
        rounded: Array = total.astype(F32)
        return rounded
    virtual = total - product
    error = (product - (total - virtual)) + (addend - virtual)
    bits = np.atleast_1d(total).view(np.int64).copy()
    inexact_even = np.atleast_1d((error != 0) & np.isfinite(total)) & ((bits & 1) == 0)
    away = np.atleast_1d((error > 0) == (total > 0))
    bits += np.where(inexact_even, np.where(away, 1, -1), 0)
    odd: Array = bits.view(np.float64).reshape(np.shape(total)).astype(F32)
    return odd


def _rounding_twice_matters(total: NDArray[np.float64]) -> bool:
    """Whether rounding a sum to float64 first can have changed what rounding it to float32 then gives."""
    low_bits = total.view(np.int64) & _BELOW_F32
    return bool(((low_bits == _HALFWAY) | ((np.abs(total) < _SMALLEST_NORMAL) & (total != 0))).any())


def lane_sum(x: Array) -> Array:
    """The sum over the last axis in four lanes: lane j adds elements j, j + 4, ... in order, then (0+1)+(2+3)."""
    lanes = np.zeros((*x.shape[:-1], LANES), F32)
    for start in range(0, x.shape[-1], LANES):
        part = x[..., start : start + LANES]
        lanes[..., : part.shape[-1]] += part
    return (lanes[..., 0] + lanes[..., 1]) + (lanes[..., 2] + lanes[..., 3])


def lane_sum_of_squares(x: Array) -> Array:
    """As `lane_sum`, of x * x, each step a fused multiply-add."""
    steps = -(-x.shape[-1] // LANES)
    squares = np.zeros(
        (*x.shape[:-1], steps * LANES), np.float64
    )  # x * x + 0 where x ends: the sum stays what it is
    np.multiply(x, x, dtype=np.float64, out=squares[..., : x.shape[-1]])
    parts = np.moveaxis(squares.reshape(*x.shape[:-1], steps, LANES), -2, 0)
    lanes = np.zeros((*x.shape[:-1], LANES), F32)
    totals = np.empty_like(parts)
    for part, total in zip(parts, totals, strict=True):
        np.add(part, lanes, out=total)
        lanes[...] = total
    if _rounding_twice_matters(totals):
        lanes = np.zeros_like(lanes)
        for part in parts:
            lanes = _add_once_rounded(part, lanes)
    return (lanes[..., 0] + lanes[..., 1]) + (lanes[..., 2] + lanes[..., 3])


def exp_share(x: Array) -> Array:
    """127 e^x for x <= 0, to be rounded to an int8 (a NaN, and what is below -44, gives next to 0); relative error below
    1.1e-4.

    t = x log2 e, n = rint(t), a polynomial of degree 3 on [-1/2, 1/2] whose coefficients minimise the largest relative
    error with the first fixed at 127, and n added to the exponent.
    """
    t = x * LOG2_E
    t = np.where(t > EXP2_LOW, t, EXP2_LOW)
    n = np.rint(t)
    f = t - n
    y = f * SHARE_C3 + SHARE_C2
    y = fma(y, f, SHARE_C1)
    y = fma(y, f, SHARE_ONE)
    bits = np.atleast_1d(y).view(np.int32) + (np.atleast_1d(n).astype(np.int32) << 23)
    result: Array = bits.view(F32).reshape(np.shape(x))
    return result


def exp(x: Array) -> Array:
    """e^x for x clamped to [-86, 88] (a NaN counts as -86); relative error below 2.5e-7.

    n = rint(x log2 e), r = x - n ln 2 in two parts, a polynomial of degree 5 on [-ln 2 / 2, ln 2 / 2] whose
    coefficients minimise the largest relative error with the first two fixed at 1, and n added to the exponent.
    """
    x = np.where(x > EXP_LOW, x, EXP_LOW)
    x = np.where(x < EXP_HIGH, x, EXP_HIGH)
    n = np.rint(x * LOG2_E)
    r = fma(n, -LN2_HIGH, x)
    r = fma(n, -LN2_LOW, r)
    y = r * EXP_C5 + EXP_C4
    y = fma(y, r, EXP_C3)
    y = fma(y, r, EXP_C2)
    y = fma(y, r, F32(1))
    y = fma(y, r, F32(1))
    bits = np.atleast_1d(y).view(np.int32) + (np.atleast_1d(n).astype(np.int32) << 23)
    result: Array = bits.view(F32).reshape(np.shape(x))
    return result


LOG_HALF_ROOT = np.int32(0x3F3504F3)
"""The bits of sqrt(1/2)."""
LOG_C9, LOG_C7, LOG_C5, LOG_C3 = (F32(c) for c in (0.2222222222, 0.2857142857, 0.4, 0.6666666667))


def log(x: Array) -> Array:
    """ln x of normal numbers above 0, infinity left out; relative error below 3e-7 (kernels/math/math_extra.h)."""
    bits = np.atleast_1d(x).view(np.int32) - LOG_HALF_ROOT
    e = (bits >> 23).astype(F32)
    m = ((bits & 0x7FFFFF) + LOG_HALF_ROOT).view(F32)
    s = (m - F32(1)) / (m + F32(1))
    z = s * s
    y = fma(z, LOG_C9, LOG_C7)
    y = fma(y, z, LOG_C5)
    y = fma(y, z, LOG_C3)
    y = fma(y * z, s, F32(2) * s)
    y = fma(e, LN2_LOW, y)
    result: Array = fma(e, LN2_HIGH, y).reshape(np.shape(x))
    return result


def sigmoid_denominator(x: Array) -> Array:
    """1 + e^-x: what x is divided by in SiLU."""
    return F32(1) + exp(-x)


def gelu_tanh_denominator(x: Array) -> Array:
    """1 + e^(-2u), u = sqrt(2/pi) (x + 0.044715 x^3): 0.5 x (1 + tanh u) is x divided by it."""
    u = x * fma(x * x, GELU_CUBIC, SQRT_2_OVER_PI)
    return F32(1) + exp(F32(-2) * u)


def tanh(x: Array) -> Array:
    """The hyperbolic tangent, odd by the sign bit; absolute error below 3e-7."""
    t = exp(F32(-2) * np.abs(x))
    y: Array = np.copysign((F32(1) - t) / (F32(1) + t), x)
    return y


def erf(x: Array) -> Array:
    """The error function; absolute error below 5e-7 (Abramowitz and Stegun 7.1.26, odd by the sign bit)."""
    a = np.abs(x)
    t = F32(1) / fma(ERF_P, a, F32(1))
    y = np.full_like(a, ERF_A[0])
    for coefficient in ERF_A[1:]:
        y = fma(y, t, coefficient)
    y = F32(1) - (y * t) * exp(-(a * a))
    return np.copysign(y, x)


def greatest_magnitude(x: Array) -> Array:
    """max |x| over the last axis; TINY and below, and NaNs, count as 1 where nothing greater is there."""
    m = np.fmax.reduce(np.abs(x), axis=-1) if x.shape[-1] else np.zeros(x.shape[:-1], F32)
    return np.where(m > TINY, m, F32(1))


def round_clamped(x: Array, low: int, high: int) -> NDArray[np.int32]:
    """Round to nearest, ties to even, and clamp to [low, high]; a NaN gives 0."""
    clean = np.where(np.isnan(x), F32(0), x)
    limited = np.clip(clean, F32(low - 1), F32(high + 1))
    rounded: NDArray[np.int32] = np.clip(np.rint(limited), low, high).astype(np.int32)
    return rounded

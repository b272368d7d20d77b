"""The Fourier transform of kernels/audio/real_fourier.h, to the bit: float32, passes of radix 4, 2 and 5, nothing fused."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mcu_sdk.operators.reference.exact_math import F32, Array

RADICES = (4, 2, 5)
"""In this order each is taken as often as it divides what is left."""

COS_1, COS_2, SIN_1, SIN_2 = (
    F32(value) for value in (0.30901699437494745, -0.8090169943749475, 0.9510565162951535, 0.5877852522924731)
)
"""Of a fifth of a turn, and of two."""


def radices(points: int) -> list[int]:
    """The passes of a complex transform. Raises ValueError for a number that has another prime factor than 2 and 5."""
    found, left = [], points
    for radix in RADICES:
        while left > 1 and left % radix == 0:
            found.append(radix)
            left //= radix
    if left != 1:
        raise ValueError(f"{points} points have a factor {left}; only factors 2 and 5 are known")
    return found


def roots_of(points: int) -> Array:
    """float32[points, 2]: cosine and minus sine of k / points of a turn; what is 0 or 1 is exactly that."""
    angles = np.arange(points) * (2 * np.pi / points)
    table = np.stack([np.cos(angles), -np.sin(angles)], 1)
    table[np.abs(table) < 1e-9] = 0
    rounded: Array = table.astype(F32)
    return rounded


def powers(frames: Array, roots: Array) -> Array:
    """4 |X[k]|^2, k = 0 ... L / 2, of each row of frames[rows, L] -> [rows, L / 2 + 1]. L is even.

    Even samples are the real part and odd ones the imaginary part of half as many points Z; then
    2 X[k] = (Z[k] + Z*[-k]) - i w^k (Z[k] - Z*[-k]).
    """
    half = frames.shape[1] // 2
    re, im = _transform(frames[:, ::2], frames[:, 1::2], roots)
    k = np.arange(half + 1)
    here, there = k % half, -k % half
    a_re, a_im = re[:, here] + re[:, there], im[:, here] - im[:, there]
    b_re, b_im = re[:, here] - re[:, there], im[:, here] + im[:, there]
    w_re, w_im = _kth(roots, k)
    t_re, t_im = b_re * w_re - b_im * w_im, b_re * w_im + b_im * w_re
    x_re, x_im = a_re + t_im, a_im - t_re
    total: Array = x_re * x_re + x_im * x_im
    return total


def _kth(roots: Array, k: NDArray[np.int64]) -> tuple[Array, Array]:
    return roots[k, 0], roots[k, 1]


def _transform(re: Array, im: Array, roots: Array) -> tuple[Array, Array]:
    """The complex transform of each row, by Stockham's passes: element q + s (p + m k) of the input, k below the radix,
    goes to q + s (r p + j); results but the first are multiplied by w^(j p s)."""
    rows, points = re.shape
    step = len(roots) // points
    length, stride = points, 1
    for radix in radices(points):
        m = length // radix
        inputs = [
            (re.reshape(rows, radix, m, stride)[:, k], im.reshape(rows, radix, m, stride)[:, k])
            for k in range(radix)
        ]
        outputs = _BUTTERFLIES[radix](inputs)
        p = np.arange(m)
        for j in range(1, radix):
            w_re, w_im = (part[:, None] for part in _kth(roots, step * stride * p * j))
            x_re, x_im = outputs[j]
            outputs[j] = x_re * w_re - x_im * w_im, x_re * w_im + x_im * w_re
        re, im = (np.stack([part[i] for part in outputs], 2).reshape(rows, points) for i in (0, 1))
        length, stride = m, stride * radix
    return re, im


Complex = tuple[Array, Array]


def _plus(a: Complex, b: Complex) -> Complex:
    return a[0] + b[0], a[1] + b[1]


def _minus(a: Complex, b: Complex) -> Complex:
    return a[0] - b[0], a[1] - b[1]


def _two(x: list[Complex]) -> list[Complex]:
    return [_plus(*x), _minus(*x)]


def _four(x: list[Complex]) -> list[Complex]:
    even, odd = _plus(x[0], x[2]), _plus(x[1], x[3])
    across, along = _minus(x[0], x[2]), _minus(x[1], x[3])
    return [
        _plus(even, odd),
        (across[0] + along[1], across[1] - along[0]),
        _minus(even, odd),
        (across[0] - along[1], across[1] + along[0]),
    ]


def _five(x: list[Complex]) -> list[Complex]:
    outer, inner = _plus(x[1], x[4]), _plus(x[2], x[3])
    outside, inside = _minus(x[1], x[4]), _minus(x[2], x[3])
    first, second, turned_1, turned_2 = [], [], [], []
    for i in (0, 1):
        first.append((x[0][i] + COS_1 * outer[i]) + COS_2 * inner[i])
        second.append((x[0][i] + COS_2 * outer[i]) + COS_1 * inner[i])
        turned_1.append(SIN_1 * outside[i] + SIN_2 * inside[i])
        turned_2.append(SIN_2 * outside[i] - SIN_1 * inside[i])
    return [
        _plus(_plus(x[0], outer), inner),
        (first[0] + turned_1[1], first[1] - turned_1[0]),
        (second[0] + turned_2[1], second[1] - turned_2[0]),
        (second[0] - turned_2[1], second[1] + turned_2[0]),
        (first[0] - turned_1[1], first[1] + turned_1[0]),
    ]


_BUTTERFLIES = {2: _two, 4: _four, 5: _five}

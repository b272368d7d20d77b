"""On Helium the products with unpacked weights are what this computer's plain kernels give, bit for bit."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.kernels.call import Guarded, assert_same_bits, call, int8, normal
from tests.kernels.device.simulated import Simulated
from tests.kernels.test_linear import residual

Make = Callable[[np.random.Generator, int, int, int], tuple[list[Any], Guarded, list[Any]]]
"""(generator, rows, k, n) -> what comes before the output, the output, and what comes after it."""


def _requantization(rng: np.random.Generator, n: int) -> list[Any]:
    """bias, multiplier and shift, now and then the ends of what is let through."""
    if rng.random() < 0.5:
        bias = rng.choice(np.array([-(2**31), -1, 0, 1, 2**31 - 1]), n).astype(np.int32)
        multiplier = rng.choice(np.array([0, 1, 2**30, 2**31 - 1]), n).astype(np.int32)
        return [bias, multiplier, rng.integers(-31, 32, n).astype(np.int32)]
    bias = rng.integers(-5000, 5000, n).astype(np.int32)
    multiplier = rng.integers(2**30, 2**31, n).astype(np.int32)
    return [bias, multiplier, rng.integers(-14, 3, n).astype(np.int32)]


def _unaligned(values: Any) -> Guarded:
    return Guarded(values.shape, values.dtype, values)


def _limits(rng: np.random.Generator) -> list[int]:
    low, high = sorted(rng.integers(-128, 128, 2).tolist())
    return [int(rng.integers(-128, 128)), low, high]


def _dynamic(rng: np.random.Generator, rows: int, k: int, n: int) -> Any:
    x, weight = _unaligned(int8(rng, rows, k)), _unaligned(int8(rng, n, k))
    bias = normal(rng, n) if n % 2 else None
    arguments = [x, normal(rng, rows), weight, normal(rng, n), bias]
    return arguments, Guarded((rows, n), np.float32), [rows, k, n]


def _static(rng: np.random.Generator, rows: int, k: int, n: int) -> Any:
    x, weight = _unaligned(int8(rng, rows, k)), _unaligned(int8(rng, n, k))
    offset = rng.integers(-(2**31), 2**31, n).astype(np.int32)
    bias = normal(rng, n) if n % 2 else None
    return [x, weight, offset, normal(rng, n), bias], Guarded((rows, n), np.float32), [rows, k, n]


def _channels(rng: np.random.Generator, rows: int, k: int, n: int) -> Any:
    x, weight = _unaligned(int8(rng, rows, k)), _unaligned(int8(rng, n, k))
    return (
        [x, weight, *_requantization(rng, n)],
        Guarded((rows, n), np.int8),
        [rows, k, n, *_limits(rng)],
    )


def _added(rng: np.random.Generator, rows: int, k: int, n: int) -> Any:
    x, weight = _unaligned(int8(rng, rows, k)), _unaligned(int8(rng, n, k))
    before = [residual(rng, rows, n), x, weight, *_requantization(rng, n)]
    return before, Guarded((rows, n), np.int16), [rows, k, n]


def _tensor(rng: np.random.Generator, rows: int, k: int, n: int) -> Any:
    x, weight = _unaligned(int8(rng, rows, k)), _unaligned(int8(rng, n, k))
    bias, multiplier, shift = _requantization(rng, n)
    after = [rows, k, n, np.array([multiplier[0], shift[0], *_limits(rng)], np.int32)]
    return [x, weight, bias if n % 3 else None], Guarded((rows, n), np.int8), after


def _batch(rng: np.random.Generator, rows: int, k: int, n: int) -> Any:
    a, b = _unaligned(int8(rng, 2, rows, k)), _unaligned(int8(rng, 2, n, k))
    offsets = rng.integers(-127, 129, 2).tolist()
    _, multiplier, shift = _requantization(rng, 1)
    factors = [int(rng.integers(-128, 128)), int(multiplier[0]), int(shift[0])]
    return [a, b], Guarded((2, rows, n), np.int8), [np.array([2, rows, k, n, *offsets, *factors], np.int32)]


def _to_the_right(rng: np.random.Generator, n: int) -> list[Any]:
    """bias, multiplier and shift, of which the last is one to the right."""
    bias, multiplier, shift = _requantization(rng, n)
    return [bias, multiplier, -1 - np.abs(shift) % 31]


def _several(rng: np.random.Generator, rows: int, k: int, n: int) -> Any:
    x, weight = _unaligned(int8(rng, rows, k)), _unaligned(int8(rng, n, k))
    bias, multiplier, shift = _to_the_right(rng, n)
    step = n % 2
    if step == 0:
        multiplier, shift = np.repeat(multiplier[:1], 4), np.repeat(shift[:1], 4)
    numbers = np.array([rows, k, n, step, *_limits(rng)], np.int32)
    blocks = -(-k // 16)
    scratch = Guarded(64 * blocks * max(1, min(8, 16 // blocks)), np.uint8, aligned=True)
    return [x, weight, bias, multiplier, shift], Guarded((rows, n), np.int8), [numbers, scratch]


def _batch_rows(rng: np.random.Generator, rows: int, k: int, n: int) -> Any:
    before, out, (matmul,) = _batch(rng, rows, k, n)
    matmul[-1] = -1 - abs(int(matmul[-1])) % 31
    return before, out, [matmul, Guarded(64 * -(-k // 16) + 4 * n, np.uint8, aligned=True)]


KERNELS: dict[str, Make] = {
    "linear_s8": _dynamic,
    "linear_s8_static": _static,
    "linear_s8_requantize": _channels,
    "linear_s8_add_s16": _added,
    "linear_s8_per_tensor": _tensor,
    "batch_matmul_s8": _batch,
    "linear_rows_s8": _several,
    "batch_matmul_rows_s8": _batch_rows,
}
SHAPES = [(1, 1, 1), (2, 15, 7), (1, 16, 4), (3, 17, 9), (2, 64, 16), (1, 100, 12), (5, 48, 5)]
RANDOM_SHAPES = 25


@pytest.mark.parametrize("name", KERNELS)
def test_like_the_host(simulated: Simulated, kernel_library: ctypes.CDLL, name: str) -> None:
    rng = np.random.default_rng(11)
    drawn = [tuple(rng.integers(1, limit, 1).item() for limit in (5, 90, 24)) for _ in range(RANDOM_SHAPES)]
    outputs = []
    for rows, k, n in [*SHAPES, *drawn]:
        before, out, after = KERNELS[name](rng, rows, k, n)
        expected = Guarded(out.array.shape, out.array.dtype)
        call(kernel_library, name, *before, expected, *after)
        simulated.call(name, *before, out, *after)
        outputs.append((out, expected))
    simulated.run()
    for out, expected in outputs:
        assert_same_bits(out.array, expected.array)


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("linear_s8", 7.0),
        ("linear_s8_per_tensor", 7.6),
        ("batch_matmul_s8", 10.9),
        ("linear_rows_s8", 3.0),
        ("batch_matmul_rows_s8", 4.6),
    ],
)
def test_instructions(simulated: Simulated, name: str, limit: float) -> None:
    """16 rows times 64 x 64, instructions for 16 products: what was measured (6.8, 7.4, 10.6, 2.9, 4.5), and 3 % more."""
    rng = np.random.default_rng(12)
    rows, k, n = 16, 64, 64
    before, out, after = KERNELS[name](rng, rows, k, n)
    done = simulated.call(name, *before, out, *after)
    simulated.run()
    products = (2 if "batch" in name else 1) * rows * k * n
    assert done.instructions * 16 / products <= limit

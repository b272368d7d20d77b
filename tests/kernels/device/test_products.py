"""On Helium the products with packed weights are their references, bit for bit, and near the machine's limit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from torch import from_numpy

from mcu_sdk.operators.reference import linear, packed
from tests.kernels.call import Guarded, assert_same_bits, int8, normal
from tests.kernels.device.simulated import Simulated
from tests.kernels.test_linear import requantization, residual

SHAPES = [(1, 1, 1), (2, 15, 7), (1, 16, 8), (1, 17, 9), (3, 33, 16), (1, 48, 8), (2, 49, 12), (1, 60, 20)]
SHAPES += [
    (1, 64, 64),
    (2, 64, 5),
    (1, 65, 8),
    (1, 127, 24),
    (1, 128, 8),
    (1, 129, 8),
    (1, 144, 8),
    (3, 145, 11),
]
SHAPES += [
    (1, 80, 8),
    (1, 81, 8),
    (1, 172, 64),
    (1, 230, 8),
    (1, 256, 8),
    (1, 257, 8),
    (1, 688, 24),
    (2, 256, 40),
    (1, 1000, 10),
]
SHAPES += [
    (2, 1, 4),
    (4, 16, 9),
    (5, 17, 8),
    (16, 128, 24),
    (17, 129, 12),
    (18, 130, 7),
    (32, 24, 12),
    (33, 40, 20),
    (35, 18, 9),
    (6, 272, 36),
]
"""(rows, k, n): numbers of blocks around what stays in registers and what a round has, with and without a rest of columns and rows."""
RANDOM_SHAPES = 40


def _shapes(rng: np.random.Generator) -> list[tuple[int, int, int]]:
    return SHAPES + [
        (int(rng.integers(1, 8)), int(rng.integers(1, 300)), int(rng.integers(1, 40)))
        for _ in range(RANDOM_SHAPES)
    ]


def _t(array: Any) -> Any:
    return None if array is None else from_numpy(array)


def _padded(array: Any) -> Any:
    return None if array is None else packed.pad_channels(from_numpy(array)).numpy()


def _packed(weight: Any) -> Any:
    return Guarded(packed.pack(_t(weight)).shape, np.int8, packed.pack(_t(weight)).numpy(), aligned=True)


def _unaligned(values: Any) -> Guarded:
    """Inputs need no more alignment than their type."""
    return Guarded(values.shape, values.dtype, values)


@pytest.mark.parametrize("with_bias", [False, True])
def test_linear_s8(simulated: Simulated, with_bias: bool) -> None:
    rng = np.random.default_rng(3)
    results = []
    for number, (rows, k, n) in enumerate(_shapes(rng)):
        x, x_scale, weight, scale = int8(rng, rows, k), normal(rng, rows), int8(rng, n, k), normal(rng, n)
        if number % 5 == 0:
            x[:], weight[:] = -128, -128  # the largest sums
        bias = normal(rng, n) if with_bias else None
        out = Guarded((rows, n), np.float32)
        arguments = (_unaligned(x), x_scale, _packed(weight), _padded(scale), _padded(bias))
        expected = linear.linear_s8(_t(x), _t(x_scale), _t(weight), _t(scale), _t(bias))
        simulated.call("linear_s8_packed", *arguments, out, rows, k, n)
        results.append((out, expected))
        if rows == 1:
            again = Guarded((rows, n), np.float32)
            simulated.call("linear_s8_packed_row", *arguments, again, k, n)
            results.append((again, expected))
    simulated.run()
    for out, expected in results:
        assert_same_bits(out.array, expected.numpy())


@pytest.mark.parametrize("with_bias", [False, True])
def test_linear_s8_static(simulated: Simulated, with_bias: bool) -> None:
    rng = np.random.default_rng(4)
    results = []
    for number, (rows, k, n) in enumerate(_shapes(rng)):
        x, weight, scale = int8(rng, rows, k), int8(rng, n, k), normal(rng, n)
        span = 2**31 if number % 2 else 9999
        offset = rng.integers(-span, span, n).astype(np.int32)
        bias = normal(rng, n) if with_bias else None
        out = Guarded((rows, n), np.float32)
        arguments = (_unaligned(x), _packed(weight), *map(_padded, (offset, scale, bias)))
        expected = linear.linear_s8_static(_t(x), _t(weight), _t(offset), _t(scale), _t(bias))
        simulated.call("linear_s8_static_packed", *arguments, out, rows, k, n)
        results.append((out, expected))
        if rows == 1:
            again = Guarded((rows, n), np.float32)
            simulated.call("linear_s8_static_packed_row", *arguments, again, k, n)
            results.append((again, expected))
    simulated.run()
    for out, expected in results:
        assert_same_bits(out.array, expected.numpy())


@pytest.mark.parametrize("extreme", [False, True])
def test_linear_s8_requantize(simulated: Simulated, extreme: bool) -> None:
    rng = np.random.default_rng(5)
    results = []
    for number, (rows, k, n) in enumerate(_shapes(rng)):
        x, weight = int8(rng, rows, k), int8(rng, n, k)
        constants = requantization(rng, n, extreme=extreme, largest_shift=-(number % 3 > 0))
        zero_point = int(rng.integers(-128, 128))
        low, high = sorted(rng.integers(-128, 128, 2).tolist()) if number % 3 else (-128, 127)
        out = Guarded((rows, n), np.int8)
        interleaved = packed.interleave(*map(_t, constants)).numpy()
        arguments, sizes = (_unaligned(x), _packed(weight), interleaved), (k, n, zero_point, low, high)
        expected = linear.linear_s8_requantize(_t(x), _t(weight), *map(_t, constants), zero_point, low, high)
        simulated.call("linear_s8_requantize_packed", *arguments, out, rows, *sizes)
        results.append((out, expected))
        if rows == 1:
            again = Guarded((rows, n), np.int8)
            simulated.call("linear_s8_requantize_packed_row", *arguments, again, *sizes)
            results.append((again, expected))
    simulated.run()
    for out, expected in results:
        assert_same_bits(out.array, expected.numpy())


@pytest.mark.parametrize("extreme", [False, True])
def test_linear_s8_add_s16(simulated: Simulated, extreme: bool) -> None:
    rng = np.random.default_rng(12)
    results = []
    for number, (rows, k, n) in enumerate(_shapes(rng)):
        x, weight, added = int8(rng, rows, k), int8(rng, n, k), residual(rng, rows, n)
        numbers = requantization(rng, n, extreme=extreme, largest_shift=-(number % 3 > 0))
        constants = [_t(values) for values in numbers]
        out = Guarded((rows, n), np.int16, added if number % 2 else None)
        interleaved = packed.interleave(*constants).numpy()
        arguments = (_unaligned(x), _packed(weight), interleaved, out, rows, k, n)
        simulated.call("linear_s8_add_s16_packed", out if number % 2 else added, *arguments)
        results.append((out, linear.linear_s8_add_s16(_t(added), _t(x), _t(weight), *constants)))
    simulated.run()
    for out, expected in results:
        assert_same_bits(out.array, expected.numpy())


@pytest.mark.parametrize("layout", ["rows", "packed"])
def test_embedding_s8(simulated: Simulated, layout: str) -> None:
    rng = np.random.default_rng(6)
    results = []
    for n in (1, 3, 4, 15, 16, 17, 31, 64, 100):
        vocabulary, count = int(rng.integers(1, 30)), 5
        weight, scale = int8(rng, vocabulary, n), normal(rng, vocabulary)
        ids = rng.choice(np.array([0, vocabulary - 1, vocabulary, -1, 2**32]), count).astype(np.int64)
        out = Guarded((count, n), np.float32)
        if layout == "packed":
            arguments = (_packed(weight), _padded(scale), ids, out, count, -(-vocabulary // 8) * 8, n)
            simulated.call("embedding_s8_packed", *arguments)
        else:
            simulated.call("embedding_s8", _unaligned(weight), scale, ids, out, count, vocabulary, n)
        results.append((out, linear.embedding_s8(_t(weight), _t(scale), _t(ids))))
    simulated.run()
    for out, expected in results:
        assert_same_bits(out.array, expected.numpy())


LIMITS = [
    # What is called, k, n and the most instructions for 16 multiplications; 2 would be a load and a multiplication.
    ("linear_s8_packed", 64, 64, 2.88),
    ("linear_s8_packed", 64, 512, 2.65),
    ("linear_s8_packed", 256, 256, 2.32),
    ("linear_s8_packed", 256, 688, 2.31),
    ("linear_s8_packed", 688, 256, 2.23),
    ("linear_s8_static_packed", 256, 256, 2.38),
    ("linear_s8_requantize_packed", 512, 2048, 2.29),
    ("linear_s8_requantize_packed", 2048, 512, 2.19),
]


def _instructions(simulated: Simulated, name: str, rows: int, k: int, n: int) -> int:
    """Of one call, with a bias where there can be one."""
    x, floats, integers = (
        np.zeros((rows, k), np.int8),
        np.zeros(max(n, rows), np.float32),
        np.zeros((n // 8, 3, 8), np.int32),
    )
    weight = _packed(np.zeros((n, k), np.int8))
    out = Guarded((rows, n), np.int8 if "requantize" in name else np.float32)
    bias = floats if rows > 1 else None
    arguments = {
        "linear_s8_packed": (x, floats, weight, floats, bias, out, rows, k, n),
        "linear_s8_static_packed": (x, weight, integers, floats, bias, out, rows, k, n),
        "linear_s8_requantize_packed": (x, weight, integers, out, rows, k, n, 0, -128, 127),
    }[name]
    done = simulated.call(name, *arguments)
    simulated.run()
    return done.instructions


@pytest.mark.parametrize(("name", "k", "n", "limit"), LIMITS)
def test_instructions(simulated: Simulated, name: str, k: int, n: int, limit: float) -> None:
    """One row. The limits are what was measured, and 1 % more; products of 256 x 256 and larger stay below 2.4."""
    assert _instructions(simulated, name, 1, k, n) * 16 / (k * n) <= limit


@pytest.mark.parametrize(
    "name", ["linear_s8_packed", "linear_s8_static_packed", "linear_s8_requantize_packed"]
)
@pytest.mark.parametrize(("k", "n", "least"), [(128, 128, 7.2), (512, 128, 8.3), (512, 512, 8.3)])
def test_instructions_of_several_rows(simulated: Simulated, name: str, k: int, n: int, least: float) -> None:
    """Products an instruction for 16 rows; two rows by four channels are at most 9.1 (pairs_s8_helium.S)."""
    assert 16 * k * n / _instructions(simulated, name, 16, k, n) >= least

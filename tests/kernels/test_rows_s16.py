"""Norms that read and give int16, and a stream of floats that int16 is added to: the kernels are their references."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from torch import from_numpy
from torch.nn.functional import layer_norm

from mcu_sdk.operators.reference.rows_s16 import add_s16, layer_norm_s16
from tests.kernels.call import Guarded, assert_same_bits, call, normal


def halfwords(rng: np.random.Generator, *shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int16]]:
    return rng.integers(-(2**15), 2**15, shape).astype(np.int16)


@pytest.mark.parametrize("n", [1, 3, 4, 15, 16, 33, 40])
@pytest.mark.parametrize(
    ("second", "onto"), [(False, None), (False, "x"), (True, None), (True, "x"), (True, "y")]
)
def test_layer_norm(kernel_library: ctypes.CDLL, n: int, second: bool, onto: str | None) -> None:
    rng = np.random.default_rng(n)
    x, y = halfwords(rng, 3, n), halfwords(rng, 3, n) if second else None
    weight, bias = normal(rng, n, spread=12_000), normal(rng, n, spread=3000)  # some saturate
    tensors = [None if value is None else from_numpy(value) for value in (x, y, weight, bias)]
    expected = layer_norm_s16(*tensors, 0.37, 2e-3).numpy()
    out = Guarded((3, n), np.int16, {"x": x, "y": y, None: None}[onto])
    row = Guarded(4 * n, np.uint8, 0x7F, aligned=True)
    given = [out if onto == "x" else x, out if onto == "y" else y]
    call(kernel_library, "layer_norm_s16", *given, weight, bias, out, row, 3, n, 0.37, 2e-3)
    assert_same_bits(out.array, expected)


@pytest.mark.parametrize("n", [1, 4, 15, 33])
def test_layer_norm_of_floats(kernel_library: ctypes.CDLL, n: int) -> None:
    rng = np.random.default_rng(n)
    x, weight, bias = normal(rng, 3, n, spread=5), normal(rng, n, spread=12_000), normal(rng, n, spread=3000)
    expected = layer_norm_s16(
        *map(from_numpy, (x,)), None, *map(from_numpy, (weight, bias)), 0.0, 1e-5
    ).numpy()
    out = Guarded((3, n), np.int16)
    call(kernel_library, "layer_norm_to_s16", x, weight, bias, out, 3, n, 1e-5)
    assert_same_bits(out.array, expected)


def test_layer_norm_is_a_norm_of_the_sum() -> None:
    """Within half a step, and what float32 makes of a step's thousandth."""
    rng = np.random.default_rng(2)
    x, y = halfwords(rng, 4, 24), halfwords(rng, 4, 24)
    weight, bias = normal(rng, 24), normal(rng, 24)
    scales, unit, eps = (0.002, 0.0007), 2.0**-13, 1e-5
    real = from_numpy(x).double() * scales[0] + from_numpy(y).double() * scales[1]
    wanted = layer_norm(real, (24,), from_numpy(weight).double(), from_numpy(bias).double(), eps) / unit
    constants = from_numpy(weight) / unit, from_numpy(bias) / unit
    found = layer_norm_s16(
        from_numpy(x), from_numpy(y), *constants, scales[1] / scales[0], eps / scales[0] ** 2
    )
    assert float((found.double() - wanted.clamp(-(2**15), 2**15 - 1)).abs().max()) < 0.51


@pytest.mark.parametrize("n", [1, 4, 16, 37])
@pytest.mark.parametrize("in_place", [False, True])
def test_add(kernel_library: ctypes.CDLL, n: int, in_place: bool) -> None:
    rng = np.random.default_rng(n)
    x, y = normal(rng, n, spread=9), halfwords(rng, n)
    expected = add_s16(from_numpy(x), from_numpy(y), float(np.float32(0.0003))).numpy()
    out = Guarded(n, np.float32, x if in_place else None)
    call(kernel_library, "add_s16", out if in_place else x, y, out, n, float(np.float32(0.0003)))
    assert_same_bits(out.array, expected)

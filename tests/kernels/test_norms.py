"""mcu_rms_norm and mcu_layer_norm are their references."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import from_numpy

from mcu_sdk.operators.reference import norms
from tests.kernels.call import EXTREMES, Guarded, assert_same_bits, call, normal

SEEDS = st.integers(0, 2**32 - 1)
EPS = st.sampled_from([1e-5, 1e-6, 1e-12, 0.0])


def _rms_norm(library: ctypes.CDLL, x: Any, weight: Any, eps: float, in_place: bool = False) -> Any:
    rows, n = x.shape
    out = Guarded((rows, n), np.float32, x if in_place else None)
    call(library, "rms_norm", out if in_place else x, weight, out, rows, n, eps)
    return out.array


def _layer_norm(
    library: ctypes.CDLL, x: Any, weight: Any, bias: Any, eps: float, in_place: bool = False
) -> Any:
    rows, n = x.shape
    out = Guarded((rows, n), np.float32, x if in_place else None)
    call(library, "layer_norm", out if in_place else x, weight, bias, out, rows, n, eps)
    return out.array


@settings(max_examples=80, deadline=None)
@given(
    rows=st.integers(0, 4),
    n=st.integers(1, 70),
    seed=SEEDS,
    eps=EPS,
    exponent=st.integers(-8, 8),
    in_place=st.booleans(),
)
def test_norms(
    kernel_library: ctypes.CDLL, rows: int, n: int, seed: int, eps: float, exponent: int, in_place: bool
) -> None:
    rng = np.random.default_rng(seed)
    x, weight, bias = normal(rng, rows, n, spread=10.0**exponent), normal(rng, n), normal(rng, n)
    with np.errstate(all="ignore"):
        rms = norms.rms_norm(from_numpy(x), from_numpy(weight), eps).numpy()
        layer = norms.layer_norm(from_numpy(x), from_numpy(weight), from_numpy(bias), eps).numpy()
    assert_same_bits(_rms_norm(kernel_library, x, weight, eps, in_place), rms)
    assert_same_bits(_layer_norm(kernel_library, x, weight, bias, eps, in_place), layer)


@pytest.mark.parametrize("eps", [1e-5, 0.0])
def test_norms_of_extremes(kernel_library: ctypes.CDLL, eps: float) -> None:
    n = 23
    special = np.array([np.nan, np.inf, -np.inf, 0, 1, 2], np.float32)
    x = np.array(
        [np.zeros(n), np.full(n, 3e38), np.full(n, 1.25), np.concatenate([EXTREMES, special])], np.float32
    )
    ones, weight = np.ones(n, np.float32), normal(np.random.default_rng(0), n)
    with np.errstate(all="ignore"):
        rms = norms.rms_norm(from_numpy(x), from_numpy(weight), eps).numpy()
        layer = norms.layer_norm(from_numpy(x), from_numpy(weight), from_numpy(ones), eps).numpy()
    assert_same_bits(_rms_norm(kernel_library, x, weight, eps), rms)
    assert_same_bits(_layer_norm(kernel_library, x, weight, ones, eps), layer)


def test_close_to_the_exact_formula(kernel_library: ctypes.CDLL) -> None:
    """Against float64. A row has about n / 4 additions in each lane, each off by half an ulp at most."""
    rng = np.random.default_rng(5)
    n = 256
    x, weight, bias = (rng.standard_normal(s).astype(np.float32) for s in ((3, n), n, n))
    wide = x.astype(np.float64)
    rms = wide / np.sqrt((wide**2).mean(-1, keepdims=True) + 1e-5) * weight
    layer = (wide - wide.mean(-1, keepdims=True)) / np.sqrt(
        wide.var(-1, keepdims=True) + 1e-5
    ) * weight + bias
    tolerance = n / 4 * 2.0**-24
    np.testing.assert_allclose(
        _rms_norm(kernel_library, x, weight, 1e-5), rms, rtol=tolerance, atol=tolerance
    )
    np.testing.assert_allclose(
        _layer_norm(kernel_library, x, weight, bias, 1e-5), layer, rtol=tolerance, atol=tolerance
    )

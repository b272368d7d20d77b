"""mcu_silu, mcu_gelu_*, mcu_gated_silu and mcu_gated_gelu_* are their references."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import from_numpy

from mcu_sdk.operators.reference import activations
from tests.kernels.call import EXTREMES, Guarded, assert_same_bits, call, normal

PLAIN = {
    "silu": activations.silu,
    "gelu_tanh": lambda x: activations.gelu(x, True),
    "gelu_erf": lambda x: activations.gelu(x, False),
}
GATED = {
    "gated_silu": activations.gated_silu,
    "gated_gelu_tanh": lambda gate, up: activations.gated_gelu(gate, up, True),
    "gated_gelu_erf": lambda gate, up: activations.gated_gelu(gate, up, False),
}
SPECIAL = np.concatenate(
    [EXTREMES, np.array([np.nan, np.inf, -np.inf, 86, -86, 88, -88, 89, -89], np.float32)]
)


def _inputs(n: int, seed: int, spread: float) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    x = np.concatenate([normal(rng, n, spread=spread), SPECIAL])
    return x, normal(rng, len(x), spread=spread)


@pytest.mark.parametrize("name", PLAIN)
@settings(max_examples=40, deadline=None)
@given(n=st.integers(0, 300), seed=st.integers(0, 2**32 - 1), spread=st.sampled_from([0.01, 1, 5, 40, 1e4]))
def test_plain(kernel_library: ctypes.CDLL, name: str, n: int, seed: int, spread: float) -> None:
    x, _ = _inputs(n, seed, spread)
    with np.errstate(all="ignore"):
        expected = PLAIN[name](from_numpy(x)).numpy()
    out, in_place = Guarded(len(x), np.float32), Guarded(len(x), np.float32, x)
    call(kernel_library, name, x, out, len(x))
    call(kernel_library, name, in_place, in_place, len(x))
    assert_same_bits(out.array, expected)
    assert_same_bits(in_place.array, expected)


@pytest.mark.parametrize("name", GATED)
@settings(max_examples=40, deadline=None)
@given(n=st.integers(0, 300), seed=st.integers(0, 2**32 - 1), spread=st.sampled_from([0.01, 1, 5, 40, 1e4]))
def test_gated(kernel_library: ctypes.CDLL, name: str, n: int, seed: int, spread: float) -> None:
    gate, up = _inputs(n, seed, spread)
    with np.errstate(all="ignore"):
        expected = GATED[name](from_numpy(gate), from_numpy(up)).numpy()
    out = Guarded(len(gate), np.float32)
    over_gate, over_up = Guarded(len(gate), np.float32, gate), Guarded(len(gate), np.float32, up)
    call(kernel_library, name, gate, up, out, len(gate))
    call(kernel_library, name, over_gate, up, over_gate, len(gate))
    call(kernel_library, name, gate, over_up, over_up, len(gate))
    for result in (out, over_gate, over_up):
        assert_same_bits(result.array, expected)


@pytest.mark.parametrize("name", PLAIN)
def test_close_to_torch(kernel_library: ctypes.CDLL, name: str) -> None:
    """Against torch in float64: erf's own error is 6e-7 at most, exp's 2.5e-7 relative; the inputs reach to 8."""
    import torch

    x = np.linspace(-8, 8, 4001, dtype=np.float32)
    wide = torch.from_numpy(x).double()
    expected = {
        "silu": torch.nn.functional.silu,
        "gelu_tanh": lambda v: torch.nn.functional.gelu(v, approximate="tanh"),
        "gelu_erf": torch.nn.functional.gelu,
    }[name](wide).numpy()
    out = Guarded(len(x), np.float32)
    call(kernel_library, name, x, out, len(x))
    np.testing.assert_allclose(out.array, expected, rtol=1e-6, atol=8 * 6e-7)

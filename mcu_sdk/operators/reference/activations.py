"""mcu::silu, mcu::gelu, mcu::gated_silu, mcu::gated_gelu: float32 in, float32 out, any shape."""

from __future__ import annotations

from typing import Any

import torch

from mcu_sdk.operators.reference.define import define, to_numpy, to_torch
from mcu_sdk.operators.reference.exact_math import (
    F32,
    SQRT_HALF,
    erf,
    gelu_tanh_denominator,
    sigmoid_denominator,
)


def _like_first(x: torch.Tensor, *_: Any) -> torch.Tensor:
    return torch.empty_like(x)


@define("silu", _like_first)
def silu(x: torch.Tensor) -> torch.Tensor:
    """x / (1 + e^-x)."""
    values = to_numpy(x)
    return to_torch(values / sigmoid_denominator(values))


@define("gated_silu", _like_first)
def gated_silu(gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    """(gate * up) / (1 + e^-gate)."""
    values = to_numpy(gate)
    return to_torch((values * to_numpy(up)) / sigmoid_denominator(values))


def _gelu(values: Any, factor: Any, tanh: bool) -> Any:
    """GELU of `values` times `factor` (None: times 1)."""
    if tanh:
        numerator = values if factor is None else values * factor
        return numerator / gelu_tanh_denominator(values)
    gelu_value = (F32(0.5) * values) * (F32(1) + erf(values * SQRT_HALF))
    return gelu_value if factor is None else gelu_value * factor


@define("gelu", _like_first)
def gelu(x: torch.Tensor, tanh: bool) -> torch.Tensor:
    """tanh: x / (1 + e^(-2u)), u = sqrt(2/pi) (x + 0.044715 x^3); else (0.5 x) (1 + erf(x / sqrt 2))."""
    return to_torch(_gelu(to_numpy(x), None, tanh))


@define("gated_gelu", _like_first)
def gated_gelu(gate: torch.Tensor, up: torch.Tensor, tanh: bool) -> torch.Tensor:
    """GELU(gate) * up; with tanh (gate * up) / (1 + e^(-2u))."""
    return to_torch(_gelu(to_numpy(gate), to_numpy(up), tanh))

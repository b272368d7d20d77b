"""Between a stream in int16 and other types: mcu::layer_norm_s16, mcu::add_s16, mcu::requantize_s16."""

from __future__ import annotations

import numpy as np
import torch

from mcu_sdk.operators.reference.define import define, to_numpy, to_torch
from mcu_sdk.operators.reference.exact_math import F32, fma
from mcu_sdk.operators.reference.linear import requantize
from mcu_sdk.operators.reference.rows_s8 import normalized


@define("layer_norm_s16", lambda x, *rest: torch.empty_like(x, dtype=torch.int16))
def layer_norm_s16(
    x: torch.Tensor,
    y: torch.Tensor | None,
    weight: torch.Tensor,
    bias: torch.Tensor,
    y_ratio: float,
    eps: float,
) -> torch.Tensor:
    """The rows of t = x, or of fma(y, y_ratio, x), normalized: clamp(rint(fma(d * r, weight, bias))) to int16, d = t - mean,
    r = 1 / sqrt(lane_sum(d^2) / n + eps), mean = lane_sum(t) / n.

    x int16 or float32[..., n], y int16[..., n] beside x int16; weight, bias float32[n], divided by the result's scale -> int16
    [..., n]. y_ratio is y's scale over x's; eps is divided by the square of x's.
    """
    return normalized(x, y, weight, bias, y_ratio, eps, np.iinfo(np.int16))


@define("add_s16", lambda self, *rest: torch.empty_like(self))
def add_s16(self: torch.Tensor, y: torch.Tensor, scale: float) -> torch.Tensor:
    """fma(float(y), scale, x): self float32[...], y int16 of the same shape -> like self."""
    return to_torch(fma(to_numpy(y).astype(F32), F32(scale), to_numpy(self)))


@define("requantize_s16", lambda x, *rest: torch.empty_like(x, dtype=torch.int8))
def requantize_s16(x: torch.Tensor, multiplier: int, shift: int, zero_point: int) -> torch.Tensor:
    """clamp(requantize(x, multiplier, shift) + zero_point) to int8: x int16[...] -> int8[...]; -31 <= shift <= 0, and
    multiplier / 2^31 * 2^shift is x's scale over the result's."""
    factors = np.int64(multiplier), np.int64(shift)
    value = requantize(to_numpy(x).astype(np.int32), *factors) + np.int32(zero_point)
    return to_torch(np.clip(value, -128, 127).astype(np.int8))

"""mcu::rope, mcu::rope_pairs: rotary position embedding by table."""

from __future__ import annotations

import torch

from mcu_sdk.operators.reference.define import define, to_numpy, to_torch
from mcu_sdk.operators.reference.exact_math import fma


@define("rope", lambda x, *rest: torch.empty_like(x))
def rope(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
    """Rotate the pairs (i, i + r/2) of each row by the angles of `position`; what is behind r stays.

    x float32[..., D], one step of all heads; cos and sin float32[S, r/2], r <= D; position int64[1], clamped to the
    table. a' = fma(-b, s, a * c), b' = fma(a, s, b * c). For a chunk of T tokens x is float32[T, ..., D], position
    int64[T].
    """
    half = cos.shape[1]
    return _rotated(x, cos, sin, position, slice(0, half), slice(half, 2 * half))


@define("rope_pairs", lambda x, *rest: torch.empty_like(x))
def rope_pairs(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
    """As rope, of the pairs (2i, 2i + 1)."""
    rotary = 2 * cos.shape[1]
    return _rotated(x, cos, sin, position, slice(0, rotary, 2), slice(1, rotary, 2))


def _rotated(
    x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, position: torch.Tensor, first: slice, second: slice
) -> torch.Tensor:
    """x with the pairs (a, b) that the slices of its rows make rotated."""
    size = x.shape[-1]
    values = to_numpy(x).reshape(position.numel(), -1, size)
    rows = to_numpy(position).reshape(-1).clip(0, cos.shape[0] - 1)
    c, s = to_numpy(cos)[rows, None], to_numpy(sin)[rows, None]  # [T, 1, r/2]
    a, b = values[..., first].copy(), values[..., second].copy()
    out = values.copy()
    out[..., first] = fma(-b, s, a * c)
    out[..., second] = fma(a, s, b * c)
    return to_torch(out.reshape(x.shape))

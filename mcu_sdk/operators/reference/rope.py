"""mcu::rope: rotary position embedding by table."""

from __future__ import annotations

import torch

from mcu_sdk.operators.reference.define import define, to_numpy, to_torch
from mcu_sdk.operators.reference.exact_math import fma


@define("rope", lambda x, *rest: torch.empty_like(x))
def rope(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
    """Rotate the pairs (i, i + r/2) of each row by the angles of `position`; what is behind r stays.

    x float32[..., D], one step of all heads; cos and sin float32[S, r/2], r <= D; position int64[1], clamped to the
    table. a' = fma(-b, s, a * c), b' = fma(a, s, b * c).
    """
    values = to_numpy(x)
    row = min(max(int(position.reshape(-1)[0]), 0), cos.shape[0] - 1)
    c, s = to_numpy(cos)[row], to_numpy(sin)[row]
    half = c.shape[0]
    a, b = values[..., :half].copy(), values[..., half : 2 * half].copy()
    out = values.copy()
    out[..., :half] = fma(-b, s, a * c)
    out[..., half : 2 * half] = fma(a, s, b * c)
    return to_torch(out)

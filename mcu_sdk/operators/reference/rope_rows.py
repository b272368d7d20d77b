"""mcu::rope_rows, mcu::rope_rows_s8: rotary position embedding of a whole sequence, by table."""

from __future__ import annotations

import numpy as np
import torch

from mcu_sdk.operators.reference.define import define, to_numpy, to_torch
from mcu_sdk.operators.reference.exact_math import F32, Array, fma, round_clamped


@define("rope_rows", lambda x, *rest: torch.empty_like(x, memory_format=torch.contiguous_format))
def rope_rows(
    x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, n: int, interleaved: bool
) -> torch.Tensor:
    """Rotate the pairs (i, i + r/2) of each head, or (2 i, 2 i + 1) where `interleaved`, by the row of its position; what is
    behind r stays. x float32[1, L, H * n]; cos and sin float32[L, r/2], r <= n. a' = fma(-b, s, a * c), b' = fma(a, s, b * c).
    """
    return to_torch(_rotated(to_numpy(x), to_numpy(cos), to_numpy(sin), n, interleaved))


@define("rope_rows_s8", lambda self, *rest: torch.empty_like(self))
def rope_rows_s8(
    self: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, n: int, interleaved: bool, ratio: float
) -> torch.Tensor:
    """clamp(rint(rope_rows(x) * ratio)) within -127 and 127: int8[1, L, H * n] -> the same, zero points 0; ratio is
    x's scale over the result's."""
    turned = _rotated(to_numpy(self).astype(F32), to_numpy(cos), to_numpy(sin), n, interleaved)
    return to_torch(round_clamped(turned * F32(ratio), -127, 127).astype(np.int8))


def _rotated(x: Array, cos: Array, sin: Array, n: int, interleaved: bool) -> Array:
    heads = x.reshape(x.shape[1], -1, n)
    half = cos.shape[1]
    first = np.arange(half) * (2 if interleaved else 1)
    second = first + (1 if interleaved else half)
    a, b, c, s = heads[..., first], heads[..., second], cos[:, None], sin[:, None]
    out = heads.copy()
    out[..., first] = fma(-b, s, a * c)
    out[..., second] = fma(a, s, b * c)
    return out.reshape(x.shape)

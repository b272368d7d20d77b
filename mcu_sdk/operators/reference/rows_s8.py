"""int8 from end to end, element by element or row by row: mcu::lookup_s8, mcu::layer_norm_s8, mcu::embedding_s8_add,
mcu::add_channels_s8."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from mcu_sdk.operators.reference.define import define, to_numpy, to_torch
from mcu_sdk.operators.reference.exact_math import F32, fma, lane_sum, lane_sum_of_squares, round_clamped


@define("lookup_s8", lambda self, table: torch.empty_like(self))
def lookup_s8(self: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """table[x + 128], table int8[256]: any function of one int8 value. self int8[...] -> the same shape."""
    return to_torch(to_numpy(table)[to_numpy(self).astype(np.int64) + 128])


def normalized(
    x: torch.Tensor,
    y: torch.Tensor | None,
    weight: torch.Tensor,
    bias: torch.Tensor,
    y_ratio: float,
    eps: float,
    given: np.iinfo[Any],
) -> torch.Tensor:
    """What layer_norm_s8 says below, of any widths, rounded to integers of `given`'s."""
    rows, n = to_numpy(x).astype(F32), F32(x.shape[-1])
    if y is not None:
        rows = fma(to_numpy(y).astype(F32), F32(y_ratio), rows)
    centred = rows - (lane_sum(rows) / n)[..., None]
    root = F32(1) / np.sqrt(lane_sum_of_squares(centred) / n + F32(eps))
    out = round_clamped(
        fma(centred * root[..., None], to_numpy(weight), to_numpy(bias)), given.min, given.max
    )
    return to_torch(out.astype(given.dtype))


@define("layer_norm_s8", lambda x, *rest: torch.empty_like(x, dtype=torch.int8))
def layer_norm_s8(
    x: torch.Tensor,
    y: torch.Tensor | None,
    weight: torch.Tensor,
    bias: torch.Tensor,
    y_ratio: float,
    eps: float,
) -> torch.Tensor:
    """The rows of t = x, or of fma(y, y_ratio, x), normalized: clamp(rint(fma(d * r, weight, bias))) to int8, d = t - mean,
    r = 1 / sqrt(lane_sum(d^2) / n + eps).

    x int8, int16 or float32[..., n], y int8[..., n]; weight, bias float32[n] -> int8[..., n]. A norm does not feel what is
    added to all of a row, nor what all is multiplied by but for eps: zero points are left out, y_ratio is y's scale over x's, and eps is
    divided by the square of x's. The result's scale and zero point are in weight and bias.
    """
    return normalized(x, y, weight, bias, y_ratio, eps, np.iinfo(np.int8))


@define("embedding_s8_add", lambda self, *rest: torch.empty_like(self))
def embedding_s8_add(
    self: torch.Tensor, weight: torch.Tensor, scale: torch.Tensor, ids: torch.Tensor
) -> torch.Tensor:
    """x + float(weight[id]) * scale[id]: self float32[..., n] (as many rows as ids), weight int8[V, n], scale float32[V],
    ids int64[...]. An id outside the table adds nothing."""
    x, table, known = to_numpy(self), to_numpy(weight), to_numpy(ids).reshape(-1)
    inside = (known >= 0) & (known < table.shape[0])
    safe = np.where(inside, known, 0)
    added = table[safe].astype(F32) * to_numpy(scale)[safe][:, None]
    rows = x.reshape(-1, x.shape[-1])
    return to_torch(np.where(inside[:, None], rows + added, rows).reshape(x.shape))


@define("add_channels_s8", lambda self, *rest: torch.empty_like(self))
def add_channels_s8(
    self: torch.Tensor, x: torch.Tensor, scale: torch.Tensor, offset: torch.Tensor
) -> torch.Tensor:
    """self + fma(x, scale, offset), each channel with a scale of its own: self float32[..., n], x int8 of the same shape, scale
    and offset float32[n] -> like self. The zero point is in the offset."""
    return to_torch(to_numpy(self) + fma(to_numpy(x).astype(F32), to_numpy(scale), to_numpy(offset)))

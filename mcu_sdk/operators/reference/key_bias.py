"""mcu::key_bias_scores: a constant part of every key, kept out of the int8 cache and added to attention's scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from mcu_sdk.operators.reference.define import define, to_numpy, to_torch
from mcu_sdk.operators.reference.exact_math import F32, fma


def _shape(q: torch.Tensor, table: torch.Tensor, *rest: Any) -> torch.Tensor:
    return q.new_empty((q.shape[0], q.shape[1], table.shape[2]))


@define("key_bias_scores", _shape)
def key_bias_scores(
    q: torch.Tensor, table: torch.Tensor, columns: torch.Tensor, position: torch.Tensor, scale: float
) -> torch.Tensor:
    """What attention_s8_shaped adds to its scores, by distance, for keys whose cache lacks a part that is known.

    q float32[T, H, 1, D], position int64[T]; table float32[G, C, S] is that part at every position of the cache, in the
    channels that `columns` int32[C] names; query head h reads key head g = h // (H / G). For each token and head, of the
    n = position + 1 positions that it sees, out[S - n + i] = x_C-1, where x_0 = table[g, 0, i] * (q[columns[0]] * scale),
    x_c = fma(table[g, c, i], q[columns[c]] * scale, x_c-1); out before is 0. Returns float32[T, H, S].
    """
    queries, parts = to_numpy(q)[:, :, 0], to_numpy(table)
    places = to_numpy(columns)
    heads, (groups, channels, length) = queries.shape[1], parts.shape
    out = np.zeros((len(queries), heads, length), F32)
    group_of = np.arange(heads) // (heads // groups)
    for token, at in enumerate(position.reshape(-1).tolist()):
        seen = min(max(at, 0), length - 1) + 1
        factors = queries[token][:, places] * F32(scale)
        sums = parts[group_of, 0, :seen] * factors[:, :1]
        for c in range(1, channels):
            sums = fma(parts[group_of, c, :seen], factors[:, c : c + 1], sums)
        out[token, :, length - seen :] = sums
    return to_torch(out)

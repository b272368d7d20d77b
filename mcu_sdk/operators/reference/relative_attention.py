"""mcu::relative_attention_s8: attention with scores of query and distance, and of key and distance, in int8."""

from __future__ import annotations

import numpy as np
import torch

from mcu_sdk.operators.reference.attention import PROBABILITY_ONE
from mcu_sdk.operators.reference.define import define, to_numpy, to_torch
from mcu_sdk.operators.reference.exact_math import F32, exp_share, round_clamped
from mcu_sdk.operators.reference.sequence_attention import INVISIBLE, scratch_bytes


def _outputs(q: torch.Tensor, heads: int) -> tuple[torch.Tensor, torch.Tensor]:
    n = int(q.shape[-1]) // heads
    return torch.empty_like(q), q.new_empty((scratch_bytes(int(q.shape[1]), n, n),), dtype=torch.uint8)


@define(
    "relative_attention_s8",
    lambda q, k, v, padding, key_table, query_table, heads, *numbers: _outputs(q, heads),
)
def relative_attention_s8(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    padding: torch.Tensor | None,
    key_table: torch.Tensor | None,
    query_table: torch.Tensor | None,
    heads: int,
    score_scale: float,
    key_table_scale: float,
    query_table_scale: float,
    out_scale: float,
    out_zero_point: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """softmax(q k score_scale + q K[d] key_table_scale + k Q[d] query_table_scale + padding) v out_scale for each head and
    query, d = L - 1 - i + j for query i and key j. Returns (out like q, scratch).

    q, k, v int8[1, L, H * n], zero points 0; K and Q, key_table and query_table, int8[H, 2 L - 1, n]. padding int64
    [1, L]: keys where it is 0 get INVISIBLE added, and all scores of a query there are 0. The terms are added in this
    order, each float(dot) * scale; probabilities and results as mcu::sequence_attention_s8 has them.
    """
    length = q.shape[1]
    wide = [to_numpy(x)[0].reshape(length, heads, -1).astype(np.float64) for x in (q, k, v)]
    scores = np.einsum("ihd,jhd->hij", wide[0], wide[1]).astype(F32) * F32(score_scale)
    places = length - 1 - np.arange(length)[:, None] + np.arange(length)
    if key_table is not None:
        rows = to_numpy(key_table).astype(np.float64)[:, places]
        scores = scores + np.einsum("ihd,hijd->hij", wide[0], rows).astype(F32) * F32(key_table_scale)
    if query_table is not None:
        rows = to_numpy(query_table).astype(np.float64)[:, places]
        scores = scores + np.einsum("jhd,hijd->hij", wide[1], rows).astype(F32) * F32(query_table_scale)
    if padding is not None:
        counts = to_numpy(padding)[0] != 0
        scores = np.where(counts[:, None], scores + np.where(counts, F32(0), INVISIBLE), F32(0))
    shares = exp_share(scores - scores.max(-1, keepdims=True))
    p = round_clamped(shares, 0, PROBABILITY_ONE).astype(np.float64)
    total = np.einsum("hij,jhd->ihd", p, wide[2]).astype(F32)
    factor = F32(out_scale) / p.sum(-1).astype(F32)
    real = total * factor.T[:, :, None]
    out = round_clamped(real, -128 - out_zero_point, 127 - out_zero_point) + out_zero_point
    return to_torch(out.astype(np.int8).reshape(q.shape)), _outputs(q, heads)[1].zero_()

"""mcu::sequence_attention_s8: attention of every query over a whole sequence, in int8."""

from __future__ import annotations

import numpy as np
import torch

from mcu_sdk.operators.layouts import COLUMNS, ROWS
from mcu_sdk.operators.reference.attention import PROBABILITY_ONE
from mcu_sdk.operators.reference.define import define, to_numpy, to_torch
from mcu_sdk.operators.reference.exact_math import F32, exp_share, round_clamped

INVISIBLE = F32(-1e30)
"""What a key that is padding has added to its scores. Where all keys are, all count alike."""


TILE = 8
"""Queries whose scores the kernel keeps at a time."""


def scratch_bytes(positions: int, n: int) -> int:
    """One group's keys and values, laid out for vectors; of a tile of queries the scores, themselves and their
    probabilities; a row of penalties."""
    rows, columns = _up(positions, ROWS), _up(n, COLUMNS)
    channels, length = _up(n, ROWS), _up(positions, COLUMNS)
    floats = (TILE + 1) * max(rows, channels)
    tiles = _up(TILE * n, COLUMNS) + _up(TILE * positions, COLUMNS)
    return rows * columns + channels * length + 4 * floats + tiles


def _up(value: int, unit: int) -> int:
    return -(-value // unit) * unit


def _outputs(q: torch.Tensor, k: torch.Tensor, heads: int) -> tuple[torch.Tensor, torch.Tensor]:
    size = scratch_bytes(int(k.shape[1]), int(q.shape[-1]) // heads)
    return torch.empty_like(q), q.new_empty((size,), dtype=torch.uint8)


@define(
    "sequence_attention_s8",
    lambda q, k, v, padding, bias, heads, score_scale, out_scale, out_zero_point: _outputs(q, k, heads),
)
def sequence_attention_s8(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    padding: torch.Tensor | None,
    bias: torch.Tensor | None,
    heads: int,
    score_scale: float,
    out_scale: float,
    out_zero_point: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """softmax(q k score_scale + bias + padding) v out_scale for each head and query. Returns (out like q, scratch).

    q int8[1, Lq, H * n]; k, v int8[1, Lk, G * n], all with zero point 0; query head h reads key/value head g = h //
    (H / G). padding int64[1, Lk]: keys where it is 0 get INVISIBLE added. bias float32[1 or H, Lq, Lk], or, where it
    depends on the distance alone, float32[1 or H, 1, Lq + Lk - 1] with the entry Lq - 1 - i + j for query i and key j.
    Scores are (float(dot) * score_scale + bias) + penalty; p = rint(exp_share(score - max)); out =
    clamp(rint(float(sum p v) * (out_scale / float(sum p))) + out_zero_point).
    """
    queries, length = q.shape[1], k.shape[1]
    n = q.shape[-1] // heads
    groups = k.shape[-1] // n
    group_of = np.arange(heads) // (heads // groups)
    wide = [to_numpy(x)[0].reshape(x.shape[1], -1, n).astype(np.float64) for x in (q, k, v)]
    keys, values = wide[1][:, group_of], wide[2][:, group_of]
    scores = np.einsum("ihd,jhd->hij", wide[0], keys).astype(F32) * F32(score_scale)
    if bias is not None:
        scores = scores + _rows_of(to_numpy(bias), queries, length)
    if padding is not None:
        scores = scores + np.where(to_numpy(padding)[0] == 0, INVISIBLE, F32(0))
    shares = exp_share(scores - scores.max(-1, keepdims=True))
    p = round_clamped(shares, 0, PROBABILITY_ONE).astype(np.float64)
    total = np.einsum("hij,jhd->ihd", p, values).astype(F32)
    factor = F32(out_scale) / p.sum(-1).astype(F32)
    real = total * factor.T[:, :, None]
    out = round_clamped(real, -128 - out_zero_point, 127 - out_zero_point) + out_zero_point
    return to_torch(out.astype(np.int8).reshape(q.shape)), _outputs(q, k, heads)[1].zero_()


def _rows_of(bias: np.ndarray, queries: int, length: int) -> np.ndarray:  # type: ignore[type-arg]
    """float32[1 or H, queries, length] of either form."""
    if bias.shape[1:] == (queries, length):
        return bias
    places = queries - 1 - np.arange(queries)[:, None] + np.arange(length)
    rows: np.ndarray = bias[:, 0][:, places]  # type: ignore[type-arg]
    return rows

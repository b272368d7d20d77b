"""mcu::sequence_attention_s8: attention of every query over a whole sequence, in int8."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from mcu_sdk.operators.layouts import COLUMNS, ROWS
from mcu_sdk.operators.reference.attention import PROBABILITY_ONE
from mcu_sdk.operators.reference.define import define, to_numpy, to_torch
from mcu_sdk.operators.reference.exact_math import F32, Array, exp_share, round_clamped

Bytes = NDArray[np.int8]

INVISIBLE = F32(-1e30)
"""What a key that is padding has added to its scores. Where all keys are, all count alike."""


TILE = 8
"""Queries whose scores the kernel keeps at a time."""


def scratch_bytes(positions: int, n: int, m: int) -> int:
    """One group's keys of n channels and values of m, laid out for vectors; of a tile of queries the scores, themselves
    and their probabilities; a row of penalties."""
    rows, columns = _up(positions, ROWS), _up(n, COLUMNS)
    channels, length = _up(m, ROWS), _up(positions, COLUMNS)
    floats = (TILE + 1) * max(rows, channels)
    tiles = _up(TILE * n, COLUMNS) + _up(TILE * positions, COLUMNS)
    return rows * columns + channels * length + 4 * floats + tiles


def _up(value: int, unit: int) -> int:
    return -(-value // unit) * unit


def outputs(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Results int8[S, Lq, heads * m] and scratch, of no values yet."""
    n = int(q.shape[-1]) // heads
    m = int(v.shape[-1]) // (int(k.shape[-1]) // n)
    scratch = q.new_empty((scratch_bytes(int(k.shape[1]), n, m),), dtype=torch.uint8)
    return q.new_empty((*q.shape[:2], heads * m)), scratch


@define(
    "sequence_attention_s8",
    lambda q, k, v, padding, bias, tables, heads, score_scale, out_scale, out_zero_point: outputs(
        q, k, v, heads
    ),
)
def sequence_attention_s8(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    padding: torch.Tensor | None,
    bias: torch.Tensor | None,
    tables: torch.Tensor | None,
    heads: int,
    score_scale: float,
    out_scale: float,
    out_zero_point: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """softmax(q k score_scale + bias + padding) v out_scale for each sequence, head and query. Returns (out, scratch).

    q int8[S, Lq, H * n]; k int8[S, Lk, G * n], v int8[S, Lk, G * m], all with zero point 0; out int8[S, Lq, H * m];
    query head h reads key/value head g = h // (H / G). padding int64[1, Lk], of one sequence: keys where it is 0 get
    INVISIBLE added. bias float32[T, 1 or H, Lq, Lk], or, where it depends on the distance alone, float32[T, 1 or H, 1,
    Lq + Lk - 1] with the entry Lq - 1 - i + j for query i and key j; sequence s takes the one of number tables[s], int32
    [S], or the first. Scores are (float(dot) * score_scale + bias) + penalty; p = rint(exp_share(score - max)); out =
    clamp(rint(float(sum p v) * (out_scale / float(sum p))) + out_zero_point).
    """
    out, scratch = outputs(q, k, v, heads)
    which = [0] * q.shape[0] if tables is None else [int(number) for number in tables]
    for number, table in enumerate(which):
        added = None if bias is None else to_numpy(bias)[table]
        one, keys, values = (to_numpy(x)[number] for x in (q, k, v))
        scales = F32(score_scale), F32(out_scale)
        rows = attended(one, keys, values, padding, added, heads, *scales, out_zero_point)
        out[number] = to_torch(rows)
    return out, scratch.zero_()


def attended(
    q: Bytes,
    k: Bytes,
    v: Bytes,
    padding: torch.Tensor | None,
    bias: Array | None,
    heads: int,
    score_scale: np.float32,
    out_scale: np.float32,
    out_zero_point: int,
) -> Bytes:
    """int8[Lq, heads * m] of one sequence; `bias` as mcu::sequence_attention_s8 has one of its tables."""
    queries, length = q.shape[0], k.shape[0]
    groups = k.shape[-1] // (q.shape[-1] // heads)
    group_of = np.arange(heads) // (heads // groups)
    wide = q.reshape(queries, heads, -1).astype(np.float64)
    keys, values = (x.reshape(length, groups, -1).astype(np.float64)[:, group_of] for x in (k, v))
    scores = np.einsum("ihd,jhd->hij", wide, keys).astype(F32) * score_scale
    if bias is not None:
        scores = scores + rows_of(bias, queries, length)
    if padding is not None:
        scores = scores + np.where(to_numpy(padding)[0] == 0, INVISIBLE, F32(0))
    shares = exp_share(scores - scores.max(-1, keepdims=True))
    p = round_clamped(shares, 0, PROBABILITY_ONE).astype(np.float64)
    total = np.einsum("hij,jhd->ihd", p, values).astype(F32)
    factor = out_scale / p.sum(-1).astype(F32)
    real = total * factor.T[:, :, None]
    out = round_clamped(real, -128 - out_zero_point, 127 - out_zero_point) + out_zero_point
    whole: Bytes = out.astype(np.int8).reshape(queries, -1)
    return whole


def rows_of(bias: Array, queries: int, length: int) -> Array:
    """float32[1 or H, queries, length] of either form."""
    if bias.shape[1:] == (queries, length):
        return bias
    places = queries - 1 - np.arange(queries)[:, None] + np.arange(length)
    rows: Array = bias[:, 0][:, places]
    return rows

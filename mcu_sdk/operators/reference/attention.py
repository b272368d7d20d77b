"""The int8 KV cache: mcu::cache_write, cache_write_columns, their _dynamic forms, cache_scale_write, attention_s8,
attention_s8_dynamic, and attention with scores that are capped or biased, or with sinks. Keys are kept position by position, values channel by channel: both are then read in rows.

A position outside the cache writes nothing, and attends as the last position.

Of a chunk of T tokens of a prompt everything that belongs to a token has T rows where one step has one: x
float32[T, H, 1, D], q float32[T, H, 1, D], position int64[T]. Each row is what its token's step computes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from mcu_sdk.operators.reference.define import define, to_numpy, to_torch
from mcu_sdk.operators.reference.exact_math import (
    F32,
    exp,
    greatest_magnitude,
    lane_sum,
    round_clamped,
    tanh,
)

PROBABILITY_ONE = 127
"""What a probability of 1 is as an integer: the largest that multiplies int8 values in signed 8-bit lanes."""

SMALLEST_SCALE, LARGEST_SCALE = F32(2.0**-14), F32(65504.0)
"""float16's range of normal numbers."""


def _position(position: torch.Tensor) -> int:
    return int(position.reshape(-1)[0])


def _written(cache: torch.Tensor, rows: Any, position: torch.Tensor) -> torch.Tensor:
    """`cache` [1, H, S(, D)] with `rows` [T, H(, D)], each at its position."""
    out = to_numpy(cache).copy()
    for row, p in zip(rows, position.reshape(-1).tolist(), strict=True):
        if 0 <= p < out.shape[2]:
            out[0, :, p] = row
    return to_torch(out)


def _with_columns(cache: torch.Tensor, columns: Any, position: torch.Tensor) -> torch.Tensor:
    """`cache` [1, H, D, S] with `columns` [T, H, D], each at its position."""
    out = to_numpy(cache).copy()
    for column, p in zip(columns, position.reshape(-1).tolist(), strict=True):
        if 0 <= p < out.shape[3]:
            out[0, :, :, p] = column
    return to_torch(out)


@define("cache_write", lambda self, *rest: torch.empty_like(self))
def cache_write(
    self: torch.Tensor, x: torch.Tensor, inverse_scale: torch.Tensor, position: torch.Tensor
) -> torch.Tensor:
    """Quantize one step's keys or values and put them into the cache.

    q = clamp(rint(x * inverse_scale), -127, 127). self int8[1, H, S, D], x float32[1, H, 1, D], inverse_scale
    float32[H, D], position int64[1].
    """
    rows = to_numpy(x).reshape(-1, self.shape[1], self.shape[3])
    return _written(self, round_clamped(rows * to_numpy(inverse_scale), -127, 127), position)


@define("cache_write_columns", lambda self, *rest: torch.empty_like(self))
def cache_write_columns(
    self: torch.Tensor, x: torch.Tensor, inverse_scale: torch.Tensor, position: torch.Tensor
) -> torch.Tensor:
    """As cache_write, into a cache whose positions lie side by side: self int8[1, H, D, S]."""
    rows = to_numpy(x).reshape(-1, self.shape[1], self.shape[2])
    return _with_columns(self, round_clamped(rows * to_numpy(inverse_scale), -127, 127), position)


def _row_scales(x: torch.Tensor, heads: int) -> Any:
    """The float16 scale [T, H] of each head's row: max |row| / 127, kept within float16's normal range."""
    rows = to_numpy(x).reshape(-1, heads, x.shape[-1])
    scale = greatest_magnitude(rows) / F32(127)
    scale = np.where(scale > SMALLEST_SCALE, scale, SMALLEST_SCALE)
    return np.where(scale < LARGEST_SCALE, scale, LARGEST_SCALE).astype(np.float16)


@define("cache_write_dynamic", lambda self, *rest: torch.empty_like(self))
def cache_write_dynamic(self: torch.Tensor, x: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
    """As cache_write, each head's row by its own scale s of this step: q = clamp(rint(x * (1 / s)), -127, 127).

    s is the float16 value that cache_scale_write stores. self int8[1, H, S, D], x float32[1, H, 1, D].
    """
    heads = self.shape[1]
    inverse = F32(1) / _row_scales(x, heads).astype(F32)
    rows = to_numpy(x).reshape(-1, heads, x.shape[-1]) * inverse[..., None]
    return _written(self, round_clamped(rows, -127, 127), position)


@define("cache_write_columns_dynamic", lambda self, *rest: torch.empty_like(self))
def cache_write_columns_dynamic(self: torch.Tensor, x: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
    """As cache_write_dynamic, into a cache whose positions lie side by side: self int8[1, H, D, S]."""
    heads = self.shape[1]
    inverse = F32(1) / _row_scales(x, heads).astype(F32)
    rows = to_numpy(x).reshape(-1, heads, x.shape[-1]) * inverse[..., None]
    return _with_columns(self, round_clamped(rows, -127, 127), position)


@define("cache_scale_write", lambda self, *rest: torch.empty_like(self))
def cache_scale_write(self: torch.Tensor, x: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
    """The scales of this step's rows: self float16[1, H, S], x float32[1, H, 1, D]."""
    return _written(self, _row_scales(x, self.shape[1]), position)


def _scratch_bytes(length: int) -> int:
    """Scores float32 and probabilities int8 for `length` positions, each part rounded up to 16 bytes."""
    return (4 * length + 15) // 16 * 16 + (length + 15) // 16 * 16


def _attention_outputs(q: torch.Tensor, k_cache: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    size = _scratch_bytes(k_cache.shape[2]) + (k_cache.shape[3] + 15) // 16 * 16
    return torch.empty_like(q), q.new_empty((size,), dtype=torch.uint8)


def _quantized_queries(queries: Any) -> tuple[Any, Any]:
    """[H, D] float32 -> (integers as float64, scale float32[H])."""
    m = greatest_magnitude(queries)
    q = round_clamped(queries * (F32(127) / m)[:, None], -127, 127)
    return q.astype(np.float64), m / F32(127)


def _over_tokens(
    attend: Callable[..., tuple[torch.Tensor, torch.Tensor]],
    q: torch.Tensor,
    operands: tuple[torch.Tensor, ...],
    position: torch.Tensor,
    *rest: Any,
) -> tuple[torch.Tensor, torch.Tensor]:
    """`attend` for each token of a chunk: (out [T, H, 1, D], the last one's scratch)."""
    results = [
        attend(q[t : t + 1], *operands, position[t : t + 1], *(_of_token(each, t) for each in rest))
        for t in range(len(q))
    ]
    return torch.cat([out for out, _ in results]), results[-1][1]


def _of_token(value: Any, token: int) -> Any:
    """What is added to one token's scores, where each has its own: float32[T, H, S]."""
    of_its_own = isinstance(value, torch.Tensor) and value.dim() == 3
    return value[token : token + 1] if of_its_own else value


def _visible(cache: torch.Tensor, position: torch.Tensor) -> int:
    return min(max(_position(position), 0), cache.shape[2] - 1) + 1


def _shaped(scores: Any, bias: torch.Tensor | None, cap: float) -> Any:
    """Scores [H, n] with a soft cap, cap * tanh(score * (1 / cap)), where that is not 0; then with what is added to them:
    `bias` float32[H, S] or [1, H, S] is by distance, its last column for the position itself, the one before for the
    position before."""
    if cap > 0:
        scores = F32(cap) * tanh(scores * (F32(1) / F32(cap)))
    if bias is not None:
        by_distance = to_numpy(bias).reshape(bias.shape[-2:])
        scores = scores + by_distance[:, by_distance.shape[1] - scores.shape[1] :]
    return scores


def _sink_shares(sinks: torch.Tensor | None, scores: Any) -> Any:
    """What each head's sink, float32[H], a score that takes its share of the softmax and has no value, adds to the sum of
    e^(score - highest): e^(sink - highest), float32[H]; 0 without sinks."""
    if sinks is None:
        return np.zeros(len(scores), F32)
    return exp(to_numpy(sinks) - scores.max(-1))


@define("attention_s8", lambda q, k_cache, *rest: _attention_outputs(q, k_cache))
def attention_s8(
    q: torch.Tensor,
    k_cache: torch.Tensor,
    v_cache: torch.Tensor,
    k_scale: torch.Tensor,
    v_scale: torch.Tensor,
    position: torch.Tensor,
    scale: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """One step of attention over an int8 cache with calibrated scales for each head and channel.

    q float32[1, H, 1, D]; k_cache int8[1, G, S, D], v_cache int8[1, G, D, S]; k_scale, v_scale float32[G, D]; query head h reads
    key/value head g = h // (H / G). For each h: the query takes in the softmax scale and the keys' scales,
    (q * scale) * k_scale, and becomes int8 with a scale of its own, m / 127; scores are
    float(dot) * (m / 127) over positions 0 .. position; p = rint(exp(score - max) * PROBABILITY_ONE);
    out = (float(sum p v) * (1 / float(sum p))) * v_scale. Returns (out like q, scratch).
    """
    pair: tuple[torch.Tensor, torch.Tensor] = attention_s8_shaped(
        q, k_cache, v_cache, k_scale, v_scale, position, None, None, scale, 0.0
    )
    return pair


def _attended(
    q: torch.Tensor, k_cache: torch.Tensor, v_cache: torch.Tensor, position: torch.Tensor
) -> tuple[Any, Any, Any]:
    """(the key/value head of each of H query heads, keys float64[H, n, D], values float64[H, D, n]) of the n positions up to
    `position`."""
    heads, groups, n = q.shape[1], k_cache.shape[1], _visible(k_cache, position)
    group_of = np.arange(heads) // (heads // groups)
    keys = to_numpy(k_cache)[0, group_of, :n].astype(np.float64)
    return group_of, keys, to_numpy(v_cache)[0, group_of, :, :n].astype(np.float64)


@define("attention_s8_shaped", lambda q, k_cache, *rest: _attention_outputs(q, k_cache))
def attention_s8_shaped(
    q: torch.Tensor,
    k_cache: torch.Tensor,
    v_cache: torch.Tensor,
    k_scale: torch.Tensor,
    v_scale: torch.Tensor,
    position: torch.Tensor,
    bias: torch.Tensor | None,
    sinks: torch.Tensor | None,
    scale: float,
    cap: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """As attention_s8, with scores that `_shaped` changes before the softmax, and with `_sink_shares` in its sum:
    out = (float(sum p v) * (1 / (float(sum p) + share * PROBABILITY_ONE))) * v_scale. A bias float32[T, H, S] has a row
    of heads for each token."""
    if len(q) > 1:
        operands = (k_cache, v_cache, k_scale, v_scale)
        return _over_tokens(attention_s8_shaped, q, operands, position, bias, sinks, scale, cap)
    group_of, keys, values = _attended(q, k_cache, v_cache, position)
    queries = (to_numpy(q)[0, :, 0] * F32(scale)) * to_numpy(k_scale)[group_of]
    integers, query_scale = _quantized_queries(queries)
    scores = np.einsum("hd,hnd->hn", integers, keys).astype(F32) * query_scale[:, None]
    scores = _shaped(scores, bias, cap)
    weights = exp(scores - scores.max(-1, keepdims=True))
    p = round_clamped(weights * F32(PROBABILITY_ONE), 0, PROBABILITY_ONE).astype(np.float64)
    total = np.einsum("hn,hdn->hd", p, values).astype(F32)
    with np.errstate(over="ignore"):  # of a sink far above the scores: 1 / infinity is nothing
        total_share = p.sum(-1).astype(F32) + _sink_shares(sinks, scores) * F32(PROBABILITY_ONE)
    out = (total * (F32(1) / total_share)[:, None]) * to_numpy(v_scale)[group_of]
    return to_torch(out.reshape(q.shape)), _attention_outputs(q, k_cache)[1].zero_()


@define("attention_s8_dynamic", lambda q, k_cache, *rest: _attention_outputs(q, k_cache))
def attention_s8_dynamic(
    q: torch.Tensor,
    k_cache: torch.Tensor,
    v_cache: torch.Tensor,
    k_scales: torch.Tensor,
    v_scales: torch.Tensor,
    position: torch.Tensor,
    scale: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """As attention_s8 with a float16 scale for each head and position: k_scales, v_scales float16[1, G, S].

    The query takes in the softmax scale alone. Scores are (float(dot) * (m / 127)) * k_scale[i]; e = exp(score -
    max); the values' scales go into the weights, w = e * v_scale[i], W = max w, p = rint(w * (PROBABILITY_ONE /
    W)); out = float(sum p v) * ((W / PROBABILITY_ONE) / lane_sum(e)).
    """
    pair: tuple[torch.Tensor, torch.Tensor] = attention_s8_dynamic_shaped(
        q, k_cache, v_cache, k_scales, v_scales, position, None, None, scale, 0.0
    )
    return pair


@define("attention_s8_dynamic_shaped", lambda q, k_cache, *rest: _attention_outputs(q, k_cache))
def attention_s8_dynamic_shaped(
    q: torch.Tensor,
    k_cache: torch.Tensor,
    v_cache: torch.Tensor,
    k_scales: torch.Tensor,
    v_scales: torch.Tensor,
    position: torch.Tensor,
    bias: torch.Tensor | None,
    sinks: torch.Tensor | None,
    scale: float,
    cap: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """As attention_s8_dynamic, with scores that `_shaped` changes before the softmax, as in attention_s8_shaped, and with
    `_sink_shares` in its sum: out = float(sum p v) * ((W / PROBABILITY_ONE) / (lane_sum(e) + share))."""
    if len(q) > 1:
        operands = (k_cache, v_cache, k_scales, v_scales)
        return _over_tokens(attention_s8_dynamic_shaped, q, operands, position, bias, sinks, scale, cap)
    group_of, keys, values = _attended(q, k_cache, v_cache, position)
    integers, query_scale = _quantized_queries(to_numpy(q)[0, :, 0] * F32(scale))
    dots = np.einsum("hd,hnd->hn", integers, keys).astype(F32)
    scores = (dots * query_scale[:, None]) * to_numpy(k_scales)[0, group_of, : keys.shape[1]].astype(F32)
    scores = _shaped(scores, bias, cap)
    e = exp(scores - scores.max(-1, keepdims=True))
    w = e * to_numpy(v_scales)[0, group_of, : keys.shape[1]].astype(F32)
    greatest = w.max(-1)
    one = F32(PROBABILITY_ONE)
    p = round_clamped(w * (one / greatest)[:, None], 0, PROBABILITY_ONE).astype(np.float64)
    total = np.einsum("hn,hdn->hd", p, values).astype(F32)
    out = total * ((greatest / one) / (lane_sum(e) + _sink_shares(sinks, scores)))[:, None]
    return to_torch(out.reshape(q.shape)), _attention_outputs(q, k_cache)[1].zero_()

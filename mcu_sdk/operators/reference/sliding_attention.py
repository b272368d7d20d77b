"""A KV cache that slides when it is full: mcu::ring_slot, mcu::attention_s8_sliding and attention_s8_dynamic_sliding.

Of S slots the first `sinks` keep the first positions (StreamingLLM, arXiv 2309.17453); the rest are a ring of the last
S - sinks. A key is rotated as its slot, for good. What a query sees lies at three distances from it:

- in the ring's present lap, slots sinks .. slot: a query rotated as `slot` is as far from these as the text is;
- of the lap before, slots slot + 1 .. S - 1: rotated as slot + (S - sinks), one lap further on;
- in the sinks: rotated as the last position of a cache in which they stand first, min(position, S - 1).

So scores are those of positions within the cache, 0 .. S - 1 in the order of age, whatever the text's length, and no key
changes once it is written. Before the cache is full the three queries are one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from mcu_sdk.operators.reference.attention import (
    PROBABILITY_ONE,
    _attended,
    _attention_outputs,
    _quantized_queries,
    _shaped,
)
from mcu_sdk.operators.reference.define import define, to_numpy, to_torch
from mcu_sdk.operators.reference.exact_math import F32, exp, lane_sum, round_clamped


@define("ring_slot", lambda position, *rest: torch.empty_like(position))
def ring_slot(position: torch.Tensor, sinks: int, length: int) -> torch.Tensor:
    """Where each position is kept: itself in the first `length`, then around the slots sinks .. length - 1.

    position int64[T], not negative; 0 <= sinks < length.
    """
    around = sinks + torch.remainder(position - sinks, length - sinks)
    return torch.where(position < length, position, around)


def _parts(visible: int, slot: int, sinks: int) -> tuple[slice, slice, slice]:
    """The slots of the present lap, of the sinks, and of the lap before."""
    kept, end = min(sinks, visible), min(max(slot + 1, min(sinks, visible)), visible)
    return slice(kept, end), slice(0, kept), slice(end, visible)


def _integer_scores(queries: list[Any], keys: Any, visible: int, slot: torch.Tensor, sinks: int) -> Any:
    """float32[H, visible]: each part of the keys [H, visible, D] with its own query float32[H, D], made int8."""
    scores = np.zeros(keys.shape[:2], F32)
    parts = _parts(visible, int(slot.reshape(-1)[0].clamp(0, 1 << 30)), sinks)
    for rows, part in zip(queries, parts, strict=True):
        integers, scale = _quantized_queries(rows)
        dots = np.einsum("hd,hnd->hn", integers, keys[:, part]).astype(F32)
        scores[:, part] = dots * scale[:, None]
    return scores


@define("attention_s8_sliding", lambda q, q_sinks, q_before, k_cache, *rest: _attention_outputs(q, k_cache))
def attention_s8_sliding(
    q: torch.Tensor,
    q_sinks: torch.Tensor,
    q_before: torch.Tensor,
    k_cache: torch.Tensor,
    v_cache: torch.Tensor,
    k_scale: torch.Tensor,
    v_scale: torch.Tensor,
    position: torch.Tensor,
    slot: torch.Tensor,
    sinks: int,
    scale: float,
    cap: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """As mcu::attention_s8_shaped without bias, over slots: `q` float32[1, H, 1, D] for the slots sinks .. slot, `q_before`
    for those behind, `q_sinks` for the first `sinks`, each int8 with a scale of its own. position, slot int64[1]."""
    group_of, keys, values = _attended(q, k_cache, v_cache, position)
    n = keys.shape[1]
    factor = to_numpy(k_scale)[group_of]
    queries = [(to_numpy(each)[0, :, 0] * F32(scale)) * factor for each in (q, q_sinks, q_before)]
    scores = _shaped(_integer_scores(queries, keys, n, slot, sinks), None, cap)
    weights = exp(scores - scores.max(-1, keepdims=True))
    p = round_clamped(weights * F32(PROBABILITY_ONE), 0, PROBABILITY_ONE).astype(np.float64)
    total = np.einsum("hn,hdn->hd", p, values).astype(F32)
    out = (total * (F32(1) / p.sum(-1).astype(F32))[:, None]) * to_numpy(v_scale)[group_of]
    return to_torch(out.reshape(q.shape)), _attention_outputs(q, k_cache)[1].zero_()


@define(
    "attention_s8_dynamic_sliding",
    lambda q, q_sinks, q_before, k_cache, *rest: _attention_outputs(q, k_cache),
)
def attention_s8_dynamic_sliding(
    q: torch.Tensor,
    q_sinks: torch.Tensor,
    q_before: torch.Tensor,
    k_cache: torch.Tensor,
    v_cache: torch.Tensor,
    k_scales: torch.Tensor,
    v_scales: torch.Tensor,
    position: torch.Tensor,
    slot: torch.Tensor,
    sinks: int,
    scale: float,
    cap: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """As mcu::attention_s8_dynamic_shaped without bias, over slots as in attention_s8_sliding."""
    group_of, keys, values = _attended(q, k_cache, v_cache, position)
    n = keys.shape[1]
    queries = [to_numpy(each)[0, :, 0] * F32(scale) for each in (q, q_sinks, q_before)]
    scores = _integer_scores(queries, keys, n, slot, sinks)
    scores = _shaped(scores * to_numpy(k_scales)[0, group_of, :n].astype(F32), None, cap)
    e = exp(scores - scores.max(-1, keepdims=True))
    w = e * to_numpy(v_scales)[0, group_of, :n].astype(F32)
    greatest, one = w.max(-1), F32(PROBABILITY_ONE)
    p = round_clamped(w * (one / greatest)[:, None], 0, PROBABILITY_ONE).astype(np.float64)
    total = np.einsum("hn,hdn->hd", p, values).astype(F32)
    out = total * ((greatest / one) / lane_sum(e))[:, None]
    return to_torch(out.reshape(q.shape)), _attention_outputs(q, k_cache)[1].zero_()

"""Attention over a cache for an NPU whose array multiplies weights alone.

Of two activations a U55 or U65 multiplies elements, and adds up over the channels: that is all that Vela makes of a matrix
product, with a copy and a turn of each operand and of each column of the result. Spelled out, nothing is copied or turned,
products are written as int16, which holds those of int8 exactly, and where they belong.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from mcu_sdk.lowering.ethos_u.attention import CachedAttention, scaled, unscaled

PRODUCT_BYTES = 1 << 14
"""Of the products of one multiplication: as many planes of a cache are multiplied at once as have room, one at least."""


def attend_by_elements(
    attention: CachedAttention,
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    mask: torch.Tensor,
    caches: tuple[torch.Tensor, torch.Tensor],
    observe_scores: Callable[[torch.Tensor], None] | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The same as `attend` of attention.py, with the same operands.

    Each operand of a multiplication but one is as large as the result: the NPU repeats one alone. Sums run over the last
    dimension, of keys D and of values S, as the caches lie.
    """
    batch, length = query.shape[0], caches[0].shape[2]
    queries = range(attention.heads // attention.kv_heads)
    grouped, new_keys, new_values = scaled(attention, query, keys, values)
    held_keys, held_values = (_planes(attention, cache) for cache in caches)
    mask = mask.reshape(batch, 1, 1, length + 1)
    rows = []
    for index in queries:
        row = grouped[:, :, index : index + 1]
        scores = _scores(held_keys, new_keys, row)
        if observe_scores is not None:
            observe_scores(scores[..., :length])
        rows.append(scores + mask)
    scores = torch.cat(rows, 2)
    weights = torch.exp(scores - _greatest(scores))
    inverse = torch.reciprocal(weights.sum(-1, keepdim=True))
    narrow = weights * 1.0  # to int8, in one operation
    mixed = []
    for index in queries:
        row = narrow[:, :, index : index + 1]
        mixed.append(_mixed(held_values, row[..., :length]) + new_values * row[..., length:])
    return unscaled(attention, torch.cat(mixed, 2), inverse), new_keys, new_values


def _planes(attention: CachedAttention, cache: torch.Tensor) -> list[torch.Tensor]:
    """The layer's planes of a cache [B, R, m, n], in as large parts as are multiplied at once."""
    count = max(1, PRODUCT_BYTES // (2 * cache.shape[2] * cache.shape[3]))
    begin, end = attention.first_row, attention.first_row + attention.kv_heads
    return [cache[:, first : min(first + count, end)] for first in range(begin, end, count)]


def _scores(held: list[torch.Tensor], new: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
    """Of keys [B, g, S, D], in parts, and one more for each plane [B, G, 1, D], with a query each [B, G, 1, D]: [B, G, 1, S + 1]."""
    parts, first = [], 0
    for keys in held:
        planes = slice(first, first + keys.shape[1])
        products = torch.cat([keys * query[:, planes], new[:, planes] * query[:, planes]], 2)
        parts.append(products.sum(-1).unsqueeze(2))
        first = planes.stop
    return parts[0] if len(parts) == 1 else torch.cat(parts, 1)


def _mixed(held: list[torch.Tensor], weights: torch.Tensor) -> torch.Tensor:
    """Of values [B, g, D, S], in parts, and weights [B, G, 1, S]: [B, G, 1, D]."""
    parts, first = [], 0
    for values in held:
        planes = slice(first, first + values.shape[1])
        # What is summed as it is multiplied ExecuTorch leaves in 32 bits, which are slower to add up; not so a copy, which Vela
        # does not make.
        parts.append((values * weights[:, planes]).clone().sum(-1).unsqueeze(2))
        first = planes.stop
    return parts[0] if len(parts) == 1 else torch.cat(parts, 1)


def _greatest(scores: torch.Tensor) -> torch.Tensor:
    """The maximum over the last dimension, halves against each other: over one axis alone Vela would turn the scores."""
    while scores.shape[-1] > 1:
        length = scores.shape[-1]
        half = (length + 1) // 2
        scores = torch.maximum(scores[..., :half], scores[..., length - half :])
    return scores

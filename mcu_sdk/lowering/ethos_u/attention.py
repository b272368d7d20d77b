"""Attention over a cache that is the delegate's input, written so that integers keep its precision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.fx import Node


@dataclass(frozen=True)
class CachedAttention:
    """One layer's attention in the fused graph.

    `query`, `keys`, `values` are the nodes of this step's rows; `key_scale` and `value_scale` float32[kv_heads, D]
    divide what goes into the cache; `first_row` is where the layer's planes begin (keys, then values). `keys_are_scaled`: the
    keys are divided, and the query multiplied, as they come, `values_are_scaled`: the values are divided.
    """

    query: Node
    keys: Node
    values: Node
    key_scale: torch.Tensor
    value_scale: torch.Tensor
    scale: float
    heads: int
    first_row: int
    keys_are_scaled: bool = False
    values_are_scaled: bool = False

    @property
    def kv_heads(self) -> int:
        """Heads of keys and values."""
        return int(self.key_scale.shape[0])

    @property
    def head_dim(self) -> int:
        """Channels of one head."""
        return int(self.key_scale.shape[1])


def rotate(x: torch.Tensor, row: torch.Tensor) -> torch.Tensor:
    """Rotary embedding: x [B, heads, 1, D], row [B, 1, 2r] = (cos, cos, -sin, sin), r <= D -> like x."""
    width = row.shape[-1] // 2
    half = width // 2
    row = row.reshape(row.shape[0], 1, 1, 2 * width)
    cosine, sine = row[..., :width], row[..., width:]
    turning = x[..., :width]
    # Halves are multiplied where they come from: a product is written to its place, values that only change places are copied.
    swapped = torch.cat([turning[..., half:] * sine[..., :half], turning[..., :half] * sine[..., half:]], -1)
    turned = turning * cosine + swapped
    return turned if width == x.shape[-1] else torch.cat([turned, x[..., width:]], -1)


def scaled(
    attention: CachedAttention, query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(query [B, kv_heads, heads / kv_heads, D], this step's key rows [B, kv_heads, 1, D], its value rows likewise), the rows
    divided by their scales for the cache and the query multiplied by the keys', and by the attention's own scale."""
    kv_heads, size = attention.kv_heads, attention.head_dim
    key_scale = attention.key_scale.reshape(1, kv_heads, 1, size)
    value_scale = attention.value_scale.reshape(1, kv_heads, 1, size)
    grouped = query.reshape(query.shape[0], kv_heads, attention.heads // kv_heads, size)
    if not attention.keys_are_scaled:
        grouped, keys = grouped * (key_scale * attention.scale), keys * (1 / key_scale)
    return grouped, keys, values if attention.values_are_scaled else values * (1 / value_scale)


def unscaled(attention: CachedAttention, mixed: torch.Tensor, inverse: torch.Tensor) -> torch.Tensor:
    """The output [B, heads, 1, D] of the sums over values [B, kv_heads, heads / kv_heads, D] and the inverse [.., 1] of the
    weights' sums."""
    value_scale = attention.value_scale.reshape(1, attention.kv_heads, 1, attention.head_dim)
    out = mixed * inverse * value_scale
    return out.reshape(mixed.shape[0], attention.heads, 1, attention.head_dim)


Attend = Callable[
    [
        CachedAttention,
        torch.Tensor,
        torch.Tensor,
        torch.Tensor,
        torch.Tensor,
        tuple[torch.Tensor, torch.Tensor],
        Callable[[torch.Tensor], None] | None,
    ],
    tuple[torch.Tensor, torch.Tensor, torch.Tensor],
]
"""`attend`, or another form of it: what computes one layer's attention."""


def attend(
    attention: CachedAttention,
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    mask: torch.Tensor,
    caches: tuple[torch.Tensor, torch.Tensor],
    observe_scores: Callable[[torch.Tensor], None] | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(attention's output [B, heads, 1, D], this step's key rows [B, kv_heads, 1, D] and value rows likewise).

    query [B, heads, 1, D]; keys and values [B, kv_heads, 1, D]; mask [B, 1, S + 1], the last of it for this step's own row;
    caches: keys [B, R, S, D] and values [B, R, D, S]. `observe_scores` is shown the unmasked scores.

    In matrix products, for an NPU whose array multiplies activations. The caches stand on the left, the values transposed: a
    product then has as many columns as queries share a key, not S or D.

    The softmax is left unnormalized (e^(s - max), which always reaches 1) until after the product with the values: its
    8-bit integers then span the whole range, however flat the attention is.
    """
    batch, kv_heads, size = query.shape[0], attention.kv_heads, attention.head_dim
    length, begin = caches[0].shape[2], attention.first_row
    planes, queries = batch * kv_heads, attention.heads // kv_heads
    grouped, new_keys, new_values = scaled(attention, query, keys, values)
    old_scores = _times_cached(caches[0], begin, grouped)
    if observe_scores is not None:
        observe_scores(old_scores)
    old_scores = old_scores + mask[..., :length].reshape(batch, 1, 1, length)
    columns = grouped.reshape(planes, queries, size).transpose(1, 2)
    new_scores = torch.bmm(new_keys.reshape(planes, 1, size), columns).transpose(1, 2)
    scores = torch.cat([old_scores, new_scores.reshape(batch, kv_heads, queries, 1)], -1)
    weights = torch.exp(scores - scores.amax(-1, keepdim=True))
    inverse = torch.reciprocal(weights.sum(-1, keepdim=True))
    mixed = _times_cached(caches[1], begin, weights[..., :length])
    mixed = mixed + weights[..., length:] * new_values
    return unscaled(attention, mixed, inverse), new_keys, new_values


def _times_cached(cache: torch.Tensor, begin: int, rows: torch.Tensor) -> torch.Tensor:
    """Planes begin .. begin + heads of a cache [B, R, m, n] times rows [B, heads, q, n] -> [B, heads, q, m].

    One plane at a time: of several that are sliced from a larger tensor Vela 5.1.0 multiplies the first with every
    row (docs/npu_simulator.md).
    """
    products = [
        torch.bmm(cache[:, begin + head], rows[:, head].transpose(1, 2)).transpose(1, 2).unsqueeze(1)
        for head in range(rows.shape[1])
    ]
    return torch.cat(products, 1)

"""Observing a decoder step on real sequences, many positions at a time.

The prepared graph has fixed shapes. So it is made twice, for a batch and for one token; observers are filled on the
batch and then shared with the graph for one token. What an attention at position p sees is known beforehand: the
float model's keys and values at the positions before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch.fx import GraphModule, Node

from mcu_sdk.lowering.calibrate import run_with_cache
from mcu_sdk.lowering.ethos_u.decoder import mask_table
from mcu_sdk.lowering.ethos_u.step import NpuStep

if TYPE_CHECKING:
    from transformers import PreTrainedModel

AT_ONCE = 128
"""Positions observed at one time: a run of the graph takes its thousands of observers' time, hardly the positions'."""

CACHE_BYTES = 1 << 27
"""Of the caches of the positions observed at one time."""

OBSERVED = 512
"""Positions that scales are observed on, spread over the calibration windows."""


def positions_at_once(step: NpuStep) -> int:
    """AT_ONCE, or as many positions as have room for their caches in CACHE_BYTES."""
    each = 2 * 4 * step.cache_rows * step.cache_length * step.head_dim
    return max(1, min(AT_ONCE, CACHE_BYTES // each))


def step_inputs(
    step: NpuStep, tokens: torch.Tensor, positions: torch.Tensor, masked: float
) -> list[torch.Tensor]:
    """The looked-up inputs before the cache: tokens int64[B] at positions int64[B]."""
    rows = [
        lookup.table[tokens if lookup.index == "token" else positions].unsqueeze(1) for lookup in step.lookups
    ]
    return [*rows, mask_table(step.cache_length, masked)[positions].unsqueeze(1)]


def batches(
    step: NpuStep,
    model: PreTrainedModel,
    windows: torch.Tensor,
    masked: float,
    batch: int,
    count: int = OBSERVED,
) -> Iterator[tuple[torch.Tensor, ...]]:
    """Inputs of the step for `count` (sequence, position) pairs of windows int64[n, L], `batch` at a time.

    Pairs are spread evenly, each window from its first to its last position; the count is rounded up to whole
    batches, and is at most all pairs.
    """
    n, length = windows.shape
    caches = _cached(step, model, windows)  # [n, R, L, D] each
    total = n * length
    wanted = min(total, -(-count // batch) * batch)
    flat = torch.linspace(0, total - 1, wanted).round().long()
    flat = flat[torch.randperm(wanted, generator=torch.Generator().manual_seed(0))]
    flat = flat[torch.arange(-(-wanted // batch) * batch) % wanted]
    for begin in range(0, len(flat), batch):
        chosen = flat[begin : begin + batch]
        sequence, position = chosen // length, chosen % length
        rows = step_inputs(step, windows[sequence, position], position, masked)
        visible = (torch.arange(length)[None, :] < position[:, None])[:, None, :, None]
        padded = []
        for cached in caches:
            cache = torch.zeros(batch, step.cache_rows, step.cache_length, step.head_dim)
            cache[:, :, :length] = cached[sequence] * visible
            padded.append(cache)
        yield (*rows, padded[0], padded[1].transpose(2, 3).contiguous())


def _cached(
    step: NpuStep, model: PreTrainedModel, windows: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Keys and values of all layers at all positions, scaled as the step's caches are: float32[n, R, L, D] each."""
    with torch.no_grad():
        layers = run_with_cache(model, input_ids=windows).past_key_values.layers
    keys, values = [], []
    for attention, layer in zip(step.attentions, layers, strict=True):
        keys.append(layer.keys.float() / attention.key_scale[None, :, None, :])
        values.append(layer.values.float() / attention.value_scale[None, :, None, :])
    return torch.cat(keys, 1), torch.cat(values, 1)


def share_observers(source: GraphModule, target: GraphModule) -> None:
    """Give `target`'s observers what `source`'s, of the same graph for another batch, have seen.

    They are matched by their place in the graph: PT2E numbers them in no fixed order.
    """
    pairs = list(zip(source.graph.nodes, target.graph.nodes, strict=True))
    for old, new in pairs:
        assert (old.op, _kind(old)) == (new.op, _kind(new)), "the two graphs must be prepared alike"
        if new.op == "call_module":
            setattr(target, str(new.target), getattr(source, str(old.target)))


def observe_tables(step: NpuStep, prepared: GraphModule) -> None:
    """Show the observers of looked-up inputs the whole tables: a rare token must not saturate."""
    placeholders = [node for node in prepared.graph.nodes if node.op == "placeholder"]
    for lookup, placeholder in zip(step.lookups, placeholders, strict=False):
        for user in placeholder.users:
            if user.op == "call_module":
                prepared.get_submodule(str(user.target))(lookup.table)


def _kind(node: Node) -> object:
    return node.target if node.op == "call_function" else None

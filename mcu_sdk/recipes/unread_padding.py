"""Calls to calibrate on, without padding: where nothing reads what a model makes of it, it must not decide an int8 scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from mcu_sdk.lowering.guard import outputs_of
from mcu_sdk.lowering.memoryless import without_memory
from mcu_sdk.model.encoder import Encoder
from mcu_sdk.recipes.stage import stage

Call = tuple[torch.Tensor, ...]

CLOSE = 1e-4
"""Of the outputs' greatest magnitude: float rounding in another order."""


def without_padding(encoder: Encoder, calls: Sequence[Call]) -> list[Call]:
    """The calls with each text's own ids, over and over, where `attention_mask` says that nothing counts. Unchanged where the
    model has no such input, or gives a text's own tokens something else then."""
    names = list(encoder.input_names)
    if "input_ids" not in names or "attention_mask" not in names:
        return list(calls)
    ids, mask = names.index("input_ids"), names.index("attention_mask")
    counts = [int(call[mask].sum()) for call in calls]
    filled = [_filled(call, ids, count) for call, count in zip(calls, counts, strict=True)]
    shortest = counts.index(min(counts))
    with stage("Looking whether anything reads padding"), torch.no_grad(), without_memory(encoder):
        before, after = (outputs_of(encoder, each[shortest]) for each in (calls, filled))
    same = all(
        _are_close(*(_own(output, counts[shortest], calls[shortest][ids].shape[1]) for output in pair))
        for pair in zip(before, after, strict=True)
    )
    return filled if same else list(calls)


def _filled(call: Call, place: int, count: int) -> Call:
    ids = call[place]
    again = ids[:, torch.arange(ids.shape[1]) % max(count, 1)]
    return (*call[:place], again, *call[place + 1 :])


def _own(output: torch.Tensor, count: int, length: int) -> torch.Tensor:
    """What there is of a text's own tokens."""
    return output[:, :count] if output.dim() > 1 and output.shape[1] == length else output


def _are_close(one: Any, other: Any) -> bool:
    return bool((one - other).abs().max() <= CLOSE * one.abs().max())

"""What a chunk of a prompt that is computed otherwise than its tokens one by one is worth: the logits behind it, and of the
tokens that are read after it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.export import ExportedProgram

from mcu_sdk.lowering.run_step import StepRunner

FOLLOWING = 8
"""Tokens that are read one by one behind the chunks of each window."""


@torch.no_grad()
def logits_of_prompts(
    step: ExportedProgram, chunk: ExportedProgram, windows: torch.Tensor, rows: int
) -> tuple[torch.Tensor, list[int]]:
    """(logits float32[n, P, V], the P positions that they belong to) of windows int64[n, L], L >= rows: of the last token of
    each chunk of `rows`, and of up to FOLLOWING tokens that `step` reads behind them, over the caches that the chunks wrote. A
    step is a chunk of one row."""
    length = windows.shape[1]
    chunks = max(1, (length - FOLLOWING) // rows)
    end = min(length, chunks * rows + FOLLOWING)
    several, one = StepRunner(chunk), StepRunner(step)
    found = []
    for window in windows:
        values, logits = several.empty(), []
        for start in range(0, chunks * rows, rows):
            places = torch.arange(start, start + rows)
            logits.append(several.call(values, window[start : start + rows], places)[0, 0])
        after = _with_caches(one.empty(), values, one.written)
        logits += [
            one.call(after, window[place : place + 1], torch.tensor([place]))[0, 0]
            for place in range(chunks * rows, end)
        ]
        found.append(torch.stack(logits))
    positions = [*range(rows - 1, chunks * rows, rows), *range(chunks * rows, end)]
    return torch.stack(found), positions


def _with_caches(
    values: Mapping[str, torch.Tensor], written: Mapping[str, torch.Tensor], names: tuple[str, ...]
) -> dict[str, torch.Tensor]:
    return {**values, **{name: written[name] for name in names}}

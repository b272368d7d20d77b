"""Rounding linears one behind the other: each by what it reads where those before it are rounded already, and to what it
would give if none were.

Let the columns of X be a linear's inputs in the float model, and of Y those behind rounded linears. Of weights V the error
||V Y - W X|| is, but for what no V changes, that of V against W X Y^T (Y Y^T)^-1 by the moments Y Y^T: that is rounded instead
of W (two_sided.py). The order is GPTQ's own (Frantar et al., 2022), the target is from GPTAQ (Li et al., 2025).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from mcu_sdk.lowering.gptq import INT8, Grouped, damped, dequantize_groups
from mcu_sdk.lowering.linears import Linears
from mcu_sdk.lowering.moments import Moments
from mcu_sdk.lowering.two_sided import quantize_rows

if TYPE_CHECKING:
    from transformers import PreTrainedModel

AT_ONCE = 8
"""Windows that are read at one time."""


@dataclass
class _Seen:
    """Of a linear's inputs: the moments Y Y^T, and (X - Y) Y^T; float64[K, K]."""

    moments: torch.Tensor
    lost: torch.Tensor

    def add(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """Inputs [..., K] in the float model, and behind what is rounded. A mixture's routing may differ between the two: then
        nothing is said of what was lost."""
        x, y = (each.reshape(-1, each.shape[-1]).double() for each in (x, y))
        self.moments += y.T @ y
        if x.shape == y.shape:
            self.lost += (x - y).T @ y


def round_in_order(
    model: PreTrainedModel, windows: torch.Tensor, steps: Mapping[str, torch.Tensor], outputs: Moments
) -> dict[str, Grouped]:
    """The integers of linears, by what they read of windows int64[n, L]. `steps`: how far apart a row's integers are at least,
    float64[N], by weight_digest; `outputs`: the moments of gradients there. A linear that the model never calls is left out. The
    model is at the end what it was."""
    linears = Linears(model, steps)
    rounded: dict[str, Grouped] = {}
    try:
        for stage, calls in _stages(linears, windows[:1]):
            seen = _see(linears, stage, windows, calls)
            for digest in stage:
                weight, moments = linears.floats[digest].double(), seen[digest].moments
                target = weight + torch.linalg.solve(damped(moments), seen[digest].lost.T @ weight.T).T
                rounded[digest] = quantize_rows(target, moments, outputs[digest], steps[digest])
                linears.use(digest, dequantize_groups(*rounded[digest], INT8))
    finally:
        linears.restore()
    return rounded


def _stages(linears: Linears, tokens: torch.Tensor) -> list[tuple[list[str], int]]:
    """The digests of linears that read one value, in the order of their first calls, and how many calls these have."""
    stages: list[tuple[list[str], int]] = []
    calls = linears.read(linears.floats, tokens)
    counts = {digest: sum(each == digest for each, _ in calls) for digest in linears.floats}
    latest = None
    done: set[str] = set()
    for digest, value in calls:
        if digest in done:
            continue
        done.add(digest)
        if value is latest:
            digests, count = stages[-1]
            stages[-1] = [*digests, digest], count + counts[digest]
        else:
            stages.append(([digest], counts[digest]))
        latest = value
    return stages


def _see(linears: Linears, stage: Sequence[str], windows: torch.Tensor, calls: int) -> dict[str, _Seen]:
    """What the linears of a stage read, in the float model and as it is now."""
    sizes = {digest: linears.floats[digest].shape[1] for digest in stage}
    seen = {digest: _Seen(*torch.zeros(2, size, size, dtype=torch.float64)) for digest, size in sizes.items()}
    for tokens in windows.split(AT_ONCE):
        now = linears.read(stage, tokens, calls)
        with linears.as_it_came():
            before = linears.read(stage, tokens, calls)
        latest: tuple[torch.Tensor, str] | None = None
        for (digest, y), (_, x) in zip(now, before, strict=True):
            if latest is not None and latest[0] is y and len(now) == len(stage):
                seen[digest] = seen[latest[1]]  # several linears read one value
            else:
                seen[digest].add(x, y)
            latest = y, digest
    return seen

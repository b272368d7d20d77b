"""How far each channel, the last axis, of a module's values goes while it is calibrated."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import GraphModule, Interpreter, Node


@dataclass(frozen=True)
class Channels:
    """Of each channel of a value, over all calls: the least and the greatest, the mean and the variance, float64[n] each."""

    low: torch.Tensor
    high: torch.Tensor
    mean: torch.Tensor
    variance: torch.Tensor

    @property
    def magnitude(self) -> torch.Tensor:
        """The greatest magnitude."""
        return torch.maximum(self.low.abs(), self.high.abs())

    @property
    def middle(self) -> torch.Tensor:
        """Halfway between the least and the greatest."""
        return (self.low + self.high) / 2

    @classmethod
    def joined(cls, parts: Sequence[Channels]) -> Channels:
        """Of several values of as many rows each."""
        if len(parts) == 1:
            return parts[0]
        lows, highs, means, variances = (
            torch.stack([getattr(part, name) for part in parts])
            for name in ("low", "high", "mean", "variance")
        )
        mean = means.mean(0)
        variance = (variances + means**2).mean(0) - mean**2
        return cls(lows.amin(0), highs.amax(0), mean, variance.clamp_min(0))


class _Sums:
    """What is known of a value while calls go on."""

    def __init__(self, channels: int) -> None:
        self.rows = 0
        self.low = torch.full((channels,), float("inf"), dtype=torch.float64)
        self.high = -self.low
        self.sum, self.squares = torch.zeros_like(self.low), torch.zeros_like(self.low)

    def add(self, rows: torch.Tensor) -> None:
        """Another call's, [rows, n]."""
        wide = rows.double()
        self.rows += len(wide)
        self.low, self.high = (
            torch.minimum(self.low, wide.amin(0)),
            torch.maximum(self.high, wide.amax(0)),
        )
        self.sum += wide.sum(0)
        self.squares += wide.square().sum(0)

    def found(self) -> Channels:
        mean = self.sum / self.rows
        return Channels(self.low, self.high, mean, (self.squares / self.rows - mean**2).clamp_min(0))


class _Observer(Interpreter):
    """Runs a module and looks at some of its values."""

    def __init__(self, module: GraphModule, wanted: Collection[str]) -> None:
        super().__init__(module)
        self._wanted = frozenset(wanted)
        self.sums: dict[str, _Sums] = {}

    def run_node(self, n: Node) -> Any:
        result = super().run_node(n)
        if n.name in self._wanted and isinstance(result, torch.Tensor) and result.dim() and result.numel():
            rows = result.detach().reshape(-1, result.shape[-1])
            if n.name not in self.sums:
                self.sums[n.name] = _Sums(rows.shape[1])
            self.sums[n.name].add(rows)
        return result

    def __call__(self, *call: torch.Tensor) -> Any:
        return self.run(*call)


def channel_ranges(
    module: GraphModule, values: Collection[Node], calibrate: Callable[[Any], None]
) -> dict[str, Channels]:
    """What is known of the channels of `values`, by their names; `calibrate` runs the module on data, and nothing in it may
    change from call to call."""
    if not values:
        return {}
    observer = _Observer(module, {node.name for node in values})
    with torch.no_grad():
        calibrate(observer)
    return {name: sums.found() for name, sums in observer.sums.items()}

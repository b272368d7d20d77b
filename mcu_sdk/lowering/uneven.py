"""Values whose int8 scale a few outliers would decide: they stay float where a sum of them is normalized.

In trained encoders some tokens have a channel of the feed-forward result that is a hundred times as large as the others.
At one scale for all of them little is left of these: of the six layers of all-MiniLM-L6-v2 that alone took the cosine of
its embeddings from 0.99 to 0.96.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch.fx import GraphModule, Interpreter, Node

LEVELS = 1 / 6
"""The largest step of an int8 scale, as a share of the greatest magnitude of the channel in the middle."""

STEPS = 255
"""Of a value's range, in int8."""


class _Magnitudes(Interpreter):
    """Runs a module and notes the greatest magnitude of each channel, the last axis, of some of its values."""

    def __init__(self, module: GraphModule, wanted: Collection[str]) -> None:
        super().__init__(module)
        self._wanted = frozenset(wanted)
        self.found: dict[str, torch.Tensor] = {}

    def run_node(self, n: Node) -> Any:
        result = super().run_node(n)
        if n.name in self._wanted and isinstance(result, torch.Tensor) and result.dim():
            channels = result.detach().abs().reshape(-1, result.shape[-1]).amax(0)
            before = self.found.get(n.name)
            self.found[n.name] = channels if before is None else torch.maximum(before, channels)
        return result

    def __call__(self, *call: torch.Tensor) -> Any:
        return self.run(*call)


def channel_magnitudes(
    module: GraphModule, values: Collection[Node], calibrate: Callable[[Any], None]
) -> dict[str, torch.Tensor]:
    """The greatest magnitude of each channel of `values`, by their names; `calibrate` runs the module on data, and nothing
    in it may change from call to call."""
    if not values:
        return {}
    magnitudes = _Magnitudes(module, {node.name for node in values})
    with torch.no_grad():
        calibrate(magnitudes)
    return magnitudes.found


def uneven_values(values: Collection[Node], magnitudes: Mapping[str, torch.Tensor]) -> frozenset[str]:
    """The names of those of `values` of which one int8 scale for all channels keeps too little."""
    return frozenset(node.name for node in values if is_uneven(magnitudes[node.name]))


def is_uneven(channels: torch.Tensor) -> bool:
    """Whether the step of a scale that holds the greatest of these magnitudes is large beside the one in the middle."""
    return bool(2 * channels.max() / STEPS > LEVELS * channels.median())

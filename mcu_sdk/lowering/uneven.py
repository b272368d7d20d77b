"""Values whose int8 scale a few outliers would decide: they stay float where a sum of them is normalized, unless channels get
scales of their own (equalize.py).

In trained encoders some tokens have a channel of the feed-forward result that is a hundred times as large as the others.
At one scale for all of them little is left of these: of the six layers of all-MiniLM-L6-v2 that alone took the cosine of
its embeddings from 0.99 to 0.96.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch.fx import Node

LEVELS = 1 / 6
"""The largest step of an int8 scale, as a share of the greatest magnitude of the channel in the middle."""

STEPS = 255
"""Of a value's range, in int8."""


def uneven_values(values: Collection[Node], magnitudes: Mapping[str, torch.Tensor]) -> frozenset[str]:
    """The names of those of `values` of which one int8 scale for all channels keeps too little."""
    return frozenset(node.name for node in values if is_uneven(magnitudes[node.name]))


def is_uneven(channels: torch.Tensor) -> bool:
    """Whether the step of a scale that holds the greatest of these magnitudes is large beside the one in the middle."""
    return bool(2 * channels.max() / STEPS > LEVELS * channels.median())

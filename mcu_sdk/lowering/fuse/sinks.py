"""Attention sinks: for each head a learned score that takes its share of the softmax and has no value, as models spell it.

One way is another column of the scores, which is dropped behind the softmax (GPT-OSS); another one multiplies what attention
gives by sigmoid(logsumexp(scores) - sink) (Granite), which is the same: sum e^s / (sum e^s + e^sink).
"""

from __future__ import annotations

import operator
from dataclasses import dataclass

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from mcu_sdk.lowering.fuse.graph import (
    SAME_BYTES,
    args,
    aten,
    behind,
    depends_only_on,
    either_order,
    evaluate,
    is_call,
    shape_of,
)

LOOKED_THROUGH = (
    *SAME_BYTES,
    aten._to_copy.default,
    aten.to.dtype,
    aten.type_as.default,
    aten.dropout.default,
    aten.expand.default,
)

_SOFTMAX = (aten.softmax.int, aten._softmax.default)


@dataclass(frozen=True)
class Sinks:
    """`scores`: those of the positions; `values`: float32[heads]."""

    scores: Node
    values: torch.Tensor


def looked_through(node: object) -> object:
    """What has the same values, before it was copied, viewed or expanded."""
    return behind(node, *LOOKED_THROUGH)


def read_dropped_sinks(program: ExportedProgram, weights: object) -> tuple[object, Sinks | None]:
    """softmax(cat([scores, sinks]))[..., :-1] -> the softmax, and its sinks; anything else as it is."""
    if not is_call(weights, aten.slice.Tensor):
        return weights, None
    source, *bounds = args(weights)
    softmax = looked_through(source)
    if not is_call(softmax, *_SOFTMAX) or not isinstance(source, Node):
        return weights, None
    axis, length = len(shape_of(source)) - 1, shape_of(source)[-1]
    joined = _without_shift(looked_through(args(softmax)[0]))
    first, last = bounds[0] % (axis + 1), bounds[2] if len(bounds) > 2 else None
    if (
        first != axis
        or bounds[1] not in (0, None)
        or last not in (-1, length - 1)
        or bounds[3:] not in ([], [1])
    ):
        return weights, None
    if not is_call(joined, aten.cat.default) or len(args(joined)[0]) != 2:
        return weights, None
    scores, column = args(joined)[0]
    values = _of_heads(program, column)
    if (args(joined)[1:] or [0])[0] % (axis + 1) != axis or values is None or shape_of(column)[-1] != 1:
        return weights, None
    return softmax, Sinks(scores, values)


def _without_shift(node: object) -> object:
    """x of x - max(x), which a softmax does not see."""
    if not is_call(node, aten.sub.Tensor) or node.kwargs.get("alpha", 1) != 1:
        return node
    x, greatest = args(node)[:2]
    if is_call(greatest, operator.getitem) and args(greatest)[1] == 0:
        greatest = args(greatest)[0]
    if is_call(greatest, aten.max.dim, aten.amax.default) and args(greatest)[0] is x:
        axes = args(greatest)[1]
        axes = [axes] if isinstance(axes, int) else list(axes)
        if [axis % len(shape_of(x)) for axis in axes] == [len(shape_of(x)) - 1]:
            return looked_through(x)
    return node


def read_scaled_by_sinks(program: ExportedProgram, node: object) -> tuple[Node, Sinks] | None:
    """attention * sigmoid(logsumexp(scores) - sinks) -> the attention, and its sinks; None for anything else."""
    if not is_call(node, aten.mul.Tensor):
        return None
    for attention, factor in either_order(node):
        gate = _unsqueezed(factor)
        if not is_call(gate, aten.sigmoid.default):
            continue
        difference = looked_through(args(gate)[0])
        if not is_call(difference, aten.sub.Tensor) or difference.kwargs.get("alpha", 1) != 1:
            continue
        total, column = args(difference)[:2]
        total = looked_through(total)
        if not is_call(total, aten.logsumexp.default) or shape_of(difference)[-1] != 1:
            continue
        scores, axes = looked_through(args(total)[0]), args(total)[1]
        values = _of_heads(program, column)
        source = looked_through(attention)
        if not isinstance(scores, Node) or not isinstance(source, Node) or values is None:
            continue
        if [axis % len(shape_of(scores)) for axis in axes] == [len(shape_of(scores)) - 1]:
            return source, Sinks(scores, values)
    return None


def _unsqueezed(node: object) -> object:
    while is_call(node, *LOOKED_THROUGH, aten.unsqueeze.default):
        node = args(node)[0]
    return node


def _of_heads(program: ExportedProgram, node: object) -> torch.Tensor | None:
    """A constant of one row of the scores' heads, float32[heads]; None for anything else."""
    if not isinstance(node, Node) or node not in depends_only_on(program, ()):
        return None
    values = evaluate(program, node, {}).float()
    return values.reshape(-1) if values.numel() == max(values.shape) else None

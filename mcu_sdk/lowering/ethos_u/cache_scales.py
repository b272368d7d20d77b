"""The scales of a cache in the weights that make its rows, so that the NPU does not multiply by them.

A step divides keys and values by their scales and multiplies queries by the keys'. Where a linear gives them, its rows do this
as well. Between a query's or a key's linear and its product may be a rotation, of two channels each: they get one scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch.fx import Node

import mcu_sdk.operators.reference  # noqa: F401  registers torch.ops.mcu
from mcu_sdk.lowering.ethos_u.levels import Scales
from mcu_sdk.lowering.ethos_u.step import NpuStep
from mcu_sdk.lowering.fuse.graph import SAME_BYTES, args, aten, is_call, shape_of
from mcu_sdk.lowering.moments import weight_digest

rope = torch.ops.mcu.rope.default


def fold_cache_scales(step: NpuStep, scales: Scales) -> Scales:
    """Let the step's linears give rows of its caches as they are kept, in place, where they can. `scales`: those of the rows
    of rounded weights, by weight_digest; returns them for the weights as they are now."""
    for index, attention in enumerate(step.attentions):
        query, keys, values = (
            _linear(step, node) for node in (attention.query, attention.keys, attention.values)
        )
        if query is not None and keys is not None and query.rotated == keys.rotated:
            key_scale = _of_pairs(attention.key_scale) if keys.rotated else attention.key_scale
            attention = replace(attention, key_scale=key_scale, keys_are_scaled=True)
            queries = attention.heads // attention.kv_heads
            wanted = (key_scale * attention.scale).repeat_interleave(queries, 0)
            scales = _multiply(step, query.parameters, wanted, scales)
            scales = _multiply(step, keys.parameters, 1 / key_scale, scales)
        if values is not None and not values.rotated:
            attention = replace(attention, values_are_scaled=True)
            scales = _multiply(step, values.parameters, 1 / attention.value_scale, scales)
        step.replace_attention(index, attention)
    return scales


@dataclass(frozen=True)
class _Linear:
    """Names of the weight's and the bias' buffers, and whether what the linear gives is rotated."""

    parameters: tuple[str, ...]
    rotated: bool


def _linear(step: NpuStep, rows: Node) -> _Linear | None:
    """The linear that alone gives rows [1, heads, 1, D], head by head, for nothing else; None if something else does."""
    size = shape_of(rows)[-1]
    node, rotated = _before_heads(rows), False
    if is_call(node, rope) and len(node.users) == 1:
        if 2 * shape_of(args(node)[1])[-1] != size:  # a part of the channels
            return None
        node, rotated = _before_heads(args(node)[0]), True
    if not is_call(node, aten.linear.default) or len(node.users) != 1:
        return None
    parameters = [parameter for parameter in args(node)[1:] if parameter is not None]
    names = [step.buffer_of(parameter) for parameter in parameters if len(parameter.users) == 1]
    found = tuple(name for name in names if name is not None)
    return _Linear(found, rotated) if len(found) == len(parameters) else None


def _before_heads(node: Node) -> Node:
    """Before views and the turn that divides channels by heads: of one row they change the order of nothing."""
    while len(node.users) == 1 and (is_call(node, *SAME_BYTES) or _turns_heads(node)):
        node = args(node)[0]
    return node


def _turns_heads(node: Node) -> bool:
    return is_call(node, aten.transpose.int) and set(args(node)[1:]) == {1, 2} and len(shape_of(node)) == 4


def _of_pairs(scale: torch.Tensor) -> torch.Tensor:
    """The greater one of the channels d and d + D / 2 of [heads, D] for both."""
    first, second = scale.chunk(2, -1)
    greater = torch.maximum(first, second)
    return torch.cat([greater, greater], -1)


def _multiply(step: NpuStep, parameters: Sequence[str], rows: torch.Tensor, scales: Scales) -> Scales:
    """Multiply the rows of a linear's parameters by factors [heads, D]."""
    factors = rows.flatten().float()
    for name in parameters:
        old = step.get_buffer(name)
        new = old * (factors[:, None] if old.dim() == 2 else factors)
        step.register_buffer(name, new)
        digest = weight_digest(old) if old.dim() == 2 else ""
        if digest in scales:
            scales = {**scales, weight_digest(new): scales[digest] * factors}
            del scales[digest]
    return scales

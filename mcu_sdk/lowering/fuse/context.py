"""Sums of values weighted by a softmax of scores that no query has a part in (MobileViTv2's one context for all positions)
-> attention of one query of one channel, a one, whose keys are the scores."""

from __future__ import annotations

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from mcu_sdk.lowering.fuse.graph import add_buffer, args, aten, either_order, is_call, shape_of
from mcu_sdk.lowering.fuse.new_node import call_before


def fuse_contexts(program: ExportedProgram) -> int:
    """sum(x[1, C, P, L] * softmax(scores[1, 1, P, L], -1), -1), rewritten in place; returns how many there were."""
    count = 0
    for node in list(program.graph.nodes):
        found = _values_and_scores(node)
        if found is not None:
            _attend(program, node, *found)
            count += 1
    return count


def _values_and_scores(node: Node) -> tuple[Node, Node] | None:
    """(x, scores) of such a sum."""
    if not is_call(node, aten.sum.dim_IntList) or node.kwargs or args(node)[1] not in ([-1], [3]):
        return None
    product = args(node)[0]
    if not is_call(product, aten.mul.Tensor) or len(shape_of(product)) != 4 or shape_of(product)[0] != 1:
        return None
    for x, shares in either_order(product):
        while is_call(shares, aten.dropout.default):
            shares = args(shares)[0]
        if not is_call(shares, aten.softmax.int, aten._softmax.default) or not isinstance(x, Node):
            continue
        one_for_all = shape_of(shares) == (1, 1, *shape_of(x)[2:]) and shape_of(x) == shape_of(product)
        if one_for_all and args(shares)[1] in (-1, 3):
            return x, args(shares)[0]
    return None


def _attend(program: ExportedProgram, node: Node, x: Node, scores: Node) -> None:
    graph = program.graph
    parts, length = shape_of(x)[2:]
    query = add_buffer(program, "context_query", torch.ones(parts, 1, 1, 1))
    keys = call_before(graph, node, aten.reshape.default, scores, [parts, 1, length, 1])
    values = call_before(graph, node, aten.permute.default, x, [2, 0, 3, 1])
    target = aten.scaled_dot_product_attention.default
    out = call_before(graph, node, target, query, keys, values, scale=1.0)
    result = call_before(graph, node, aten.permute.default, out, [1, 3, 0, 2])
    if shape_of(result) != shape_of(node):
        result = call_before(graph, node, aten.reshape.default, result, list(shape_of(node)))
    node.replace_all_uses_with(result)

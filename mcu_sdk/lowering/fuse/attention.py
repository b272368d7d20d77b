"""Attention over a whole sequence as models spell it out -> scaled_dot_product_attention, the one form that later passes know.

softmax(q k^T scale + bias + mask) v, with the products of all heads at once. What is added has to be understood
(masks.py); a bias that is computed from the queries, as DeBERTa's, is not, and such attention stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Graph, Node

from mcu_sdk.lowering.fuse.graph import (
    SAME_BYTES,
    args,
    aten,
    constant_scalar,
    depends_only_on,
    either_order,
    is_call,
    shape_of,
)
from mcu_sdk.lowering.fuse.masks import read_mask


@dataclass(frozen=True)
class _Scores:
    product: Node  # matmul(q, k^T)
    scale: float
    added: tuple[Node, ...]


def fuse_attention(program: ExportedProgram) -> int:
    """Rewrite in place; returns how many there were."""
    count = 0
    for node in list(program.graph.nodes):
        if not is_call(node, aten.matmul.default) or len(shape_of(node)) != 4:
            continue
        weights, values = args(node)
        scores = _scores_behind(program, weights)
        if scores is None or not isinstance(values, Node):
            continue
        query, keys = args(scores.product)
        if not _is_one_attention(query, keys, values):
            continue
        mask = _sum_of(program.graph, node, scores.added)
        lengths = shape_of(query)[2], shape_of(keys)[3]
        if mask is not None and not _is_understood(program, mask, shape_of(query)[0], lengths):
            continue
        _attend(program.graph, node, query, keys, values, mask, scores.scale)
        count += 1
    return count


def _scores_behind(program: ExportedProgram, weights: object) -> _Scores | None:
    """What a softmax over the last axis reads, dropout looked through: a scaled product and what is added to it."""
    while is_call(weights, aten.dropout.default):
        weights = args(weights)[0]
    if not is_call(weights, aten.softmax.int, aten._softmax.default):
        return None
    if args(weights)[1] not in (-1, 3):
        return None
    return _terms(program, args(weights)[0], 1.0)


def _terms(program: ExportedProgram, node: object, scale: float) -> _Scores | None:
    if is_call(node, aten.matmul.default):
        return _Scores(node, scale, ())
    if is_call(node, aten.mul.Tensor, aten.div.Tensor):
        sides = either_order(node) if node.target == aten.mul.Tensor else [args(node)[:2]]
        for part, factor in sides:
            number = constant_scalar(program, factor)
            if number:
                inner = _terms(
                    program, part, scale * number if node.target == aten.mul.Tensor else scale / number
                )
                if inner is not None and not inner.added:  # what is added would be scaled, too
                    return inner
    if is_call(node, aten.add.Tensor) and node.kwargs.get("alpha", 1) == 1 and scale == 1.0:
        for part, other in either_order(node):
            inner = _terms(program, part, scale)
            if inner is not None and isinstance(other, Node) and len(shape_of(other)) == 4:
                return _Scores(inner.product, inner.scale, (*inner.added, other))
    return None


def _is_one_attention(query: object, keys: object, values: Node) -> bool:
    """q[B, H, Lq, n], k^T[B, H, n, Lk], v[B, H, Lk, n]."""
    if not (isinstance(query, Node) and isinstance(keys, Node)):
        return False
    shapes = shape_of(query), shape_of(keys), shape_of(values)
    if any(len(shape) != 4 for shape in shapes):
        return False
    (sequences, heads, _, n), turned, third = shapes
    return turned[:3] == (sequences, heads, n) and third == (sequences, heads, turned[3], n)


def _is_understood(program: ExportedProgram, mask: Node, sequences: int, lengths: tuple[int, int]) -> bool:
    """Whether quantization will find a mask that it knows; for several sequences, a constant."""
    if sequences > 1:
        return mask in depends_only_on(program, ())
    return read_mask(program, mask, lengths) is not None


def read_uncopied(program: ExportedProgram) -> None:
    """Let attention read turned queries, keys and values themselves, not copies of them in their new order, in place."""
    for node in list(program.graph.nodes):
        if not is_call(node, aten.scaled_dot_product_attention.default):
            continue
        for copy in args(node)[:3]:
            if is_call(copy, aten.clone.default):
                node.replace_input_with(copy, args(copy)[0])
                if not copy.users:
                    program.graph.erase_node(copy)


def scale_by_number(program: ExportedProgram) -> None:
    """attention(q * c) -> attention(q) with c in its scale, in place, where nothing else reads the product."""
    for node in list(program.graph.nodes):
        if not is_call(node, aten.scaled_dot_product_attention.default):
            continue
        product = args(node)[0]
        while (
            is_call(product, *SAME_BYTES, aten.transpose.int, aten.permute.default)
            and len(product.users) == 1
        ):
            product = args(product)[0]
        if not is_call(product, aten.mul.Tensor) or len(product.users) != 1:
            continue
        for x, factor in either_order(product):
            number = constant_scalar(program, factor)
            if number and isinstance(x, Node) and shape_of(x) == shape_of(product):
                scale: Any = node.kwargs.get("scale")
                usual = shape_of(args(node)[0])[3] ** -0.5
                node.kwargs = {**node.kwargs, "scale": (usual if scale is None else float(scale)) * number}
                product.replace_all_uses_with(x)
                break


def _sum_of(graph: Graph, before: Node, terms: tuple[Node, ...]) -> Node | None:
    """The terms in one node, the first to be added first."""
    if not terms:
        return None
    total, *rest = terms
    with graph.inserting_before(before):
        for term in rest:
            added = graph.call_function(aten.add.Tensor, (total, term))
            added.meta = {"val": torch.add(total.meta["val"], term.meta["val"])}
            total = added
    return total


def _attend(
    graph: Graph, node: Node, query: Node, keys: Node, values: Node, mask: Node | None, scale: float
) -> None:
    with graph.inserting_before(node):
        straight = _turned_back(graph, keys)
        new = graph.call_function(
            aten.scaled_dot_product_attention.default, (query, straight, values, mask), {"scale": scale}
        )
    new.meta = dict(node.meta)
    node.replace_all_uses_with(new)
    graph.erase_node(node)


def _turned_back(graph: Graph, keys: Node) -> Node:
    """k[1, H, Lk, n] of k^T: what was turned, or, turned once from where it came, or turned again."""
    last_two = is_call(keys, aten.transpose.int) and {axis % 4 for axis in args(keys)[1:3]} == {2, 3}
    if last_two or (is_call(keys, aten.permute.default) and [a % 4 for a in args(keys)[1]] == [0, 1, 3, 2]):
        source = args(keys)[0]
        assert isinstance(source, Node)
        return source
    x, order = keys, [0, 1, 3, 2]
    if is_call(keys, aten.permute.default):
        x = args(keys)[0]
        order = [args(keys)[1][axis] % 4 for axis in order]
    node: Node = graph.call_function(aten.permute.default, (x, order))
    node.meta = {**keys.meta, "val": x.meta["val"].permute(order)}
    return node

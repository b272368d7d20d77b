"""Attention over a whole sequence as models spell it out -> scaled_dot_product_attention, the one form that later passes know.

softmax(q k^T scale + bias + mask) v, with the products of all heads at once. What is added has to be understood
(masks.py); a bias that is computed from the queries, as DeBERTa's, is not, and such attention stays as it is. Of values
with more axes than four, as Hiera's windows have, those that end up beside the channels are heads, the others sequences.
A bias that each query multiplies by a number of its own, as WavLM's, stays a product with those numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Graph, Node

from mcu_sdk.lowering.fuse.graph import (
    MOVES,
    SAME_BYTES,
    TURNS,
    add_buffer,
    args,
    aten,
    axes_of_turn,
    behind,
    constant_scalar,
    depends_only_on,
    either_order,
    evaluate,
    is_call,
    is_turn,
    shape_of,
)
from mcu_sdk.lowering.fuse.masks import HARDLY_VISIBLE, read_mask
from mcu_sdk.lowering.fuse.new_node import call_before


@dataclass(frozen=True)
class _Scores:
    product: Node  # matmul(q, k^T), or baddbmm(added, q, k^T)
    scale: float
    added: tuple[Node, ...]


def fuse_attention(program: ExportedProgram) -> int:
    """Rewrite in place; returns how many there were."""
    count = 0
    for node in list(program.graph.nodes):
        if not is_call(node, aten.matmul.default, aten.bmm.default) or len(shape_of(node)) < 3:
            continue
        weights, values = args(node)
        scores = _scores_behind(program, weights)
        if scores is None or not isinstance(values, Node):
            continue
        query, keys = args(scores.product)[-2:]
        if not _is_one_attention(query, keys, values):
            continue
        if len(shape_of(node)) > 4:
            if not scores.added:
                _attend_with_more_axes(program.graph, node, query, keys, values, scores.scale)
                count += 1
            continue
        if len(shape_of(node)) == 3:
            query, keys, values = (_with_a_sequence(program.graph, node, x) for x in (query, keys, values))
        mask = _sum_of(program.graph, node, scores.added)
        lengths = shape_of(query)[2], shape_of(keys)[3]
        if (
            mask is not None
            and not _fold_gated(program, mask)
            and not _is_understood(program, mask, shape_of(query)[0], lengths)
        ):
            continue
        _attend(program.graph, node, query, keys, values, mask, scores.scale)
        count += 1
    program.graph.eliminate_dead_code()
    return count


def _scores_behind(program: ExportedProgram, weights: object) -> _Scores | None:
    """What a softmax over the last axis reads, dropout looked through: a scaled product and what is added to it."""
    while is_call(weights, aten.dropout.default):
        weights = args(weights)[0]
    if not is_call(weights, aten.softmax.int, aten._softmax.default):
        return None
    if args(weights)[1] not in (-1, len(shape_of(weights)) - 1):
        return None
    return _terms(program, args(weights)[0], 1.0)


def _terms(program: ExportedProgram, node: object, scale: float) -> _Scores | None:
    if is_call(node, aten.matmul.default, aten.bmm.default):
        return _Scores(node, scale, ())
    if is_call(node, aten.baddbmm.default) and not node.kwargs and scale == 1.0:
        return _Scores(node, scale, (args(node)[0],))
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
    if is_call(node, aten.masked_fill.Scalar) and scale == 1.0 and _hides(args(node)[2]):
        inner = _terms(program, args(node)[0], scale)
        return (
            None
            if inner is None
            else _Scores(inner.product, inner.scale, (*inner.added, _hidden(program, node)))
        )
    if is_call(node, aten.add.Tensor) and node.kwargs.get("alpha", 1) == 1 and scale == 1.0:
        for part, other in either_order(node):
            inner = _terms(program, part, scale)
            if inner is not None and isinstance(other, Node) and len(shape_of(other)) in (3, 4):
                return _Scores(inner.product, inner.scale, (*inner.added, other))
    return None


def _hides(value: object) -> bool:
    return isinstance(value, (int, float)) and value < HARDLY_VISIBLE


def _hidden(program: ExportedProgram, fill: Node) -> Node:
    """What is added in the place of masked_fill(scores, mask, value): the value where the mask is, and zeros."""
    zeros = call_before(program.graph, fill, aten.full.default, list(shape_of(fill)), 0.0)
    return call_before(program.graph, fill, aten.masked_fill.Scalar, zeros, *args(fill)[1:])


def _is_one_attention(query: object, keys: object, values: Node) -> bool:
    """q[B, H, Lq, n], k^T[B, H, n, Lk], v[B, H, Lk, m], or with more axes in front."""
    if not (isinstance(query, Node) and isinstance(keys, Node)):
        return False
    shapes = shape_of(query), shape_of(keys), shape_of(values)
    if len({len(shape) for shape in shapes}) > 1 or len(shapes[0]) < 3:
        return False
    (*before, _, n), turned, third = shapes
    return turned[:-1] == (*before, n) and third[:-1] == (*before, turned[-1])


def _with_a_sequence(graph: Graph, place: Node, value: Node) -> Node:
    """[1, H, ...] of [H, ...]."""
    return call_before(graph, place, aten.reshape.default, value, [1, *shape_of(value)])


def _fold_gated(program: ExportedProgram, mask: Node) -> bool:
    """Whether a mask is gated (gate_and_table), its table being made one constant."""
    constant = depends_only_on(program, ())
    mask = behind(mask, *SAME_BYTES)
    if is_call(mask, aten.mul.Tensor):
        for table, gate in either_order(mask):
            if (
                is_call(table, *MOVES, aten.repeat.default, aten.expand.default)
                and table in constant
                and gate not in constant
            ):
                value = evaluate(program, table, {}).detach().clone().contiguous()
                mask.replace_input_with(table, add_buffer(program, "gated_bias", value))
    return gate_and_table(mask) is not None


def gate_and_table(mask: object) -> tuple[Node, Node] | None:
    """Of what is added to scores [1, H, Lq, Lk], where it is a number of each query and head times a constant, in any view:
    the numbers [..., H or 1, Lq, 1] and the constant [..., H or 1, Lq, Lk]. None of anything else."""
    mask = behind(mask, *SAME_BYTES)
    if not is_call(mask, aten.mul.Tensor) or not all(isinstance(value, Node) for value in args(mask)[:2]):
        return None
    *heads, queries, positions = shape_of(mask)
    for gate, table in either_order(mask):
        ends = shape_of(gate)[-2:] == (queries, 1) and shape_of(table)[-2:] == (queries, positions)
        counts = {math.prod(shape_of(value)[:-2]) for value in (gate, table)}
        constant = table.op in ("placeholder", "get_attr") and gate.op == "call_function"
        if ends and counts <= {1, math.prod(heads)} and constant:
            return gate, table
    return None


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


def drop_padding(program: ExportedProgram) -> None:
    """attention(pad(q), pad(k), pad(v))[..., :n] -> attention(q, k, v), in place, where heads are padded with zeros."""
    for node in list(program.graph.nodes):
        if not is_call(node, aten.scaled_dot_product_attention.default):
            continue
        sources = [_before_padding(value) for value in args(node)[:3]]
        width, n = shape_of(args(node)[0])[-1], shape_of(sources[0])[-1] if sources[0] is not None else 0
        if any(source is None or shape_of(source)[-1] != n for source in sources):
            continue
        if not _takes_channels(node, n):
            continue
        with program.graph.inserting_before(node):
            new = program.graph.call_function(
                aten.scaled_dot_product_attention.default,
                (*sources, *args(node)[3:]),
                {"scale": width**-0.5, **node.kwargs},
            )
        new.meta = {**node.meta, "val": node.meta["val"][..., :n].contiguous()}
        _follow(program.graph, node, new)
        _erase(program.graph, node)
    program.graph.eliminate_dead_code()


def _erase(graph: Graph, node: Node) -> None:
    """Erase a node and what reads it, which nothing else does. An attention is none that dead code's elimination takes:
    it could be random."""
    for user in list(node.users):
        _erase(graph, user)
    graph.erase_node(node)


def _follow(graph: Graph, node: Node, narrow: Node) -> None:
    """Give the users of `node`, of which _takes_channels holds, what is `narrow` instead."""
    for user in list(node.users):
        if is_call(user, aten.slice.Tensor):
            user.replace_all_uses_with(narrow)
        elif is_call(user, *_VIEWS):
            shape = [*shape_of(user)[:-1], shape_of(narrow)[-1]]
            _follow(graph, user, call_before(graph, user, aten.reshape.default, narrow, shape))
        else:
            moved = call_before(graph, user, user.target, narrow, *args(user)[1:], **user.kwargs)
            _follow(graph, user, moved)


def _before_padding(value: object) -> Node | None:
    """What has zeros behind its last axis; None for anything else."""
    if not is_call(value, aten.pad.default, aten.constant_pad_nd.default):
        return None
    amounts, rest = list(args(value)[1]), [*args(value)[2:], *value.kwargs.values()]
    only_last = amounts[0] == 0 and amounts[1] > 0 and not any(amounts[2:])
    source = args(value)[0]
    zeros = all(each in (0, None, "constant") for each in rest)
    return source if only_last and zeros and isinstance(source, Node) else None


_VIEWS = (aten.view.default, aten.reshape.default)


def _takes_channels(node: Node, n: int) -> bool:
    """Whether every use of [B, H, L, ...], axes turned or seen as others but for the last, takes the first n channels."""
    rank = len(shape_of(node))
    return bool(node.users) and all(
        _takes_channels(user, n)
        if is_call(user, *TURNS, aten.clone.default)
        or (is_call(user, *_VIEWS) and shape_of(user)[-1] == shape_of(node)[-1])
        else is_call(user, aten.slice.Tensor)
        and args(user)[1] % rank == rank - 1
        and shape_of(user)[-1] == n
        and args(user)[2] in (0, None)
        for user in node.users
    )


def scale_by_number(program: ExportedProgram) -> None:
    """attention(q * c, k / d) -> attention(q, k) with c / d in its scale, in place, where nothing else reads the products."""
    for node in list(program.graph.nodes):
        if is_call(node, aten.scaled_dot_product_attention.default):
            for value in args(node)[:2]:
                _take_factor(program, node, value)


def _take_factor(program: ExportedProgram, node: Node, product: Node) -> None:
    while is_call(product, *MOVES) and len(product.users) == 1:
        product = args(product)[0]
    if not is_call(product, aten.mul.Tensor, aten.div.Tensor) or len(product.users) != 1:
        return
    divides = is_call(product, aten.div.Tensor)
    for x, factor in [args(product)[:2]] if divides else either_order(product):
        number = constant_scalar(program, factor)
        if number and isinstance(x, Node) and shape_of(x) == shape_of(product):
            scale: Any = node.kwargs.get("scale")
            usual = shape_of(args(node)[0])[3] ** -0.5
            whole = usual if scale is None else float(scale)
            node.kwargs = {**node.kwargs, "scale": whole / number if divides else whole * number}
            product.replace_all_uses_with(x)
            return


def _sum_of(graph: Graph, before: Node, terms: tuple[Node, ...]) -> Node | None:
    """The terms, of four axes each, in one node, the first to be added first."""
    if not terms:
        return None
    total, *rest = (
        term
        if len(shape_of(term)) == 4
        else call_before(graph, before, aten.view.default, term, [1, *shape_of(term)])
        for term in terms
    )
    with graph.inserting_before(before):
        for term in rest:
            added = graph.call_function(aten.add.Tensor, (total, term))
            added.meta = {"val": torch.add(total.meta["val"], term.meta["val"])}
            total = added
    return total


def _attend_with_more_axes(
    graph: Graph, node: Node, query: Node, keys: Node, values: Node, scale: float
) -> None:
    """The same of q[..., Lq, n], k^T[..., n, Lk] and v[..., Lk, m] with more than two axes in front."""
    rank = len(shape_of(node))
    order = _order_behind(node)
    place = order.index(rank - 2)
    axes = [*order[:place], *order[place + 1 :], rank - 2, rank - 1]
    sequences = math.prod(shape_of(node)[axis] for axis in order[:place])
    turned_keys = [*range(rank - 2), rank - 1, rank - 2]
    four = []
    for value, way in ((query, axes), (keys, [turned_keys[axis] for axis in axes]), (values, axes)):
        moved = call_before(graph, node, aten.permute.default, value, way)
        shape = [sequences, -1, *shape_of(moved)[-2:]]
        four.append(call_before(graph, node, aten.reshape.default, moved, shape))
    out = call_before(graph, node, aten.scaled_dot_product_attention.default, *four, scale=scale)
    shape = [*(shape_of(node)[axis] for axis in axes[:-1]), shape_of(values)[-1]]
    apart = call_before(graph, node, aten.reshape.default, out, shape)
    back = [axes.index(axis) for axis in range(rank)]
    result = call_before(graph, node, aten.permute.default, apart, back)
    node.replace_all_uses_with(result)
    graph.erase_node(node)


def _order_behind(node: Node) -> list[int]:
    """The order of a value's axes but the last, from the outermost on, once the moves behind it have turned them."""
    shape = shape_of(node)
    numbers = torch.arange(math.prod(shape)).reshape(shape)
    last = node
    while len(last.users) == 1 and is_call(next(iter(last.users)), *MOVES):
        (last,) = last.users
        numbers = (
            numbers.permute(axes_of_turn(last)) if is_call(last, *TURNS) else numbers.reshape(shape_of(last))
        )
    places = numbers.flatten().argsort()
    far = [0] * (len(shape) - 1)
    for axis in range(len(far)):
        far[axis] = int(places[math.prod(shape[axis + 1 :])]) if shape[axis] > 1 else len(places)
    return sorted(range(len(far)), key=lambda axis: -far[axis])


def _attend(
    graph: Graph, node: Node, query: Node, keys: Node, values: Node, mask: Node | None, scale: float
) -> None:
    with graph.inserting_before(node):
        straight = _turned_back(graph, keys)
        new = graph.call_function(
            aten.scaled_dot_product_attention.default, (query, straight, values, mask), {"scale": scale}
        )
        new.meta = {
            **node.meta,
            "val": node.meta["val"].new_empty((*shape_of(query)[:3], shape_of(values)[3])),
        }
    result = new
    if shape_of(new) != shape_of(node):
        result = call_before(graph, node, aten.reshape.default, new, list(shape_of(node)))
    node.replace_all_uses_with(result)
    graph.erase_node(node)


def _turned_back(graph: Graph, keys: Node) -> Node:
    """k[1, H, Lk, n] of k^T: what was turned, or, turned once from where it came, or turned again."""
    if is_turn(keys, 0, 1, 3, 2):
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

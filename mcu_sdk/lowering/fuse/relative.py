"""Attention whose scores have parts for each pair that are computed from the query, or the key, and their distance
(DeBERTa's; Transformer-XL's, as Conformers have it) -> one call, read by what it computes.

The scores are computed for a one in each channel of the queries, and of the keys: what they are a product with is a
table, if it depends on the distance alone. Scores of nothing but the distance are a product of that table with a constant,
which is added to the queries. Random queries, keys and paddings then have to give the same shares.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from mcu_sdk.lowering.fuse.graph import (
    SAME_BYTES,
    TURNS,
    add_buffer,
    args,
    aten,
    behind,
    constant_value,
    depends_only_on,
    either_order,
    evaluate,
    is_call,
    is_constant,
    is_turn,
    shape_of,
)
from mcu_sdk.lowering.fuse.masks import padding_behind, probes
from mcu_sdk.lowering.fuse.new_node import call_before

ATTENTION = aten.scaled_dot_product_attention.default

MOST_STEPS = 200
"""Calls between a softmax and the products that it is of."""

CLOSE = 1e-4
"""Of shares, which are at most 1."""


@torch.library.custom_op("mcu_fused::relative_attention", mutates_args=())
def relative_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    padding: torch.Tensor | None,
    key_table: torch.Tensor | None,
    query_table: torch.Tensor | None,
    scale: float,
) -> torch.Tensor:
    """softmax(q k scale + q K[d] + k Q[d]) v in float, d = L - 1 - i + j: q, k, v [1, H, L, n], tables [H, 2 L - 1, n],
    padding [1, L]; a query that is padding looks at all keys alike. Quantization takes its place, or spells it out."""
    return spelt_out(q, k, v, padding, key_table, query_table, scale)


@relative_attention.register_fake
def _like(q: torch.Tensor, *rest: object) -> torch.Tensor:
    return q.new_empty(q.shape)


def spelt_out(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    padding: torch.Tensor | None,
    key_table: torch.Tensor | None,
    query_table: torch.Tensor | None,
    scale: float,
) -> torch.Tensor:
    """The same in operators that have kernels of their own."""
    length = q.shape[2]
    places = length - 1 - torch.arange(length)[:, None] + torch.arange(length)
    scores = torch.matmul(q, k.transpose(2, 3)) * scale
    if key_table is not None:
        pairs = torch.matmul(q, key_table.transpose(1, 2)[None])
        scores = scores + torch.gather(pairs, 3, places.expand(scores.shape))
    if query_table is not None:
        pairs = torch.matmul(k, query_table.transpose(1, 2)[None])
        scores = scores + torch.gather(pairs, 3, places.t().expand(scores.shape)).transpose(2, 3)
    if padding is not None:
        counts = padding != 0
        both = counts[:, None, None, :] & counts[:, None, :, None]
        scores = torch.where(both, scores, torch.finfo(torch.float32).min)
    return torch.matmul(torch.softmax(scores, -1), v)


@dataclass(frozen=True)
class _Parts:
    """The nodes of one: what is added up to scores before the softmax, [1, H, L, L] or [H, L, L], of q, k, v, [1, H, L, n] or
    [H, L, n]. `product`: of a call for attention, what it multiplies with the keys, and by how much."""

    scores: Node
    query: Node
    key: Node
    value: Node
    product: tuple[Node, float] | None = None

    @property
    def computed(self) -> tuple[Node, ...]:
        return (self.scores,) if self.product is None else (self.scores, self.product[0])


def fuse_relative_attention(program: ExportedProgram) -> int:
    """Rewrite in place; returns how many there were."""
    count = 0
    for node in list(program.graph.nodes):
        if is_call(node, ATTENTION):
            parts = _parts_of_call(program, node)
        elif is_call(node, aten.bmm.default, aten.matmul.default):
            parts = _parts_of(program, node)
        else:
            continue
        if parts is None:
            continue
        padding = padding_behind(program, parts.scores, (parts.query, parts.key))
        inputs = (parts.query, parts.key) if padding is None else (parts.query, parts.key, padding)
        if not set(parts.computed) <= depends_only_on(program, inputs):
            continue
        read = _read(program, parts, padding)
        if read is not None:
            _rewrite(program, node, parts, padding, *read)
            count += 1
    return count


def _parts_of_call(program: ExportedProgram, node: Node) -> _Parts | None:
    """What a call for attention is made of, if what is added to its scores is computed from the queries."""
    given = [*args(node), *[None] * 6][:6]
    query, key, value = given[:3]
    scale: Any = node.kwargs.get("scale")
    added = node.kwargs.get("attn_mask", given[3])
    alike = _heads_of(query) == _heads_of(key) == _heads_of(value) != ()
    plain = not any(node.kwargs.get(name, given[i]) for i, name in ((4, "dropout_p"), (5, "is_causal")))
    if not alike or not plain or not isinstance(added, Node) or added in depends_only_on(program, ()):
        return None
    scale = _heads_of(query)[-1] ** -0.5 if scale is None else float(scale)
    return _Parts(added, _before_constant(program, query), key, value, (query, scale))


def _before_constant(program: ExportedProgram, query: Node) -> Node:
    """What a constant of each head's channels is added to."""
    source = behind(query, *SAME_BYTES)
    constant = depends_only_on(program, ())
    for value, other in either_order(source) if is_call(source, aten.add.Tensor) else ():
        if other in constant and isinstance(value, Node) and _heads_of(value) == _heads_of(query):
            return value
    return query


def _parts_of(program: ExportedProgram, node: Node) -> _Parts | None:
    """What a product of shares with values is made of, if the scores are a sum with other products."""
    shares, value = args(node)[:2]
    shares = behind(shares, aten.dropout.default, *SAME_BYTES)
    if not is_call(shares, aten.softmax.int, aten._softmax.default) or not isinstance(value, Node):
        return None
    scores = args(shares)[0]
    if args(shares)[1] not in (-1, len(shape_of(scores)) - 1):
        return None
    product, products = None, 0
    waiting: list[Node] = [scores]
    seen: set[Node] = set()
    while waiting and len(seen) < MOST_STEPS:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        if not is_call(current, aten.bmm.default, aten.matmul.default):
            waiting += current.all_input_nodes
            continue
        products += 1
        first, second = (_unscaled(each) for each in args(current)[:2])
        if _heads_of(first) == _heads_of(second) == _heads_of(value) and second.op == "call_function":
            product = product or (first, second)
    if waiting:
        return None
    if product is None or products < 2 or product[0] is product[1]:
        return None
    return _Parts(scores, _before_constant(program, product[0]), product[1], value)


def _heads_of(node: Node) -> tuple[int, ...]:
    """(H, L, n) of [H, L, n] or [1, H, L, n]; () for anything else."""
    shape = shape_of(node)
    shape = shape[1:] if len(shape) == 4 and shape[0] == 1 else shape
    return shape if len(shape) == 3 else ()


SCALINGS = (aten.div.Tensor, aten.mul.Tensor, *TURNS)


def _unscaled(node: Node) -> Node:
    """The value that is scaled and turned on its way to a product, behind the turn of [1, L, H, n] to [1, H, L, n]."""
    while is_call(node, *SCALINGS) and not is_turn(node, 0, 2, 1, 3):
        node = args(node)[0]
    return node


Read = tuple[torch.Tensor | None, torch.Tensor | None, float, torch.Tensor | None]
Scores = Callable[..., torch.Tensor]


def _read(program: ExportedProgram, parts: _Parts, padding: Node | None) -> Read | None:
    """(keys' table, queries' table, scale, what is added to queries) of scores that are of this kind."""
    heads, length, n = _heads_of(parts.query)
    generator = torch.Generator().manual_seed(0)

    def as_written(q: torch.Tensor, k: torch.Tensor, counts: torch.Tensor | None = None) -> torch.Tensor:
        known = {parts.query: q.reshape(shape_of(parts.query)), parts.key: k.reshape(shape_of(parts.key))}
        if padding is not None:
            known[padding] = probes(padding)[0] if counts is None else counts
        found = evaluate(program, parts.scores, known)
        if parts.product is None:
            return found.reshape(heads, length, length)
        query, scale = parts.product
        multiplied = evaluate(program, query, known).reshape(heads, length, n)
        pairs = found.expand(*found.shape[:-2], length, length).reshape(-1, length, length)
        return torch.matmul(multiplied, k.transpose(1, 2)) * scale + pairs

    nothing = torch.zeros(heads, length, n)
    added = _added_to_queries(as_written, nothing)
    if added is None:
        return None
    moved = added[:, None] if bool(added.any()) else None

    def scores(q: torch.Tensor, k: torch.Tensor, counts: torch.Tensor | None = None) -> torch.Tensor:
        return as_written(q if moved is None else q - moved, k, counts)

    tables = []
    for of_query in (True, False):
        columns = []
        for channel in range(n):
            one = nothing.clone()
            one[..., channel] = 1
            columns.append(scores(one, nothing) if of_query else scores(nothing, one))
        tables.append(_by_distance(torch.stack(columns, -1)))
    if tables[0] is None or tables[1] is None:
        return None
    key_table, query_table = (table if bool(table.any()) else None for table in tables if table is not None)
    q, k = (torch.randn(heads, length, n, generator=generator) for _ in range(2))
    product = torch.matmul(q, k.transpose(1, 2))
    rest = scores(q, k) - scores(q, nothing) - scores(nothing, k)
    scale = float((rest * product).sum() / (product * product).sum())
    v = torch.randn(heads, length, n, generator=generator)
    for counts in (None,) if padding is None else probes(padding):
        wanted = torch.matmul(torch.softmax(scores(q, k, counts), -1), v)
        found = spelt_out(q[None], k[None], v[None], counts, key_table, query_table, scale)[0]
        if not torch.allclose(wanted, found, atol=CLOSE, rtol=CLOSE):
            return None
    if not (scale > 0 and math.isfinite(scale)):
        return None
    return key_table, query_table, scale, None if moved is None else added


def _added_to_queries(scores: Scores, nothing: torch.Tensor) -> torch.Tensor | None:
    """[H, n]: the constant whose products with the keys' table are the scores of nothing; zeros where these are 0, None where
    there is no such constant."""
    heads, _, n = nothing.shape
    alone = scores(nothing, nothing)
    if not bool(alone.any()):
        return torch.zeros(heads, n)
    columns = []
    for channel in range(n):
        one = nothing.clone()
        one[..., channel] = 1
        columns.append(scores(one, nothing) - alone)
    table, constant = _by_distance(torch.stack(columns, -1)), _by_distance(alone[..., None])
    if table is None or constant is None:
        return None
    found = torch.linalg.lstsq(table.double(), constant.double(), driver="gelsd").solution
    rest = table.double() @ found - constant
    return found[..., 0].float() if float(rest.abs().max()) < CLOSE * float(constant.abs().max()) else None


def _by_distance(pairs: torch.Tensor) -> torch.Tensor | None:
    """[H, 2 L - 1, n], row L - 1 - i + j, of [H, L, L, n] that depends on the distance alone."""
    length = pairs.shape[1]
    table = torch.cat([pairs[:, 1:, 0].flip(1), pairs[:, 0]], 1)
    places = length - 1 - torch.arange(length)[:, None] + torch.arange(length)
    close = 1e-6 * max(1.0, float(pairs.abs().max()))  # of scores that others were taken from
    return table.contiguous() if torch.allclose(table[:, places], pairs, atol=close, rtol=1e-5) else None


def _rewrite(
    program: ExportedProgram,
    node: Node,
    parts: _Parts,
    padding: Node | None,
    key_table: torch.Tensor | None,
    query_table: torch.Tensor | None,
    scale: float,
    added: torch.Tensor | None,
) -> None:
    heads = [_with_axes(program, node, value) for value in (parts.query, parts.key, parts.value)]
    if added is not None:
        heads[0] = _moved(program, node, heads[0], added)
    tables = [
        None if table is None else add_buffer(program, "relative_table", table)
        for table in (key_table, query_table)
    ]
    target = torch.ops.mcu_fused.relative_attention.default
    new = call_before(program.graph, node, target, *heads, padding, *tables, scale)
    if (
        parts.product is not None
    ):  # a call for attention gives rows in the order that its readers view them in
        rows = call_before(program.graph, node, aten.permute.default, new, [0, 2, 1, 3])
        copied = call_before(
            program.graph, node, aten.clone.default, rows, memory_format=torch.contiguous_format
        )
        new = call_before(program.graph, node, aten.permute.default, copied, [0, 2, 1, 3])
    elif shape_of(new) != shape_of(node):
        new = call_before(program.graph, node, aten.view.default, new, list(shape_of(node)))
    node.replace_all_uses_with(new)
    program.graph.erase_node(
        node
    )  # a call for attention is tagged as random: no dead-code elimination takes it


def _with_axes(program: ExportedProgram, place: Node, value: Node) -> Node:
    """[1, H, L, n] of [H, L, n]: what it is a copy or a view of, if that has the axes."""
    shape, source = (1, *_heads_of(value)), value
    while is_call(source, aten.view.default) and shape_of(source) != shape:
        source = args(source)[0]
    if shape_of(source) != shape:
        return call_before(program.graph, place, aten.view.default, value, list(shape))
    while is_call(source, aten.clone.default):
        source = args(source)[0]
    return source


def _moved(program: ExportedProgram, place: Node, query: Node, added: torch.Tensor) -> Node:
    """Queries [1, H, L, n] with a constant [H, n] added: in the bias of their linear, where they are its rows cut into heads."""
    (_, heads, length, n), graph = shape_of(query), program.graph
    turned = behind(query, aten.clone.default)
    cut = args(turned)[0] if is_turn(turned, 0, 2, 1, 3) else None
    linear = behind(cut, *SAME_BYTES) if isinstance(cut, Node) else None
    rows = (1, length, heads * n)
    if is_call(linear, aten.linear.default) and shape_of(linear) in (rows, rows[1:]):
        x, weight, bias = [*args(linear), None][:3]
        if bias is None or is_constant(program, bias):
            before = torch.zeros(heads * n) if bias is None else constant_value(program, bias)
            moved = add_buffer(program, f"{weight.name}_bias", before + added.reshape(-1))
            value = call_before(graph, place, aten.linear.default, x, weight, moved)
            value.meta = {**linear.meta, "val": value.meta["val"]}
            value = call_before(graph, place, aten.view.default, value, [1, length, heads, n])
            return call_before(graph, place, aten.permute.default, value, [0, 2, 1, 3])
    constant = add_buffer(program, "relative_query", added[None, :, None].contiguous())
    return call_before(graph, place, aten.add.Tensor, query, constant)

"""Attention over a whole sequence, between int8 values -> one int8 operator (lowering/sequence_s8.py)."""

from __future__ import annotations

import math
import operator
from typing import Any

import torch
import torch.ao.quantization.fx._decomposed  # registers torch.ops.quantized_decomposed
from torch.export import ExportedProgram
from torch.fx import Graph, Node

import mcu_sdk.lowering.fuse.relative  # registers torch.ops.mcu_fused
import mcu_sdk.operators.reference  # noqa: F401  registers torch.ops.mcu
from mcu_sdk.lowering.fuse.attention import gate_and_table
from mcu_sdk.lowering.fuse.graph import (
    SAME_BYTES,
    add_buffer,
    args,
    aten,
    behind,
    constant_value,
    dtype_of,
    is_call,
    is_constant,
    shape_of,
)
from mcu_sdk.lowering.fuse.masks import Mask, read_mask, table_mask
from mcu_sdk.lowering.fuse.new_node import call_before

mcu = torch.ops.mcu
decomposed = torch.ops.quantized_decomposed

ATTENTION = aten.scaled_dot_product_attention.default
RELATIVE = torch.ops.mcu_fused.relative_attention.default
_QUANTIZE = decomposed.quantize_per_tensor.default
_DEQUANTIZE = decomposed.dequantize_per_tensor.default


def is_plain_attention(node: Node) -> bool:
    """Of one sequence or some, queries and keys of one width, each head of queries with one of keys and values, or some with
    one (enable_gqa); no dropout."""
    given = [*args(node), *[None] * 6][:6]
    shapes = [shape_of(value) for value in given[:3]]
    if any(len(shape) != 4 for shape in shapes):
        return False
    dropout, causal = node.kwargs.get("dropout_p", given[4]), node.kwargs.get("is_causal", given[5])
    if dropout or causal:
        return False
    (sequences, heads, _, n), keys, values = shapes
    alike = keys[:3] == values[:3] and (keys[0], keys[3]) == (sequences, n)
    fits = heads == keys[1] or (bool(node.kwargs.get("enable_gqa")) and heads % keys[1] == 0)
    return alike and fits and len(set(given[:3])) == 3


def rewrite_attention(program: ExportedProgram, node: Node) -> None:
    """One attention between int8 values becomes int8; what is otherwise stays float."""
    graph = program.graph
    if not is_plain_attention(node) or not all(is_call(value, _DEQUANTIZE) for value in args(node)[:3]):
        return
    quantize = _quantization_of(node)
    if quantize is None:
        return
    inputs = [args(value) for value in args(node)[:3]]
    if any(int(zero_point) for _, _, zero_point, *_ in inputs):
        return
    gated = gate_and_table(node.kwargs.get("attn_mask", [*args(node), None][3]))
    masks = None if gated else _masks(program, node)
    shapes = [shape_of(value) for value in args(node)[:2]]
    if (shapes[0][0] != 1 or shapes[0][1] != shapes[1][1]) if gated else masks is None:
        return
    scale: Any = node.kwargs.get("scale")
    scale = 1 / math.sqrt(shapes[0][3]) if scale is None else float(scale)
    sources = [source for source, *_ in inputs]
    if gated is None:
        sources[1:] = _before_repetition(graph, node, *sources[1:])
    q, k, v = (_heads_side_by_side(graph, source, node) for source in sources)
    scales = [float(entry[1]) for entry in inputs]
    _, out_scale, out_zero_point, *_ = args(quantize)
    numbers = (
        shapes[0][1],
        *(scales[0] * scales[1] * scale, scales[2] / float(out_scale), int(out_zero_point)),
    )
    if gated is not None:
        added = _gates_and_bias(program, quantize, *gated, heads=shapes[0][1])
        pair = call_before(graph, quantize, mcu.gated_attention_s8.default, q, k, v, *added, *numbers)
    else:
        assert masks is not None
        tables = _tables_of(program, [mask.table for mask in masks])
        operands = q, k, v, masks[0].padding, *tables
        pair = call_before(graph, quantize, mcu.sequence_attention_s8.default, *operands, *numbers)
    _put_in_place(graph, node, quantize, pair)


def _before_repetition(graph: Graph, place: Node, keys: Node, values: Node) -> tuple[Node, Node]:
    """[B, G, L, ...] of keys and values [B, H, L, ...] whose heads are repeated, H / G times each; else they themselves."""
    found = []
    for value in (keys, values):
        repeated = behind(value, *SAME_BYTES)
        source = args(repeated)[0] if is_call(repeated, aten.expand.default) else None
        if not isinstance(source, Node) or len(shape_of(source)) != 5 or shape_of(source)[2] != 1:
            return keys, values
        (sequences, groups, _, length, width), whole = shape_of(source), shape_of(repeated)
        times = shape_of(value)[1] // groups
        if shape_of(value) != (sequences, groups * times, length, width):
            return keys, values
        if whole != (sequences, groups, times, length, width):
            return keys, values
        found.append(
            call_before(graph, place, aten.reshape.default, source, [sequences, groups, length, width])
        )
        found[-1].meta = {**source.meta, "val": found[-1].meta["val"]}
    if shape_of(found[0])[1] != shape_of(found[1])[1]:
        return keys, values
    return found[0], found[1]


def _gates_and_bias(
    program: ExportedProgram, place: Node, gate: Node, table: Node, *, heads: int
) -> tuple[Node, Node]:
    """float32[heads, Lq] of gate_and_table's numbers, and its constant as the bias of one sequence."""
    queries, positions = shape_of(table)[-2:]
    gates = call_before(program.graph, place, aten.reshape.default, gate, [-1, queries])
    if shape_of(gates)[0] != heads:
        gates = call_before(program.graph, place, aten.expand.default, gates, [heads, queries])
    values = by_distance(constant_value(program, table).reshape(-1, queries, positions))
    return gates, add_buffer(program, "gated_bias", values[None])


def rewrite_relative(program: ExportedProgram, node: Node) -> None:
    """The same of one with scores by distance."""
    graph = program.graph
    quantize = _quantization_of(node)
    if quantize is None or not all(is_call(value, _DEQUANTIZE) for value in args(node)[:3]):
        return
    inputs = [args(value) for value in args(node)[:3]]
    if any(int(zero_point) for _, _, zero_point, *_ in inputs):
        return
    scales = [float(entry[1]) for entry in inputs]
    tables, units = [], []
    for table, scale in zip(args(node)[4:6], scales[:2], strict=True):
        values = None if table is None else constant_value(program, table)
        unit = 1.0 if values is None else float(values.abs().max()) / 127
        whole = None if values is None else torch.round(values / unit).to(torch.int8)
        tables.append(None if whole is None else add_buffer(program, "relative_table_s8", whole))
        units.append(unit * scale)
    q, k, v = (_heads_side_by_side(graph, source, node) for source, *_ in inputs)
    _, out_scale, out_zero_point, *_ = args(quantize)
    score_scale = scales[0] * scales[1] * float(args(node)[6])
    numbers = (score_scale, *units, scales[2] / float(out_scale), int(out_zero_point))
    operands = q, k, v, args(node)[3], *tables, shape_of(args(node)[0])[1]
    pair = call_before(graph, quantize, mcu.relative_attention_s8.default, *operands, *numbers)
    _put_in_place(graph, node, quantize, pair)


def _masks(program: ExportedProgram, node: Node) -> list[Mask] | None:
    """The mask of each sequence of an attention; None where one is not understood."""
    (sequences, _, queries, _), keys = (shape_of(value) for value in args(node)[:2])
    given = [*args(node), None][:4]
    added: Any = node.kwargs.get("attn_mask", given[3])
    if sequences > 1 and added is not None:
        if not is_constant(program, added):
            return None
        values = constant_value(program, added)
        masks = [
            table_mask(value[None], (queries, keys[2]))
            for value in values.expand(sequences, *values.shape[1:])
        ]
    else:
        mask = read_mask(program, added, (queries, keys[2]))
        if mask is None or (mask.padding is not None and dtype_of(mask.padding) != torch.int64):
            return None
        masks = [mask] * sequences
    finite = all(mask.table is None or bool(torch.isfinite(mask.table).all()) for mask in masks)
    return masks if finite else None


def _tables_of(
    program: ExportedProgram, tables: list[torch.Tensor | None]
) -> tuple[Node | None, Node | None]:
    """Constants of the bias of each sequence: the tables that differ, float32[T, heads or 1, ...], and, where there are
    several, which one each takes, int32[sequences]."""
    known = [table for table in tables if table is not None]
    if not known:
        return None, None
    heads = max(table.shape[0] for table in known)
    whole = (heads, *known[0].shape[1:])
    distinct: list[torch.Tensor] = []
    numbers = []
    for table in tables:
        wide = torch.zeros(whole) if table is None else table.expand(whole)
        number = next((i for i, other in enumerate(distinct) if torch.equal(other, wide)), len(distinct))
        if number == len(distinct):
            distinct.append(wide)
        numbers.append(number)
    short = [by_distance(table) for table in distinct]
    short = short if len({table.shape for table in short}) == 1 else [each.contiguous() for each in distinct]
    bias = add_buffer(program, "attention_bias", torch.stack(short))
    if len(distinct) == 1:
        return bias, None
    return bias, add_buffer(program, "attention_tables", torch.tensor(numbers, dtype=torch.int32))


def by_distance(table: torch.Tensor) -> torch.Tensor:
    """A table [H, Lq, Lk] of which each entry depends on the distance alone as [H, 1, Lq + Lk - 1], entry Lq - 1 - i + j;
    any other as it is."""
    _, queries, positions = table.shape
    row = torch.cat([table[:, 1:, 0].flip(1), table[:, 0]], 1)
    places = queries - 1 - torch.arange(queries)[:, None] + torch.arange(positions)
    return row[:, None].contiguous() if torch.equal(row[:, places], table) else table.contiguous()


def _quantization_of(node: Node) -> Node | None:
    """The quantization to int8 that alone reads a value (moves_s8.py brings it there)."""
    (user,) = node.users if len(node.users) == 1 else (None,)
    return user if is_call(user, _QUANTIZE) and args(user)[5] == torch.int8 else None


def _put_in_place(graph: Graph, node: Node, quantize: Node, pair: Node) -> None:
    """Give the users of an attention's quantized [B, H, L, m] the rows int8[B, L, H * m], cut into heads."""
    sequences, heads, length, m = shape_of(node)
    out = call_before(graph, quantize, operator.getitem, pair, 0)
    cut = call_before(graph, quantize, aten.view.default, out, [sequences, length, heads, m])
    turned = call_before(graph, quantize, aten.permute.default, cut, [0, 2, 1, 3])
    result = call_before(graph, quantize, aten.clone.default, turned, memory_format=torch.contiguous_format)
    for new in (pair, out, cut, turned, result):
        new.meta = {**node.meta, "val": new.meta["val"]}
    quantize.replace_all_uses_with(result)
    graph.erase_node(quantize)
    graph.erase_node(node)  # tagged as random, because of its dropout: no dead-code elimination takes it
    graph.eliminate_dead_code()


def _heads_side_by_side(graph: Graph, quantized: Node, place: Node) -> Node:
    """int8[B, L, H * n] of a quantized [B, H, L, n]."""
    sequences, heads, length, n = shape_of(quantized)
    turned = call_before(graph, place, aten.permute.default, quantized, [0, 2, 1, 3])
    copied = call_before(graph, place, aten.clone.default, turned, memory_format=torch.contiguous_format)
    rows = call_before(graph, place, aten.view.default, copied, [sequences, length, heads * n])
    for new in (turned, copied, rows):
        new.meta = {**quantized.meta, "val": new.meta["val"]}
    return rows

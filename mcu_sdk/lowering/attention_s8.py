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
from mcu_sdk.lowering.fuse.graph import (
    SAME_BYTES,
    add_buffer,
    args,
    aten,
    constant_value,
    dtype_of,
    is_call,
    is_constant,
    same_bytes_source,
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
    """Of one sequence or some, each head of queries with its own of keys and values, the first two of one width; no
    dropout."""
    given = [*args(node), *[None] * 6][:6]
    shapes = [shape_of(value) for value in given[:3]]
    if any(len(shape) != 4 for shape in shapes):
        return False
    dropout, causal = node.kwargs.get("dropout_p", given[4]), node.kwargs.get("is_causal", given[5])
    if dropout or causal or node.kwargs.get("enable_gqa"):
        return False
    (sequences, heads, _, n), keys, values = shapes
    alike = keys[:3] == values[:3] and (keys[0], keys[1], keys[3]) == (sequences, heads, n)
    return alike and len(set(given[:3])) == 3


def rewrite_attention(program: ExportedProgram, node: Node) -> None:
    """One attention between int8 values becomes int8; what is otherwise stays float."""
    graph = program.graph
    if not is_plain_attention(node) or not all(is_call(value, _DEQUANTIZE) for value in args(node)[:3]):
        return
    joined = _joined_quantization(node)
    if joined is None:
        return
    inputs = [args(value) for value in args(node)[:3]]
    if any(int(zero_point) for _, _, zero_point, *_ in inputs):
        return
    masks = _masks(program, node)
    if masks is None:
        return
    shapes = [shape_of(value) for value in args(node)[:2]]
    scale: Any = node.kwargs.get("scale")
    scale = 1 / math.sqrt(shapes[0][3]) if scale is None else float(scale)
    bias, tables = _tables_of(program, [mask.table for mask in masks])
    q, k, v = (_heads_side_by_side(graph, source) for source, *_ in inputs)
    scales = [float(entry[1]) for entry in inputs]
    _, out_scale, out_zero_point, *_ = args(joined)
    numbers = (
        shapes[0][1],
        *(scales[0] * scales[1] * scale, scales[2] / float(out_scale), int(out_zero_point)),
    )
    operands = q, k, v, masks[0].padding, bias, tables
    pair = call_before(graph, joined, mcu.sequence_attention_s8.default, *operands, *numbers)
    out = call_before(graph, joined, operator.getitem, pair, 0)
    result = call_before(graph, joined, aten.view.default, out, list(shape_of(joined)))
    for new in (pair, out, result):
        new.meta = {**node.meta, "val": new.meta["val"]}
    joined.replace_all_uses_with(result)
    for unused in _back_to(
        joined, node
    ):  # tagged as random, because of its dropout: no dead-code elimination takes it
        graph.erase_node(unused)
    graph.eliminate_dead_code()


def rewrite_relative(program: ExportedProgram, node: Node) -> None:
    """The same of one with scores by distance."""
    graph = program.graph
    joined = _joined_quantization(node)
    if joined is None or not all(is_call(value, _DEQUANTIZE) for value in args(node)[:3]):
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
    q, k, v = (_heads_side_by_side(graph, source) for source, *_ in inputs)
    _, out_scale, out_zero_point, *_ = args(joined)
    score_scale = scales[0] * scales[1] * float(args(node)[6])
    numbers = (score_scale, *units, scales[2] / float(out_scale), int(out_zero_point))
    operands = q, k, v, args(node)[3], *tables, shape_of(args(node)[0])[1]
    pair = call_before(graph, joined, mcu.relative_attention_s8.default, *operands, *numbers)
    out = call_before(graph, joined, operator.getitem, pair, 0)
    result = call_before(graph, joined, aten.view.default, out, list(shape_of(joined)))
    for new in (pair, out, result):
        new.meta = {**node.meta, "val": new.meta["val"]}
    joined.replace_all_uses_with(result)
    graph.eliminate_dead_code()


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


def _joined_quantization(node: Node) -> Node | None:
    """The quantization that alone reads an attention's heads, joined to one row for each query."""
    source = node
    turned = 1 in shape_of(node)[1:3]  # nothing to turn
    while len(node.users) == 1:
        (user,) = node.users
        if is_call(user, _QUANTIZE):
            heads, n = shape_of(source)[1], shape_of(source)[3]
            rows = shape_of(user)[-1] == heads * n and math.prod(shape_of(user)) == math.prod(
                shape_of(source)
            )
            return user if turned and rows and args(user)[5] == torch.int8 else None
        if not turned and _swaps_heads(user):
            turned = True
        elif not is_call(user, *SAME_BYTES):
            return None
        node = user
    return None


def _back_to(last: Node, first: Node) -> list[Node]:
    """The nodes from `last` up to `first`, each the first argument of the one before."""
    chain = [last]
    while chain[-1] is not first:
        chain.append(args(chain[-1])[0])
    return chain


def _swaps_heads(node: Node) -> bool:
    """Whether it turns [1, H, L, n] into [1, L, H, n], or back."""
    if is_call(node, aten.permute.default):
        return [axis % 4 for axis in args(node)[1]] == [0, 2, 1, 3]
    return is_call(node, aten.transpose.int) and {axis % 4 for axis in args(node)[1:3]} == {1, 2}


def _heads_side_by_side(graph: Graph, quantize: Node) -> Node:
    """int8[B, L, H * n] of a quantized [B, H, L, n]: the value before its heads were split, if that is what it is."""
    sequences, heads, length, n = shape_of(quantize)
    wanted = [sequences, length, heads * n]
    x, rest = args(quantize)[0], args(quantize)[1:]
    if is_call(quantize, _QUANTIZE) and (1 in (heads, length) or _swaps_heads(x)):
        source = same_bytes_source(args(x)[0] if _swaps_heads(x) else x)
        if math.prod(shape_of(source)) == math.prod(wanted) and shape_of(source)[-1] == heads * n:
            same = next(
                (user for user in source.users if is_call(user, _QUANTIZE) and args(user)[1:] == rest), None
            )
            if same is None:
                with graph.inserting_after(source):
                    same = graph.call_function(_QUANTIZE, (source, *rest))
                same.meta = {
                    **source.meta,
                    "val": source.meta["val"].new_empty(shape_of(source), dtype=torch.int8),
                }
            return _viewed(graph, same, wanted, quantize)
    with graph.inserting_after(quantize):
        turned = graph.call_function(aten.permute.default, (quantize, [0, 2, 1, 3]))
        turned.meta = {**quantize.meta, "val": quantize.meta["val"].permute(0, 2, 1, 3)}
    with graph.inserting_after(turned):
        copied = graph.call_function(
            aten.clone.default, (turned,), {"memory_format": torch.contiguous_format}
        )
        copied.meta = {**quantize.meta, "val": turned.meta["val"].contiguous()}
    return _viewed(graph, copied, wanted, quantize)


def _viewed(graph: Graph, node: Node, shape: list[int], like: Node) -> Node:
    if list(shape_of(node)) == shape:
        return node
    with graph.inserting_after(node):
        view = graph.call_function(aten.view.default, (node, shape))
    view.meta = {**like.meta, "val": node.meta["val"].view(shape)}
    return view

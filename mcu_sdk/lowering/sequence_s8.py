"""int8 between a sequence's linears too: attention, residual sums with their norm, activations, summed embeddings.

Two halves. `annotate_sequence` tells PT2E which values besides the linears' inputs become int8: those that an operator
reads of which there is an int8 form, where its result becomes int8 as well. `rewrite_sequence` puts that form in the place
of quantize(operation(dequantize(...))); what it finds otherwise than expected stays in float, between conversions.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Collection, Iterator
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Graph, GraphModule, Node
from torchao.quantization.pt2e import MinMaxObserver
from torchao.quantization.pt2e.quantizer import QuantizationAnnotation, QuantizationSpec

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
    replace,
    same_bytes_source,
    shape_of,
)
from mcu_sdk.lowering.fuse.masks import Mask, read_mask, table_mask
from mcu_sdk.lowering.fuse.new_node import call_before

mcu = torch.ops.mcu
decomposed = torch.ops.quantized_decomposed

SYMMETRIC = QuantizationSpec(
    dtype=torch.int8,
    quant_min=-127,
    quant_max=127,
    qscheme=torch.per_tensor_symmetric,
    observer_or_fake_quant_ctr=MinMaxObserver,
)
"""Queries, keys and values: without zero points a product of two needs no corrections."""

MOST_SEQUENCES = 64
"""Windows of an image, or channels of a series, that attend within themselves: each is a call of its own."""

TABLES = (
    mcu.gelu.default,
    mcu.silu.default,
    aten.gelu.default,
    aten.silu.default,
    aten.tanh.default,
    aten.sigmoid.default,
    aten.hardswish.default,
    aten.hardsigmoid.default,
    aten.leaky_relu.default,
    aten.elu.default,
)
"""Functions of one value: in int8, a table of 256."""

_ATTENTION = aten.scaled_dot_product_attention.default
_QUANTIZE = decomposed.quantize_per_tensor.default
_DEQUANTIZE = decomposed.dequantize_per_tensor.default


# ---- annotation


def summed_before_norms(model: GraphModule) -> set[Node]:
    """The values whose sums `annotate_sequence` would make int8."""
    sums = (
        node for node in model.graph.nodes if is_call(node, aten.add.Tensor) and _is_residual_of_norm(node)
    )
    return {value for node in sums for value in args(node)[:2]}


def annotate_sequence(
    model: GraphModule, static: QuantizationSpec, uneven: Collection[str] = frozenset()
) -> None:
    """Annotate what becomes int8 besides the linears, which have been annotated. Sums of a value in `uneven` stay float."""
    for node in model.graph.nodes:
        specs: dict[Any, QuantizationSpec] = {}
        if (
            is_call(node, _ATTENTION)
            and _leads_to_a_linear(node)
            and _is_plain_attention(node)
            and _reads(node)
        ):
            specs = dict.fromkeys(args(node)[:3], SYMMETRIC)
        elif is_call(node, *TABLES) and _leads_to_a_linear(node):
            specs = {args(node)[0]: static}
        elif is_call(node, aten.add.Tensor) and _is_residual_of_norm(node):
            summed = args(node)[:2]
            specs = {} if any(value.name in uneven for value in summed) else dict.fromkeys(summed, static)
        if specs:
            node.meta["quantization_annotation"] = QuantizationAnnotation(
                input_qspec_map=specs, _annotated=True
            )


def _leads_to_a_linear(node: Node) -> bool:
    """Whether every use of the value, behind views and turned axes, is the input of a linear."""
    return bool(node.users) and all(
        _leads_to_a_linear(user)
        if is_call(user, *SAME_BYTES, aten.transpose.int, aten.permute.default)
        else is_call(user, aten.linear.default) and args(user)[0] is node
        for user in node.users
    )


def _is_plain_attention(node: Node) -> bool:
    """Of one sequence or some, each head of queries with its own of keys and values, all of one width; no dropout."""
    given = [*args(node), *[None] * 6][:6]
    shapes = [shape_of(value) for value in given[:3]]
    if any(len(shape) != 4 or not 1 <= shape[0] <= MOST_SEQUENCES for shape in shapes):
        return False
    dropout, causal = node.kwargs.get("dropout_p", given[4]), node.kwargs.get("is_causal", given[5])
    if dropout or causal or node.kwargs.get("enable_gqa"):
        return False
    (sequences, heads, _, n), keys, values = shapes
    return (
        keys == values and (keys[0], keys[1], keys[3]) == (sequences, heads, n) and len(set(given[:3])) == 3
    )


def _reads(attention: Node) -> bool:
    """Whether its mask is one of those that fuse/masks.py writes: none, a constant, an input's penalty, or both."""
    mask = attention.kwargs.get("attn_mask", [*args(attention), None][3])
    if is_call(mask, aten.add.Tensor) and isinstance(args(mask)[1], Node) and args(mask)[1].op == "get_attr":
        mask = args(mask)[0]
    if mask is None or (isinstance(mask, Node) and mask.op == "get_attr"):
        return True
    chain = (aten.mul.Scalar, aten.sub.Scalar, aten._to_copy.default, aten.ne.Scalar, aten.view.default)
    for target in chain:
        if not is_call(mask, target):
            return False
        mask = args(mask)[0]
    return isinstance(mask, Node) and mask.op == "placeholder"


def _is_residual_of_norm(node: Node) -> bool:
    """Whether a norm alone reads the sum of two values of its shape, and something int8 reads the norm."""
    first, second = args(node)[:2]
    if len(node.users) != 1 or node.kwargs.get("alpha", 1) != 1 or not isinstance(second, Node):
        return False
    (norm,) = node.users
    return (
        is_call(norm, mcu.layer_norm.default)
        and args(norm)[0] is node
        and first is not second
        and shape_of(first) == shape_of(second) == shape_of(node)
        and is_normalized_for_linears(norm)
        and all(_is_from_linear_or_norm(value) for value in (first, second))
    )


def is_normalized_for_linears(norm: Node) -> bool:
    """Whether something reads the norm as int8."""
    return any(is_call(user, aten.linear.default) for user in _behind_views(norm)) or _is_taken_from(norm)


def _is_taken_from(norm: Node) -> bool:
    """Whether linears read one token's row of a norm, and nothing else reads it: a pooler."""
    return len(norm.users) == 1 and all(
        is_call(user, aten.select.int) and _leads_to_a_linear(user) for user in norm.users
    )


def _behind_views(node: Node) -> Iterator[Node]:
    for user in node.users:
        if is_call(user, *SAME_BYTES):
            yield from _behind_views(user)
        else:
            yield user


def _is_from_linear_or_norm(node: Node) -> bool:
    """What gives int8 without a conversion. The sum of a stream that is never normalized as a whole stays float."""
    return is_call(same_bytes_source(node), aten.linear.default, mcu.layer_norm.default)


# ---- rewriting


def rewrite_before_linears(program: ExportedProgram) -> None:
    """Share equal quantizations, and make attention int8: its linears then have a quantization right behind them."""
    _share_quantizations(program.graph)
    for node in list(program.graph.nodes):
        if is_call(node, _QUANTIZE):
            _quantize_before_taking(program.graph, node)
    for node in list(program.graph.nodes):
        if is_call(node, _ATTENTION):
            _rewrite_attention(program, node)


def rewrite_after_linears(program: ExportedProgram) -> None:
    """Norms and functions between two int8 values."""
    for node in list(program.graph.nodes):
        if is_call(node, _QUANTIZE):
            source = args(node)[0]
            if is_call(source, *TABLES):
                _rewrite_table(program, node, source)
            elif is_call(source, mcu.layer_norm.default):
                _rewrite_norm(program, node, source)


def add_embeddings(program: ExportedProgram) -> None:
    """x + embedding_s8(...) -> embedding_s8_add, where nothing else reads the rows."""
    for node in list(program.graph.nodes):
        if not is_call(node, aten.add.Tensor) or node.kwargs.get("alpha", 1) != 1:
            continue
        for x, rows in ((args(node)[0], args(node)[1]), (args(node)[1], args(node)[0])):
            if (
                is_call(rows, mcu.embedding_s8.default)
                and isinstance(x, Node)
                and x is not rows
                and len(rows.users) == 1
                and not is_constant(program, x)
                and math.prod(shape_of(x)) == math.prod(shape_of(rows))
                and shape_of(x)[-1:] == shape_of(rows)[-1:]
                and dtype_of(x) == torch.float32
            ):
                replace(program.graph, node, mcu.embedding_s8_add.default, (x, *args(rows)))
                break


def _share_quantizations(graph: Graph) -> None:
    """One quantization of each value at each scale, however many read it."""
    seen: dict[tuple[Any, ...], Node] = {}
    for node in list(graph.nodes):
        if is_call(node, _QUANTIZE):
            first = seen.setdefault(args(node), node)
            if first is not node:
                node.replace_all_uses_with(first)
                graph.erase_node(node)


def _quantize_before_taking(graph: Graph, quantize: Node) -> None:
    """quantize(norm[:, i]) -> quantize(norm)[:, i]."""
    taken = args(quantize)[0]
    if not (is_call(taken, aten.select.int) and len(taken.users) == 1):
        return
    norm = args(taken)[0]
    if not (is_call(norm, mcu.layer_norm.default) and len(norm.users) == 1):
        return
    with graph.inserting_before(taken):
        whole = graph.call_function(_QUANTIZE, (norm, *args(quantize)[1:]))
        whole.meta = {**norm.meta, "val": norm.meta["val"].to(torch.int8)}
    row = replace(graph, quantize, aten.select.int, (whole, *args(taken)[1:]))
    row.meta = {**taken.meta, "val": quantize.meta["val"]}
    graph.erase_node(quantize)
    graph.erase_node(taken)


def _rewrite_attention(program: ExportedProgram, node: Node) -> None:
    graph = program.graph
    if not _is_plain_attention(node) or not all(is_call(value, _DEQUANTIZE) for value in args(node)[:3]):
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
    biases: list[tuple[torch.Tensor, Node]] = []
    q, k, v = (_heads_side_by_side(graph, source) for source, *_ in inputs)
    scales = [float(entry[1]) for entry in inputs]
    _, out_scale, out_zero_point, *_ = args(joined)
    numbers = (
        shapes[0][1],
        *(scales[0] * scales[1] * scale, scales[2] / float(out_scale), int(out_zero_point)),
    )
    outs = []
    for at, mask in enumerate(masks):
        bias = None if mask.table is None else _shared_bias(program, biases, by_distance(mask.table))
        parts = [_one_of(graph, joined, value, at) for value in (q, k, v)]
        pair = call_before(
            graph, joined, mcu.sequence_attention_s8.default, *parts, mask.padding, bias, *numbers
        )
        pair.meta = {**node.meta, "val": pair.meta["val"]}
        outs.append(call_before(graph, joined, operator.getitem, pair, 0))
    out = outs[0] if len(outs) == 1 else call_before(graph, joined, aten.cat.default, outs)
    result = call_before(graph, joined, aten.view.default, out, list(shape_of(joined)))
    for new in (*outs, out, result):
        new.meta = {**node.meta, "val": new.meta["val"]}
    joined.replace_all_uses_with(result)
    for unused in _back_to(
        joined, node
    ):  # tagged as random, because of its dropout: no dead-code elimination takes it
        graph.erase_node(unused)
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


def _shared_bias(
    program: ExportedProgram, biases: list[tuple[torch.Tensor, Node]], table: torch.Tensor
) -> Node:
    """The constant of a table, one for all sequences whose tables are equal."""
    for other, node in biases:
        if torch.equal(other, table):
            return node
    biases.append((table, add_buffer(program, "attention_bias", table)))
    return biases[-1][1]


def _one_of(graph: Graph, place: Node, rows: Node, at: int) -> Node:
    """Sequence `at` of int8[sequences, L, H * n]."""
    if shape_of(rows)[0] == 1:
        return rows
    return call_before(graph, place, aten.slice.Tensor, rows, 0, at, at + 1)


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


def _rewrite_table(program: ExportedProgram, quantize: Node, source: Node) -> None:
    x = args(source)[0]
    if not is_call(x, _DEQUANTIZE) or len(source.users) != 1 or args(x)[5] != torch.int8:
        return
    _, scale, zero_point, *_ = args(x)
    values = (torch.arange(-128, 128) - int(zero_point)).float() * torch.tensor(float(scale))
    result: Any = source.target(values, *args(source)[1:], **source.kwargs)  # type: ignore[operator]
    table = _QUANTIZE(result, *args(quantize)[1:])
    buffer = add_buffer(program, f"{source.name}_table", table)
    replace(program.graph, quantize, mcu.lookup_s8.default, (args(x)[0], buffer))
    program.graph.erase_node(quantize)


def _rewrite_norm(program: ExportedProgram, quantize: Node, norm: Node) -> None:
    x, weight, bias, eps = args(norm)
    _, scale, zero_point, low, high, dtype = args(quantize)[:6]
    if dtype != torch.int8 or (low, high) != (-128, 127) or len(norm.users) != 1:
        return
    if not (is_constant(program, weight) and is_constant(program, bias)):
        return
    rows: tuple[Any, ...] = (x, None)
    ratio, smallest = 0.0, float(eps)
    summed = args(x)[:2] if is_call(x, aten.add.Tensor) and len(x.users) == 1 else (x,)
    types = (torch.int8, torch.int16) if len(summed) == 1 else (torch.int8,)
    if all(is_call(value, _DEQUANTIZE) and args(value)[5] in types for value in summed):
        scales = [float(args(value)[1]) for value in summed]
        rows = (args(summed[0])[0], args(summed[1])[0] if len(summed) == 2 else None)
        ratio, smallest = scales[-1] / scales[0], smallest / scales[0] ** 2
    unit = float(scale)
    arguments = (
        *rows,
        add_buffer(program, f"{norm.name}_weight", (constant_value(program, weight).double() / unit).float()),
        add_buffer(
            program,
            f"{norm.name}_bias",
            (constant_value(program, bias).double() / unit + int(zero_point)).float(),
        ),
        ratio,
        smallest,
    )
    replace(program.graph, quantize, mcu.layer_norm_s8.default, arguments)
    program.graph.erase_node(quantize)

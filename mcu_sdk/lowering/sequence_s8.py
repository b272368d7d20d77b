"""int8 between a sequence's linears too: attention, residual sums with their norm, activations, summed embeddings.

Two halves. `annotate_sequence` tells PT2E which values besides the linears' inputs become int8: those that an operator
reads of which there is an int8 form, where its result becomes int8 as well. `rewrite_sequence` puts that form in the place
of quantize(operation(dequantize(...))); what it finds otherwise than expected stays in float, between conversions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Graph, GraphModule, Node
from torchao.quantization.pt2e import MinMaxObserver
from torchao.quantization.pt2e.quantizer import QuantizationAnnotation, QuantizationSpec

import mcu_sdk.operators.reference  # noqa: F401  registers torch.ops.mcu
from mcu_sdk.lowering.attention_s8 import (
    ATTENTION,
    RELATIVE,
    is_plain_attention,
    rewrite_attention,
    rewrite_relative,
)
from mcu_sdk.lowering.fuse.attention import gate_and_table
from mcu_sdk.lowering.fuse.graph import (
    MOVES,
    SAME_BYTES,
    TURNS,
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
from mcu_sdk.lowering.fuse.new_node import call_before
from mcu_sdk.lowering.fuse.turns import moves_before
from mcu_sdk.lowering.maxima_s8 import maxima_in_int8
from mcu_sdk.lowering.moves_s8 import move_in_int8
from mcu_sdk.lowering.requantize import LARGEST_SHIFT, clamp_bounds, multiplier_and_shift

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

_QUANTIZE = decomposed.quantize_per_tensor.default
_DEQUANTIZE = decomposed.dequantize_per_tensor.default


# ---- annotation


def sums_before_norms(model: GraphModule) -> list[Node]:
    """The sums that `annotate_sequence` would make int8."""
    return [
        node for node in model.graph.nodes if is_call(node, aten.add.Tensor) and _is_residual_of_norm(node)
    ]


def summed_before_norms(model: GraphModule) -> set[Node]:
    """The values that these add."""
    return {value for node in sums_before_norms(model) for value in args(node)[:2]}


def annotate_sequence(
    model: GraphModule, static: QuantizationSpec, uneven: Collection[str] = frozenset()
) -> None:
    """Annotate what becomes int8 besides the linears, which have been annotated. Sums of a value in `uneven` stay float."""
    for node in model.graph.nodes:
        specs: dict[Any, QuantizationSpec] = {}
        if is_attention(node) and (leads_to_a_linear(node) or _leads_to(node, _is_both)):
            specs = dict.fromkeys(args(node)[:3], SYMMETRIC)
        elif _is_summed_in_int8(node) or is_multiplied_in_int8(node):
            specs = dict.fromkeys(args(node)[:2], static)
        elif is_call(node, mcu.rope_rows.default):
            specs = {args(node)[0]: SYMMETRIC}
        elif is_call(node, *TABLES) and leads_to_a_linear(node):
            specs = {args(node)[0]: static}
        elif is_call(node, aten.add.Tensor) and _is_residual_of_norm(node):
            summed = args(node)[:2]
            specs = {} if any(value.name in uneven for value in summed) else dict.fromkeys(summed, static)
        if specs:
            node.meta["quantization_annotation"] = QuantizationAnnotation(
                input_qspec_map=specs, _annotated=True
            )


def is_attention(node: Node) -> bool:
    """Whether there is an int8 form of it."""
    return is_call(node, RELATIVE) or (is_call(node, ATTENTION) and is_plain_attention(node) and _reads(node))


def leads_to_a_linear(node: Node) -> bool:
    """Whether every use of the value, behind views, turned axes and functions of one value, is the input of a linear or of
    a convolution."""
    return bool(node.users) and all(
        leads_to_a_linear(user)
        if is_call(user, *MOVES, *TABLES)
        else is_call(user, aten.linear.default, aten.conv2d.default) and args(user)[0] is node
        for user in node.users
    )


def _is_summed_in_int8(node: Node) -> bool:
    """Whether it is the sum of an attention and of another one or a convolution (Nystromformer's), for a linear."""
    if not is_call(node, aten.add.Tensor) or node.kwargs.get("alpha", 1) != 1 or not leads_to_a_linear(node):
        return False
    values = args(node)[:2]
    if len(set(values)) != 2 or any(shape_of(value) != shape_of(node) for value in values):
        return False
    sources = [moves_before(value)[0] for value in values]
    given = [is_call(source, aten.conv2d.default) or is_attention(source) for source in sources]
    return all(given) and any(is_attention(source) for source in sources)


def is_multiplied_in_int8(node: Node) -> bool:
    """Whether it is a product, for a linear, of an attention and a linear's result, clamps and moves between."""
    if not is_call(node, aten.mul.Tensor) or not leads_to_a_linear(node):
        return False
    values = args(node)[:2]
    if len(set(values)) != 2 or not all(isinstance(value, Node) for value in values):
        return False
    sources = [_before_clamps(value) for value in values]
    given = [is_call(source, aten.linear.default) or is_attention(source) for source in sources]
    return all(given) and any(is_attention(source) for source in sources)


def _before_clamps(node: Node) -> Node:
    while is_call(node, *MOVES, aten.expand.default) or clamp_bounds(node) is not None:
        node = args(node)[0]
    return node


def _is_both(node: Node) -> bool:
    return _is_summed_in_int8(node) or is_multiplied_in_int8(node)


def _leads_to(node: Node, kind: Callable[[Node], bool]) -> bool:
    """Whether one of this kind alone reads the value, behind moves."""
    while len(node.users) == 1 and is_call(next(iter(node.users)), *MOVES, aten.expand.default):
        (node,) = node.users
    return len(node.users) == 1 and kind(next(iter(node.users)))


def _reads(attention: Node) -> bool:
    """Whether its mask is one of those that fuse/masks.py writes (none, a constant, an input's penalty, or both), or a
    table that each query has a number for."""
    mask = attention.kwargs.get("attn_mask", [*args(attention), None][3])
    if is_call(mask, aten.add.Tensor) and isinstance(args(mask)[1], Node) and args(mask)[1].op == "get_attr":
        mask = args(mask)[0]
    if mask is None or (isinstance(mask, Node) and mask.op == "get_attr") or gate_and_table(mask) is not None:
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
    return any(_reads_int8(user) for user in _behind_views(norm)) or _is_taken_from(norm)


def _reads_int8(node: Node) -> bool:
    """Whether it is a linear, or the turn in front of a convolution or of linears alone."""
    if is_call(node, *TURNS):
        return any(is_call(user, aten.conv2d.default) for user in node.users) or leads_to_a_linear(node)
    return is_call(node, aten.linear.default)


def _is_taken_from(norm: Node) -> bool:
    """Whether linears read one token's row of a norm, and nothing else reads it: a pooler."""
    return len(norm.users) == 1 and all(
        is_call(user, aten.select.int) and leads_to_a_linear(user) for user in norm.users
    )


def _behind_views(node: Node) -> Iterator[Node]:
    for user in node.users:
        if is_call(user, *SAME_BYTES):
            yield from _behind_views(user)
        else:
            yield user


def _is_from_linear_or_norm(node: Node) -> bool:
    """What gives int8 without a conversion. The sum of a stream that is never normalized as a whole stays float."""
    source = same_bytes_source(node)
    if is_call(source, aten.permute.default):  # the turn behind a convolution
        source = args(source)[0]
        return is_call(source, aten.conv2d.default)
    return is_call(source, aten.linear.default, mcu.layer_norm.default)


# ---- rewriting


def rewrite_before_linears(program: ExportedProgram) -> None:
    """Share equal quantizations, and make attention int8: its linears then have a quantization right behind them."""
    _share_quantizations(program.graph)
    for node in list(program.graph.nodes):
        if is_call(node, _QUANTIZE):
            _quantize_before_taking(program.graph, node)
    maxima_in_int8(program)
    move_in_int8(program)
    _share_quantizations(program.graph)
    for node in list(program.graph.nodes):
        if is_call(node, ATTENTION):
            rewrite_attention(program, node)
        elif is_call(node, RELATIVE):
            rewrite_relative(program, node)


def rewrite_after_linears(program: ExportedProgram, but: Callable[[Node], bool] = lambda node: False) -> None:
    """Norms and functions between two int8 values, `but` these."""
    for node in list(program.graph.nodes):
        if is_call(node, _QUANTIZE):
            source = args(node)[0]
            if isinstance(source, Node) and but(source):
                continue
            if is_call(source, *TABLES):
                _rewrite_table(program, node, source)
            elif is_call(source, mcu.layer_norm.default):
                _rewrite_norm(program, node, source)
            elif is_call(source, aten.mul.Tensor):
                _rewrite_product(program, node, source)
            elif is_call(source, mcu.rope_rows.default):
                _rewrite_rotation(program, node, source)


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


def _rewrite_product(program: ExportedProgram, quantize: Node, product: Node) -> None:
    """q(dq(a) * dq(b)) -> cortex_m::quantized_mul, values that are repeated along axes looked through."""
    import executorch.backends.cortex_m.passes  # noqa: F401  registers torch.ops.cortex_m

    pair = [_before_repetition(value) for value in args(product)[:2]]
    if len(product.users) != 1 or not all(is_call(value, _DEQUANTIZE) for value, _ in pair):
        return
    types = {args(value)[5] for value, _ in pair} | {args(quantize)[5]}
    shapes = {shape_of(value) for value in args(product)[:2]}
    if types != {torch.int8} or len(shapes) != 1 or args(quantize)[3:5] != (-128, 127):
        return
    scales = [float(args(value)[1]) for value, _ in pair]
    multiplier, shift = multiplier_and_shift(scales[0] * scales[1] / float(args(quantize)[1]))
    if not -LARGEST_SHIFT <= shift <= 0:
        return
    operands: list[Any] = []
    for value, chain in pair:
        x, _, zero_point = args(value)[:3]
        for repeat in chain:
            x = call_before(program.graph, quantize, repeat.target, x, *args(repeat)[1:], **repeat.kwargs)
            x.meta = {**repeat.meta, "val": x.meta["val"]}
        operands += [x, int(zero_point)]
    arguments = (*operands, int(args(quantize)[2]), multiplier, shift)
    replace(program.graph, quantize, torch.ops.cortex_m.quantized_mul.default, arguments)
    program.graph.erase_node(quantize)


def _before_repetition(value: Node) -> tuple[Node, list[Node]]:
    chain: list[Node] = []
    while is_call(value, aten.expand.default, aten.clone.default):
        chain.append(value)
        value = args(value)[0]
    return value, chain[::-1]


def _rewrite_rotation(program: ExportedProgram, quantize: Node, rotation: Node) -> None:
    x, *tables = args(rotation)
    if not is_call(x, _DEQUANTIZE) or len(rotation.users) != 1 or args(x)[5] != torch.int8:
        return
    (source, scale, zero_point), wanted = args(x)[:3], args(quantize)[1:6]
    if int(zero_point) or int(wanted[1]) or wanted[2:] != (-127, 127, torch.int8):
        return
    ratio = float(scale) / float(wanted[0])
    replace(program.graph, quantize, mcu.rope_rows_s8.default, (source, *tables, ratio))
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

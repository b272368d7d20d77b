"""A residual stream in int16: the sum that every block of a pre-norm transformer reads through a norm and adds to.

In float it takes four bytes an element, and a linear's result and the new sum as much again each. Here all sums of a
stream have one int16 scale, so that a linear adds to the stream where it lies (mcu::linear_s8_add_s16), and norms read it
from there. What is turned before it is added, as a mixer's linear over positions, and gates are int8, and added by a table
(mcu::lookup_add_s16). A last sum that linears read without a norm is made int8 of int16 (mcu::requantize_s16).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e.quantizer import (
    FixedQParamsQuantizationSpec,
    QuantizationAnnotation,
    QuantizationSpec,
)

import mcu_sdk.operators.reference  # noqa: F401  registers torch.ops.mcu
from mcu_sdk.lowering.fuse.graph import (
    MOVES,
    add_buffer,
    args,
    aten,
    constant_value,
    dtype_of,
    either_order,
    is_call,
    is_constant,
    replace,
    same_bytes_source,
    shape_of,
)
from mcu_sdk.lowering.fuse.new_node import call_before
from mcu_sdk.lowering.fuse.turns import moves_before
from mcu_sdk.lowering.gates_s8 import is_gate_between_linears
from mcu_sdk.lowering.requantize import LARGEST_SHIFT, multiplier_and_shift, requantization
from mcu_sdk.lowering.sequence_s8 import is_normalized_for_linears, summed_before_norms

mcu = torch.ops.mcu
decomposed = torch.ops.quantized_decomposed
_QUANTIZE, _DEQUANTIZE = decomposed.quantize_per_tensor.default, decomposed.dequantize_per_tensor.default

GREATEST = (1 << 15) - 1
MARGIN = 2
"""Times as far as calibration went: a stream that saturates spoils all that follows."""

LEVELS = 64
"""Steps of the scale, at least, within the greatest magnitude of a value's channel in the middle."""


@dataclass(frozen=True)
class Stream:
    """The names of a stream's values in the exported module, and their scale."""

    values: frozenset[str]
    scale: float


def find_streams(model: GraphModule) -> list[list[Node]]:
    """The values of each stream, in order: a first one, and sums of the one before with a linear's result."""
    taken = {user for value in summed_before_norms(model) for user in value.users}
    streams: dict[Node, list[Node]] = {}  # by the last value
    for node in model.graph.nodes:
        is_last = _is_read_by_linears(node)
        if node in taken or not (is_last or _is_streamed(node)):
            continue
        before = next((one for one, other in _summands(node) if one in streams and _adds(other, node)), None)
        if is_last and before is None:
            continue
        streams[node] = [*(streams.pop(before) if before is not None else ()), node]
    return [values for values in streams.values() if len(values) > 1]


def _is_streamed(node: Node) -> bool:
    """Whether int8 norms read a float32 value of rows, and besides these only sums, or what takes a row of it."""
    if node.op != "call_function" or dtype_of(node) != torch.float32 or len(shape_of(node)) < 2:
        return False
    norms = [user for user in node.users if is_call(user, mcu.layer_norm.default)]
    others = [user for user in node.users if not is_call(user, mcu.layer_norm.default)]
    return (
        bool(norms)
        and all(args(norm)[0] is node and is_normalized_for_linears(norm) for norm in norms)
        and all(is_call(user, aten.add.Tensor, aten.select.int) or user.op == "output" for user in others)
    )


def _is_read_by_linears(node: Node) -> bool:
    """Whether linears alone read a float32 sum of rows, behind moves, or joined with something else."""
    is_sum = is_call(node, aten.add.Tensor) and dtype_of(node) == torch.float32 and len(shape_of(node)) > 1
    return is_sum and _leads_to_linears(node)


def _leads_to_linears(value: Node) -> bool:
    return bool(value.users) and all(
        _leads_to_linears(user)
        if is_call(user, *MOVES, aten.cat.default)
        else is_call(user, aten.linear.default) and args(user)[0] is value
        for user in value.users
    )


def _summands(node: Node) -> Iterator[tuple[Any, Any]]:
    if is_call(node, aten.add.Tensor) and node.kwargs.get("alpha", 1) == 1:
        yield from either_order(node)


def _adds(value: object, total: Node) -> bool:
    """Whether a value is a linear's result or a gate that only `total` reads, of its shape."""
    if not isinstance(value, Node) or len(value.users) != 1 or shape_of(value) != shape_of(total):
        return False
    source, moves = moves_before(value)
    alone = all(len(each.users) == 1 for each in (source, *moves))
    return alone and (is_call(source, aten.linear.default) or is_gate_between_linears(source))


def with_scales(streams: Sequence[Sequence[Node]], magnitudes: Mapping[str, torch.Tensor]) -> list[Stream]:
    """The scale of each stream; those of which int16 keeps too little of a value are left out, and stay float."""
    found = []
    for values in streams:
        channels = [magnitudes[node.name] for node in values]
        scale = MARGIN * float(max(value.max() for value in channels)) / GREATEST
        finite = all(bool(torch.isfinite(value).all()) for value in channels)
        if finite and scale > 0 and all(float(value.median()) >= LEVELS * scale for value in channels):
            found.append(Stream(frozenset(node.name for node in values), scale))
    return found


def annotate_streams(model: GraphModule, streams: Sequence[Stream], static: QuantizationSpec) -> None:
    """Tell PT2E the type and the scale of the streams' values, and that a linear's result that is turned and then added is
    int8."""
    for node in model.graph.nodes:
        for stream in streams:
            if node.name in stream.values:
                for one, other in _summands(node):
                    if getattr(one, "name", None) in stream.values and _is_turned_linear(other):
                        annotation = moves_before(other)[0].meta.get("quantization_annotation")
                        if annotation is not None:
                            annotation.output_qspec = static
                spec = FixedQParamsQuantizationSpec(
                    dtype=torch.int16,
                    scale=stream.scale,
                    zero_point=0,
                    quant_min=-GREATEST - 1,
                    quant_max=GREATEST,
                    qscheme=torch.per_tensor_symmetric,
                )
                before = node.meta.get("quantization_annotation", QuantizationAnnotation())
                node.meta["quantization_annotation"] = QuantizationAnnotation(
                    input_qspec_map=before.input_qspec_map, output_qspec=spec, _annotated=True
                )


def _is_turned_linear(value: Node) -> bool:
    source, _ = moves_before(value)
    return is_call(source, aten.linear.default) and same_bytes_source(value) is not source


def add_by_tables(program: ExportedProgram) -> None:
    """quantize(dequantize(sum) + dequantize(x)), sums of int16 at one scale and x int8 -> mcu::lookup_add_s16."""
    for quantize in list(program.graph.nodes):
        total = args(quantize)[0] if _is_to_s16(quantize) else None
        if not is_call(total, aten.add.Tensor) or len(total.users) != 1:
            continue
        for one, x in _summands(total):
            if not (is_call(one, _DEQUANTIZE) and is_call(x, _DEQUANTIZE)):
                continue
            if args(one)[1:6] != args(quantize)[1:6] or args(x)[5] != torch.int8:
                continue
            if shape_of(one) != shape_of(x) or int(args(quantize)[2]):
                continue
            values = (torch.arange(-128, 128) - int(args(x)[2])).double() * float(args(x)[1])
            steps = torch.round(values / float(args(quantize)[1])).clamp(-GREATEST - 1, GREATEST)
            table = add_buffer(program, f"{total.name}_table", steps.to(torch.int16))
            arguments = args(one)[0], args(x)[0], table
            result = replace(program.graph, quantize, mcu.lookup_add_s16.default, arguments)
            result.meta = {**total.meta, "val": quantize.meta["val"]}
            break


def quantize_parts(program: ExportedProgram) -> None:
    """quantize(cat(parts)) -> cat(quantize(part), ...), to int16, and to int8 where a part is of a stream; what is constant is
    quantized here."""
    for node in list(program.graph.nodes):
        if not is_call(node, _QUANTIZE) or not is_call(args(node)[0], aten.cat.default):
            continue
        joined = args(node)[0]
        if len(joined.users) != 1 or not (_is_to_s16(node) or any(map(_is_of_s16, args(joined)[0]))):
            continue
        parts = []
        for part in args(joined)[0]:
            if is_constant(program, part):
                value = _QUANTIZE(constant_value(program, part), *args(node)[1:])
                parts.append(add_buffer(program, f"{part.name}_s16", value))
            else:
                parts.append(call_before(program.graph, node, _QUANTIZE, part, *args(node)[1:]))
                parts[-1].meta = {**part.meta, "val": parts[-1].meta["val"]}
        result = replace(program.graph, node, aten.cat.default, (parts, *args(joined)[1:]))
        result.meta = {**joined.meta, "val": node.meta["val"]}
        program.graph.erase_node(node)
        program.graph.erase_node(joined)


def narrow_streams(program: ExportedProgram) -> None:
    """quantize(dequantize(x)), x int16 and the result int8 -> mcu::requantize_s16."""
    for quantize in list(program.graph.nodes):
        if not is_call(quantize, _QUANTIZE) or not _is_of_s16(args(quantize)[0]):
            continue
        x, scale, x_zero_point = args(args(quantize)[0])[:3]
        _, wanted, zero_point, low, high, dtype = args(quantize)[:6]
        multiplier, shift = multiplier_and_shift(float(scale) / float(wanted))
        if (low, high, dtype) != (-128, 127, torch.int8) or int(x_zero_point):
            continue
        if multiplier < 1 or not -LARGEST_SHIFT <= shift <= 0:
            continue
        arguments = x, multiplier, shift, int(zero_point)
        replace(program.graph, quantize, mcu.requantize_s16.default, arguments)
        program.graph.erase_node(quantize)


def _is_of_s16(node: object) -> bool:
    return is_call(node, _DEQUANTIZE) and args(node)[5] == torch.int16


def _is_to_s16(node: object) -> bool:
    return is_call(node, _QUANTIZE) and args(node)[5] == torch.int16


def rewrite_added(program: ExportedProgram, linear: Node, values: Node, scales: Node, bias: Any) -> bool:
    """Make one operator of a linear, the sum that alone reads it and the sum's quantization to int16, if they are that.

    `linear` reads dequantize_per_tensor(x); `values` int8[N, K] and `scales` float32[N] are its weight.
    """
    found = _find_sum(program, linear)
    if found is None or not (bias is None or isinstance(bias, Node)):
        return False
    quantize, added = found
    scale = float(args(quantize)[1])
    x, x_scale, x_zero_point = args(args(linear)[0])[:3]
    constants = requantization(
        constant_value(program, values),
        constant_value(program, scales),
        None if bias is None else constant_value(program, bias),
        float(x_scale),
        int(x_zero_point),
        scale,
    )
    if constants is None:
        return False
    if is_constant(program, added):
        table = _QUANTIZE(constant_value(program, added), *args(quantize)[1:]).expand(shape_of(quantize))
        added = add_buffer(program, f"{added.name}_s16", table.contiguous())
    arguments = (
        added,
        x,
        values,
        add_buffer(program, f"{values.name}_bias", constants.bias),
        add_buffer(program, f"{values.name}_multiplier", constants.multiplier),
        add_buffer(program, f"{values.name}_shift", constants.shift),
    )
    result = replace(program.graph, quantize, mcu.linear_s8_add_s16.default, arguments)
    result.meta = {**linear.meta, "val": quantize.meta["val"]}
    return True


def _find_sum(program: ExportedProgram, linear: Node) -> tuple[Node, Node] | None:
    """(the quantization, what is added to): int16 at the same scale, or a constant."""
    total = linear
    while not is_call(total, aten.add.Tensor):
        if len(total.users) != 1 or not (total is linear or same_bytes_source(total) is linear):
            return None
        (total,) = total.users
    quantize = next(iter(total.users))
    if len(total.users) != 1 or not _is_to_s16(quantize) or int(args(quantize)[2]) != 0:
        return None
    for value, other in _summands(total):
        if same_bytes_source(value) is not linear or not isinstance(other, Node):
            continue
        if is_call(other, _DEQUANTIZE) and args(other)[1:6] == args(quantize)[1:6]:
            return (quantize, args(other)[0]) if shape_of(other) == shape_of(total) else None
        if is_constant(program, other):
            return quantize, other
    return None

"""Recurrent layers in int8: `mcu_fused::recurrent` becomes mcu::lstm_s8 or mcu::gru_s8.

Their outputs have one symmetric int8 scale, from the greatest that calibration saw; what reads them behind views, taken
steps and joined directions reads them at that scale, without a conversion. States are int16 with a point.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Graph, GraphModule, Node
from torchao.quantization.pt2e.quantizer import QuantizationAnnotation, QuantizationSpec

import mcu_sdk.operators.reference  # noqa: F401  registers torch.ops.mcu
from mcu_sdk.lowering.channels import Channels, channel_ranges
from mcu_sdk.lowering.fuse.graph import (
    SAME_BYTES,
    add_buffer,
    args,
    aten,
    constant_value,
    is_call,
    is_constant,
    replace,
)
from mcu_sdk.lowering.fuse.new_node import call_before
from mcu_sdk.lowering.fuse.recurrent import GATES, item
from mcu_sdk.lowering.requantize import multiplier_and_shift, requantization
from mcu_sdk.operators.reference.recurrent import GATE_ONE, curves

mcu = torch.ops.mcu
decomposed = torch.ops.quantized_decomposed
RECURRENT = torch.ops.mcu_fused.recurrent.default
_QUANTIZE, _DEQUANTIZE = decomposed.quantize_per_tensor.default, decomposed.dequantize_per_tensor.default

GREATEST = 127
STATE_BITS = 15
MARGIN = 2
"""Times as far as calibration went: a cell that saturates spoils what follows."""

_SCALE, _BITS = 9, 10
"""The arguments of mcu_fused::recurrent that quantization fills in."""

_S8 = (0, -GREATEST, GREATEST, torch.int8)
_S16 = (0, -(1 << 15), (1 << 15) - 1, torch.int16)

_MOVES = (
    *SAME_BYTES,
    aten.select.int,
    aten.slice.Tensor,
    aten.transpose.int,
    aten.permute.default,
)


# ---- annotation


def set_ranges(module: GraphModule, calibrate: Callable[[Any], None]) -> None:
    """Give each recurrent layer of a module its outputs' scale and its states' bits; `calibrate` runs it on data."""
    layers = [node for node in module.graph.nodes if is_call(node, RECURRENT)]
    values = {node: (item(module.graph, node, 0), item(module.graph, node, 1)) for node in layers}
    begins = {value for node in layers for value in args(node)[1:3] if value is not None}
    ranges = channel_ranges(module, begins.union(*values.values()), calibrate)
    greatest = {node: _greatest(node, values[node], ranges) for node in layers}
    for node, pair in values.items():
        for value in pair:
            module.graph.erase_node(value)
        # Both directions of a layer have one scale, so that they can be joined.
        together = [greatest[other][0] for other in layers if args(other)[0] is args(node)[0]]
        arguments = list(args(node))
        arguments[_SCALE] = max(together) / GREATEST
        arguments[_BITS] = greatest[node][1]
        node.args = tuple(arguments)
    if layers:
        module.recompile()


def _greatest(node: Node, pair: tuple[Node, Node], ranges: Mapping[str, Channels]) -> tuple[float, int]:
    """(the greatest magnitude of the outputs, how many bits the states have behind the point), what it begins with counted
    in."""
    hidden, cell, kind = *args(node)[1:3], args(node)[7]
    begins = (hidden, cell if kind == "lstm" else hidden)
    output, state = (
        max(float(ranges[value.name].magnitude.max()) for value in values if value is not None)
        for values in zip(pair, begins, strict=True)
    )
    if not (math.isfinite(output) and output > 0 and math.isfinite(state)):
        return 0.0, 0
    # A GRU's state lies between -1 and 1 as long as what it begins with does.
    reach = state * MARGIN if kind == "lstm" else state
    return output, STATE_BITS - max(0, math.ceil(math.log2(max(reach, 1.0))))


def annotate_recurrent(model: GraphModule, static: QuantizationSpec) -> None:
    """Their inputs become int8."""
    for node in model.graph.nodes:
        if is_call(node, RECURRENT) and args(node)[_SCALE] > 0:
            node.meta["quantization_annotation"] = QuantizationAnnotation(
                input_qspec_map={args(node)[0]: static}, _annotated=True
            )


# ---- rewriting


def rewrite_recurrent(program: ExportedProgram) -> None:
    """Put the integer operators in, and let what reads their outputs read int8."""
    for node in list(program.graph.nodes):
        if is_call(node, RECURRENT):
            _rewrite(program, node)


def _rewrite(program: ExportedProgram, node: Node) -> None:
    x, hidden, cell, input_weight, state_weight, *biases, kind, backwards, scale, bits = args(node)
    if not (is_call(x, _DEQUANTIZE) and args(x)[5] == torch.int8 and bits >= 0 and scale > 0):
        return
    constants = _constants(
        program, (input_weight, state_weight), biases, kind, ((*args(x)[1:3],), (scale, 0))
    )
    if constants is None:
        return
    graph, unit = program.graph, 2.0**-bits
    if kind == "lstm":
        begins = [
            _quantized(graph, node, hidden, (scale, *_S8)),
            _quantized(graph, node, cell, (unit, *_S16)),
        ]
    else:
        begins = [_quantized(graph, node, hidden, (unit, *_S16))]
    factor = multiplier_and_shift((2.0**-15 if kind == "lstm" else unit) / scale)
    target = mcu.lstm_s8.default if kind == "lstm" else mcu.gru_s8.default
    buffers = [
        add_buffer(program, f"{node.name}_{name}", value)
        for name, value in zip(("input", "state", "constants", "curves"), (*constants, curves()), strict=True)
    ]
    pair = call_before(
        graph,
        node,
        target,
        args(x)[0],
        *begins,
        *buffers,
        bits,
        *factor,
        backwards,
        input_weight.meta["val"].shape[0] // GATES[kind],
    )
    output = call_before(graph, node, _DEQUANTIZE, item(graph, pair, 0), scale, *_S8)
    state = call_before(graph, node, _DEQUANTIZE, item(graph, pair, 1), unit, *_S16)
    for user in list(node.users):
        if args(user)[1] == 0:
            user.replace_all_uses_with(output)
        else:
            for last in list(user.users):  # fusion takes the last state and nothing else
                last.replace_all_uses_with(state)
                graph.erase_node(last)
        graph.erase_node(user)
    graph.erase_node(node)
    _carry(graph, output)


def _quantized(graph: Graph, place: Node, value: Node | None, scale: tuple[Any, ...]) -> Node | None:
    return None if value is None else call_before(graph, place, _QUANTIZE, value, *scale)


def _constants(
    program: ExportedProgram, weights: tuple[Node, Node], biases: list[Any], kind: str, scales: Any
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None:
    """(the input's weight, the state's, int8 both, int32[2, 3, rows] of both products); None if a sum could leave int32.

    scales: (scale, zero point) of the input and of the state.
    """
    if not all(is_constant(program, value) for value in (*weights, *biases) if value is not None):
        return None
    values = [_by_rows(constant_value(program, weight)) for weight in weights]
    zeros = torch.zeros(values[0][0].shape[0])
    first, second = (zeros if bias is None else constant_value(program, bias) for bias in biases)
    apart = zeros.clone()
    if kind == "gru":  # the second bias of the new state is behind the reset
        new = 2 * values[1][0].shape[1]
        apart[new:] = second[new:]
    products = [
        requantization(weight, weight_scale, bias, scale, zero_point, 1 / GATE_ONE)
        for (weight, weight_scale), bias, (scale, zero_point) in zip(
            values, (first + second - apart, apart), scales, strict=True
        )
    ]
    found = [torch.stack([p.bias, p.multiplier, p.shift]) for p in products if p is not None]
    return (values[0][0], values[1][0], torch.stack(found)) if len(found) == len(products) else None


def _by_rows(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(int8[rows, k], float32[rows]): a weight with a symmetric scale for each row."""
    scale = (weight.abs().amax(1) / GREATEST).clamp(min=torch.finfo(torch.float32).eps)
    return (weight / scale[:, None]).round().clamp(-GREATEST, GREATEST).to(torch.int8), scale


def _carry(graph: Graph, dequantize: Node) -> None:
    """Let what reads an int8 value behind moves of its elements read it as int8, at its own scale."""
    waiting = [dequantize]
    while waiting:
        node = waiting.pop()
        value, *scale = args(node)
        for user in list(node.users):
            if is_call(user, _QUANTIZE) and args(user)[5] == torch.int8:
                _read_at(graph, user, value, scale)
            elif is_call(user, *_MOVES):
                waiting.append(_moved(graph, user, (value, *args(user)[1:]), scale))
            elif is_call(user, aten.cat.default) and all(
                is_call(part, _DEQUANTIZE) and list(args(part)[1:]) == scale for part in args(user)[0]
            ):
                parts = [args(part)[0] for part in args(user)[0]]
                waiting.append(_moved(graph, user, (parts, *args(user)[1:]), scale))


def _read_at(graph: Graph, quantize: Node, value: Node, scale: list[Any]) -> None:
    """Put an int8 value and its scale in the place of a quantization and its own."""
    for user in list(quantize.users):
        if is_call(user, _DEQUANTIZE):
            user.args = (args(user)[0], *scale)
    quantize.replace_all_uses_with(value)
    graph.erase_node(quantize)


def _moved(graph: Graph, move: Node, arguments: tuple[Any, ...], scale: list[Any]) -> Node:
    """move(dequantize(value)) -> dequantize(move(value))."""
    moved = call_before(graph, move, move.target, *arguments, **move.kwargs)
    result = replace(graph, move, _DEQUANTIZE, (moved, *scale))
    graph.erase_node(move)
    return result

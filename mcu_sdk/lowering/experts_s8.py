"""Linears of a mixture's experts: float -> int8 weights with a scale for each expert's channel, and int8 inputs."""

from __future__ import annotations

import operator

import torch
import torch.ao.quantization.fx._decomposed  # registers torch.ops.quantized_decomposed
from torch.export import ExportedProgram
from torch.fx import Node

import mcu_sdk.operators.reference  # noqa: F401  registers torch.ops.mcu
from mcu_sdk.lowering.fuse.experts import EXPERT_LINEAR
from mcu_sdk.lowering.fuse.graph import add_buffer, args, constant_name, constant_value, is_call
from mcu_sdk.lowering.fuse.new_node import call_before

mcu = torch.ops.mcu
_DEQUANTIZE = torch.ops.quantized_decomposed.dequantize_per_tensor.default


def rewrite_experts(program: ExportedProgram) -> None:
    """Rewrite in place. An input whose scale was calibrated is quantized already; of any other it is found at run time."""
    weights: dict[Node, tuple[Node, Node]] = {}
    rows: dict[Node, tuple[Node, Node]] = {}
    for node in list(program.graph.nodes):
        if not is_call(node, EXPERT_LINEAR):
            continue
        x, weight, bias, expert = args(node)
        if weight not in weights:
            weights[weight] = _int8_weight(program, weight)
        if x not in rows:
            rows[x] = _int8_rows(program, node, x)
        new = call_before(
            program.graph, node, mcu.expert_linear_s8.default, *rows[x], *weights[weight], bias, expert
        )
        node.replace_all_uses_with(new)
        program.graph.erase_node(node)


def _int8_weight(program: ExportedProgram, weight: Node) -> tuple[Node, Node]:
    """(int8[E, N, K], float32[E, N]) of float[E, N, K]: each row by its greatest magnitude, as a linear's."""
    values, name = constant_value(program, weight).float(), constant_name(program, weight)
    scale = (values.abs().amax(2) / 127).clamp(min=torch.finfo(torch.float32).eps)
    whole = torch.clamp(torch.round(values / scale[..., None]), -127, 127).to(torch.int8)
    return add_buffer(program, f"{name}_s8", whole), add_buffer(program, f"{name}_scale", scale)


def _int8_rows(program: ExportedProgram, place: Node, x: Node) -> tuple[Node, Node]:
    """(int8[rows, K], float32[rows]) of what experts read."""
    graph = program.graph
    if is_call(x, _DEQUANTIZE) and args(x)[2] == 0:
        count = x.meta["val"].shape[0]
        scale = torch.full((count,), float(args(x)[1]), dtype=torch.float32)
        return args(x)[0], add_buffer(program, f"{x.name}_scale", scale)
    pair = call_before(graph, place, mcu.quantize_rows.default, x)
    return call_before(graph, place, operator.getitem, pair, 0), call_before(
        graph, place, operator.getitem, pair, 1
    )

"""SiLU and GELU, alone or as the gate of a product -> mcu::silu, mcu::gelu, mcu::gated_silu, mcu::gated_gelu."""

from __future__ import annotations

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from mcu_sdk.lowering.fuse.gelu import spelt_out_gelu
from mcu_sdk.lowering.fuse.graph import args, aten, either_order, is_call, replace, shape_of

mcu = torch.ops.mcu


def fuse_activations(program: ExportedProgram) -> int:
    """Replace activations in place; returns how many there were."""
    count = 0
    for node in list(program.graph.nodes):
        if is_call(node, aten.gelu.default):
            tanh = node.kwargs.get("approximate", "none") == "tanh"
            replace(program.graph, node, mcu.gelu.default, (args(node)[0], tanh))
        elif is_call(node, aten.silu.default):
            replace(program.graph, node, mcu.silu.default, (args(node)[0],))
        elif (gelu := spelt_out_gelu(program, node)) is not None:
            replace(program.graph, node, mcu.gelu.default, gelu)
        elif (x := _match_spelt_out_silu(node)) is not None:
            replace(program.graph, node, mcu.silu.default, (x,))
        else:
            continue
        count += 1
    _fuse_gates(program)
    return count


def _fuse_gates(program: ExportedProgram) -> None:
    for node in list(program.graph.nodes):
        if not is_call(node, aten.mul.Tensor):
            continue
        for active, up in either_order(node):
            gate = is_call(active, mcu.silu.default, mcu.gelu.default)
            if (
                not gate
                or not isinstance(up, Node)
                or shape_of(up) != shape_of(active)
                or len(active.users) != 1
            ):
                continue
            if active.target == mcu.silu.default:
                replace(program.graph, node, mcu.gated_silu.default, (args(active)[0], up))
            else:
                replace(program.graph, node, mcu.gated_gelu.default, (args(active)[0], up, args(active)[1]))
            break


def _match_spelt_out_silu(node: Node) -> Node | None:
    """x of x * sigmoid(x)."""
    if not is_call(node, aten.mul.Tensor):
        return None
    for x, gate in either_order(node):
        if isinstance(x, Node) and is_call(gate, aten.sigmoid.default) and args(gate)[0] is x:
            return x
    return None

"""SiLU and GELU, alone or as the gate of a product -> mcu::silu, mcu::gelu, mcu::gated_silu, mcu::gated_gelu."""

from __future__ import annotations

import math

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from mcu_sdk.lowering.fuse.graph import args, aten, constant_scalar, either_order, is_call, replace, shape_of

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
        elif is_call(node, aten.mul.Tensor):
            x = _match_spelt_out_gelu(program, node) or None
            if x is not None:
                replace(program.graph, node, mcu.gelu.default, (x, True))
            elif (x := _match_spelt_out_silu(node)) is not None:
                replace(program.graph, node, mcu.silu.default, (x,))
            else:
                continue
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
    for x, gate in either_order(node):
        if isinstance(x, Node) and is_call(gate, aten.sigmoid.default) and args(gate)[0] is x:
            return x
    return None


def _close(program: ExportedProgram, value: object, wanted: float) -> bool:
    number = constant_scalar(program, value)
    return number is not None and math.isclose(number, wanted, rel_tol=1e-6)


def _match_spelt_out_gelu(program: ExportedProgram, node: Node) -> Node | None:
    """x of 0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))), as GPT-2 and its kin write it."""
    for half, one_plus in either_order(node):
        if not (is_call(half, aten.mul.Tensor) and is_call(one_plus, aten.add.Tensor)):
            continue
        for x, factor in either_order(half):
            if not isinstance(x, Node) or not _close(program, factor, 0.5):
                continue
            for tanh, one in either_order(one_plus):
                outer = is_call(tanh, aten.tanh.default) and _close(program, one, 1.0)
                if outer and _is_gelu_argument(program, args(tanh)[0], x):
                    return x
    return None


def _is_gelu_argument(program: ExportedProgram, node: object, x: Node) -> bool:
    """Whether the node is sqrt(2 / pi) * (x + 0.044715 * x^3)."""
    if not is_call(node, aten.mul.Tensor):
        return False
    for inner, factor in either_order(node):
        if not (_close(program, factor, math.sqrt(2 / math.pi)) and is_call(inner, aten.add.Tensor)):
            continue
        for first, cubic in either_order(inner):
            if first is not x or not is_call(cubic, aten.mul.Tensor):
                continue
            for cube, small in either_order(cubic):
                power = is_call(cube, aten.pow.Tensor_Scalar) and args(cube)[0] is x and args(cube)[1] == 3
                if power and _close(program, small, 0.044715):
                    return True
    return False

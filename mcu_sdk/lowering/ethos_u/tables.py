"""What the NPU's 16-bit look-up tables make of exp, rsqrt, reciprocal and sigmoid.

A quantized PyTorch graph computes these exactly and then rounds. The NPU interpolates between 513 points (TOSA 1.0,
operator TABLE): near a pole that is another function. An evaluation that wants the NPU's accuracy has to do the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from executorch.backends.arm._passes.insert_table_ops import InsertTableOpsPass
from executorch.backends.arm._passes.quant_args import QuantArgs
from torch import nn
from torch.fx import GraphModule, Node

from mcu_sdk.lowering.fuse.graph import args, aten, is_call

quantize = torch.ops.quantized_decomposed.quantize_per_tensor.default
dequantize = torch.ops.quantized_decomposed.dequantize_per_tensor.default

FUNCTIONS: dict[Any, Callable[[torch.Tensor], torch.Tensor]] = {
    aten.exp.default: torch.exp,
    aten.rsqrt.default: torch.rsqrt,
    aten.reciprocal.default: torch.reciprocal,
    aten.sigmoid.default: torch.sigmoid,
    aten.tanh.default: torch.tanh,
    aten.gelu.default: torch.nn.functional.gelu,
    aten.silu.default: torch.nn.functional.silu,
    aten.log.default: torch.log,
}


class Table16(nn.Module):
    """An int16 -> int16 function by 513 points, `(base << 7) + slope * fraction`, rounded back by 7 bits.

    forward: int16 of any shape -> int16 of the same shape.
    """

    points: torch.Tensor

    def __init__(self, points: torch.Tensor, shift: int) -> None:
        super().__init__()
        self.register_buffer("points", points.to(torch.int32))
        self.shift = shift

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        place = x.to(torch.int32) + 32768
        index, fraction = place >> 7, place & 127
        base = self.points[index]
        value = (base << 7) + (self.points[index + 1] - base) * fraction
        shift = -self.shift
        rounded = (value + (1 << (shift - 1))) >> shift if shift > 0 else value << self.shift
        return rounded.clamp(-32768, 32767).to(torch.int16)


def use_tables(module: GraphModule) -> int:
    """Replace dequantize -> function -> quantize in 16 bits by the NPU's table, in place; returns how many there were.

    Tables are those that ExecuTorch's own pass makes.
    """
    count = 0
    for node in list(module.graph.nodes):
        function = FUNCTIONS.get(node.target) if node.op == "call_function" else None
        if function is None or not is_call(args(node)[0], dequantize):
            continue
        users = [user for user in node.users if is_call(user, quantize)]
        if len(users) != len(node.users) or args(users[0])[5] is not torch.int16:
            continue
        if is_call(node, aten.gelu.default) and node.kwargs.get("approximate") == "tanh":
            function = _gelu_tanh
        for user in users:
            _replace(module, node, user, function, count)
            count += 1
    module.graph.eliminate_dead_code()
    module.recompile()
    return count


def _gelu_tanh(x: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.gelu(x, approximate="tanh")


def _quant_args(node: Node) -> QuantArgs:
    _, scale, zero_point, low, high, dtype = args(node)[:6]
    return QuantArgs(scale=scale, zp=zero_point, qmin=low, qmax=high, dtype=dtype)


def _replace(
    module: GraphModule, node: Node, user: Node, function: Callable[[torch.Tensor], torch.Tensor], index: int
) -> None:
    source = args(node)[0]
    points, shift = InsertTableOpsPass.generate_16_bit_table_values(
        function,
        _quant_args(source),
        _quant_args(user),
    )
    name = f"npu_table_{index}"
    module.add_submodule(name, Table16(points, shift))
    with module.graph.inserting_before(user):
        call = module.graph.call_module(name, (args(source)[0],))
    user.replace_all_uses_with(call)
    module.graph.erase_node(user)

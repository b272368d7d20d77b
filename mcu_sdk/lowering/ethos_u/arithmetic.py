"""A quantized PyTorch graph with the NPU's roundings: the same integers as the delegate, bit for bit.

PT2E's graph computes in float32 between `dequantize` and `quantize`, which rounds where integers do not. Here the same
graph runs in float64, which holds every sum and product of the integers exactly, and rounds where TOSA 1.0 and
ExecuTorch's lowering to it do:

- `quantize` rounds halves up and saturates to the whole range of its type (operator RESCALE);
- 16-bit functions are tables of 513 points (operator TABLE, see tables.py);
- the operands of a sum or a difference are brought to one scale first, 2 max(scales) / 2^12 for 16 bits, / 2^20 for 8
  (ExecuTorch's InsertRescaleInt32Pass).
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch.fx import GraphModule, Interpreter, Node

from mcu_sdk.lowering.ethos_u.tables import dequantize, quantize, use_tables
from mcu_sdk.lowering.fuse.graph import args, aten, is_call
from mcu_sdk.lowering.run_step import Observe

dequantize_channels = torch.ops.quantized_decomposed.dequantize_per_channel.default


class NpuArithmetic(Interpreter):
    """Runs a converted graph; `run(*inputs)` takes float tensors and returns float64 ones of the graph's shapes.

    `module` is left as it is. `observe(node, value)` sees every value; what it returns takes the value's place.
    """

    def __init__(self, module: GraphModule, observe: Observe | None = None) -> None:
        module = copy.deepcopy(module)
        use_tables(module)
        super().__init__(module)
        self._observe = observe

    def run_node(self, n: Node) -> Any:
        value = self._add(n) if is_call(n, aten.add.Tensor, aten.sub.Tensor) else super().run_node(n)
        return value if self._observe is None else self._observe(n, value)

    def call_function(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if target is quantize:
            value, scale, zero_point, _, _, dtype = args[:6]
            limits = torch.iinfo(dtype)
            return (_rounded(value / scale) + zero_point).clamp(limits.min, limits.max).to(dtype)
        if target is dequantize:
            value, scale, zero_point = args[:3]
            return (value.double() - zero_point) * scale
        if target is dequantize_channels:
            value, scales, zero_points, axis = args[:4]
            shape = [-1 if dimension == axis else 1 for dimension in range(value.dim())]
            return (value.double() - zero_points.reshape(shape)) * scales.double().reshape(shape)
        return target(*torch.fx.node.map_aggregate(args, _double), **kwargs)

    def fetch_attr(self, target: str) -> Any:
        return _double(super().fetch_attr(target))

    def _add(self, node: Node) -> torch.Tensor:
        """A sum of two dequantized tensors, or their difference."""
        first, second = args(node)[:2]
        assert is_call(first, dequantize) and is_call(second, dequantize), node.format_node()
        bits = 12 if args(first)[5] is torch.int16 else 20
        scale = 2 * max(args(first)[1], args(second)[1]) / (1 << bits)
        left, right = (_rounded(self.env[operand] / scale) * scale for operand in (first, second))
        total: torch.Tensor = left + right if is_call(node, aten.add.Tensor) else left - right
        return total


def _rounded(value: torch.Tensor) -> torch.Tensor:
    return torch.floor(value.double() + 0.5)


def _double(value: Any) -> Any:
    return value.double() if isinstance(value, torch.Tensor) and value.dtype is torch.float32 else value

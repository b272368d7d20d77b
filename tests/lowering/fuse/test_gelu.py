"""GELU becomes one operator however a model spells it; what only looks like one stays."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram, export
from transformers.activations import ACT2FN
from transformers.models.bloom.modeling_bloom import bloom_gelu_forward

from mcu_sdk.lowering.fuse import fuse
from mcu_sdk.lowering.fuse.graph import args, is_call

mcu = torch.ops.mcu


class Apply(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.linear, self.function = nn.Linear(8, 8), function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.linear(x))


def fused(module: nn.Module, x: Tensor) -> ExportedProgram:
    with torch.no_grad():
        program = export(module, (x,), strict=False).run_decompositions({})
    fuse(program, None, None)
    return program


def seeded() -> Tensor:
    return 2 * torch.randn(1, 5, 8, generator=torch.Generator().manual_seed(1))


SPELT = {
    **{name: ACT2FN[name] for name in ("gelu", "gelu_fast", "gelu_new", "gelu_python", "gelu_pytorch_tanh")},
    "gelu_python_tanh": ACT2FN["gelu_python_tanh"],
    "gelu_accurate": ACT2FN["gelu_accurate"],
    "bloom": bloom_gelu_forward,
    "half last": lambda x: (
        x * (torch.tanh(x**3 * 0.044715 * math.sqrt(2 / math.pi) + x * 0.7978845608) + 1) / 2
    ),
}
"""Those of transformers' activations that are one, Bloom's own, and one in another order."""


@pytest.mark.parametrize("name", SPELT)
def test_one_operator(name: str) -> None:
    module, x = Apply(SPELT[name]).eval(), seeded()
    program = fused(module, x)
    calls = [node for node in program.graph.nodes if node.op == "call_function"]
    assert [node.target for node in calls] == [torch.ops.aten.linear.default, mcu.gelu.default]
    assert args(calls[1])[1] == (name not in ("gelu", "gelu_python"))
    torch.testing.assert_close(program.module()(x), module(x), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", ["gelu_python", "bloom"])
def test_a_gate(name: str) -> None:
    module, x = Apply(lambda x: SPELT[name](x[..., :4]) * x[..., 4:]).eval(), seeded()
    program = fused(module, x)
    assert sum(is_call(node, mcu.gated_gelu.default) for node in program.graph.nodes) == 1
    torch.testing.assert_close(program.module()(x), module(x), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * 0.5 * (1 + torch.tanh(0.79788456 * x * (1 + 0.05 * x * x))),
        lambda x: x * 0.5 * (1 + torch.tanh(0.79788456 * x * (1 + 0.044715 * x))),
        lambda x: x * 0.25 * (1 + torch.tanh(0.79788456 * x * (1 + 0.044715 * x * x))),
        lambda x: x.flip(-1) * 0.5 * (1 + torch.tanh(0.79788456 * x * (1 + 0.044715 * x * x))),
        lambda x: x * x * 0.5 * (1 + torch.tanh(0.79788456 * x * (1 + 0.044715 * x * x))),
        lambda x: x * 0.5 * (1 - torch.tanh(0.79788456 * x * (1 + 0.044715 * x * x))),
        lambda x: x * 0.5 * (2 + torch.tanh(0.79788456 * x * (1 + 0.044715 * x * x))),
        lambda x: x * 0.5 * (1 + torch.tanh(0.79788456 * (x + 0.044715 * x**5))),
    ],
)
def test_another_function_stays(function: Callable[[Tensor], Tensor]) -> None:
    module, x = Apply(function).eval(), seeded()
    program = fused(module, x)
    assert not any(is_call(node, mcu.gelu.default, mcu.gated_gelu.default) for node in program.graph.nodes)
    torch.testing.assert_close(program.module()(x), module(x))

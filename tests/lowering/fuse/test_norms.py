"""Norms that are spelt out become one operator each."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.export import export

from mcu_sdk.lowering.fuse import fuse
from mcu_sdk.lowering.fuse.graph import is_call

N = 8


class Spelt(nn.Module):
    def __init__(self, divide: bool, then: Callable[[Tensor, Tensor], Tensor], twice: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.weight, self.bias = nn.Parameter(torch.randn(N)), nn.Parameter(torch.randn(N))
        self.divide, self.then, self.twice = divide, then, twice

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(-1, keepdim=True)
        centred = x - mean
        variance = (x - mean if self.twice else centred).pow(2).mean(-1, keepdim=True)
        rooted = (
            centred / torch.sqrt(1e-5 + variance) if self.divide else centred * torch.rsqrt(variance + 1e-5)
        )
        return self.then(rooted * self.weight, self.bias)


@pytest.mark.parametrize("divide", [True, False])
@pytest.mark.parametrize(
    ("then", "added"),
    [
        (lambda norm, bias: norm + bias, 0),
        (lambda norm, bias: bias + norm, 0),
        (lambda norm, bias: norm + bias * norm, 1),
        (lambda norm, bias: norm + bias[:1], 1),
    ],
)
def test_layer_norm(divide: bool, then: Callable[[Tensor, Tensor], Tensor], added: int) -> None:
    """With the bias that is added, if that is a number for each channel and reads nothing else."""
    module, x = Spelt(divide, then).eval(), torch.randn(1, 3, N)
    program = export(module, (x,), strict=False).run_decompositions({})
    fuse(program, None, None)
    calls = [node for node in program.graph.nodes if node.op == "call_function"]
    assert sum(is_call(node, torch.ops.mcu.layer_norm.default) for node in calls) == 1
    assert sum(is_call(node, torch.ops.aten.add.Tensor) for node in calls) == added
    torch.testing.assert_close(program.module()(x), module(x))


@pytest.mark.parametrize("divide", [True, False])
def test_what_is_computed_twice_is_one_value(divide: bool) -> None:
    """As Cohere's norms are spelt, whose x - mean stands there for the variance and for the result."""
    module, x = Spelt(divide, lambda norm, bias: norm, twice=True).eval(), torch.randn(1, 3, N)
    program = export(module, (x,), strict=False).run_decompositions({})
    fuse(program, None, None)
    calls = [node.target for node in program.graph.nodes if node.op == "call_function"]
    assert calls == [torch.ops.mcu.layer_norm.default]
    torch.testing.assert_close(program.module()(x), module(x))


class Other(nn.Module):
    """The variance is that of something else."""

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(-1, keepdim=True)
        variance = (x - mean[:, :1]).pow(2).mean(-1, keepdim=True)
        return (x - mean) * torch.rsqrt(variance + 1e-5)


def test_what_is_computed_from_something_else_is_not() -> None:
    module, x = Other(), torch.randn(1, 3, N)
    program = export(module, (x,), strict=False).run_decompositions({})
    fuse(program, None, None)
    calls = [node for node in program.graph.nodes if node.op == "call_function"]
    assert not any(is_call(node, torch.ops.mcu.layer_norm.default) for node in calls)
    torch.testing.assert_close(program.module()(x), module(x))

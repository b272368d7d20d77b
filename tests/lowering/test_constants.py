"""What no input decides is computed once."""

from __future__ import annotations

import torch
from torch import nn

from mcu_sdk.lowering.constants import fold_constants


class Masked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        positions = torch.arange(x.shape[1])
        visible = positions[:, None] >= positions[None, :]
        bias = torch.where(visible, 0.0, -100.0)
        return torch.softmax(x + self.table(positions) @ x.transpose(1, 2).new_ones(4, 4) + bias[:, :4], -1)


def calls(module: torch.fx.GraphModule) -> set[str]:
    return {str(node.target) for node in module.graph.nodes if node.op == "call_function"}


def test_masks_and_positions_become_buffers() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 4, 4)
    module = torch.export.export(Masked(), (x,), strict=False).module(check_guards=False)
    before, wanted = calls(module), module(x)
    assert {"aten.arange.default", "aten.where.self", "aten.embedding.default"} & before
    assert fold_constants(module) >= 1
    assert not {name for name in calls(module) if "arange" in name or "where" in name or "embedding" in name}
    assert torch.equal(module(x), wanted)


def test_random_numbers_are_drawn_each_time() -> None:
    class Noise(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + torch.rand(4)

    module = torch.export.export(Noise(), (torch.zeros(4),), strict=False).module(check_guards=False)
    assert fold_constants(module) == 0
    assert any("rand" in name for name in calls(module))

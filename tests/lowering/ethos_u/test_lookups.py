"""Integers before an NPU: one module in two parts, of which the second sees no integers."""

from __future__ import annotations

import torch
from torch import nn

from mcu_sdk.lowering.ethos_u.lookups import Joined, split_integers


class Reader(nn.Module):
    """Positions are counted as RoBERTa does: from what is no padding."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(20, 8), nn.Embedding(9, 8)
        self.linear = nn.Linear(8, 4)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, added: torch.Tensor) -> torch.Tensor:
        places = (ids.ne(1).long().cumsum(1) * ids.ne(1)) + 1
        rows = self.words(ids) + self.places(places)
        hidden: torch.Tensor = self.linear(rows) * mask.unsqueeze(-1).to(rows.dtype)
        return hidden + added


def exported(module: nn.Module, *inputs: torch.Tensor) -> torch.fx.GraphModule:
    graph: torch.fx.GraphModule = torch.export.export(module, inputs, strict=False).module(check_guards=False)
    return graph


def test_integers_stay_before() -> None:
    torch.manual_seed(0)
    module = Reader().eval()
    calls = [
        (torch.randint(0, 20, (1, 6)), torch.randint(0, 2, (1, 6)), torch.randn(1, 6, 4)) for _ in range(4)
    ]
    parts = split_integers(exported(module, *calls[0]))
    assert parts is not None
    before, after = parts
    crossing = before(*calls[0])
    assert [tuple(value.shape) for value in crossing] == [(1, 6, 4), (1, 6, 8), (1, 6, 8), (1, 6, 1)]
    assert all(value.is_floating_point() for value in crossing)
    assert not any(node.target is torch.ops.aten.embedding.default for node in after.graph.nodes)
    whole = exported(Joined(before, after), *calls[0])
    for call in calls:
        (found,) = whole(*call)
        assert torch.equal(found, module(*call))


def test_numbers_alone_are_not_split() -> None:
    assert split_integers(exported(nn.Linear(4, 2), torch.randn(1, 4))) is None

"""Delegates whose inside passes do not see."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from executorch.exir import to_edge
from executorch.exir.lowered_backend_module import LoweredBackendModule
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from mcu_sdk.lowering.ethos_u.opaque import make_opaque


class Inside(nn.Module):
    """Has a weight, two results of other types than what it reads, and one in another order of dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.arange(6.0).reshape(2, 3))

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
        product = x @ self.weight
        return (product > 0), product + y, y.to(torch.int8)


INPUTS = (torch.ones(4, 2), torch.ones(4, 3))


class Outside(nn.Module):
    def __init__(self, delegate: nn.Module) -> None:
        super().__init__()
        self.delegate = delegate

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
        above, total, small = self.delegate(x, y * 2)
        return above, total + 1, small


def delegate() -> LoweredBackendModule:
    program = to_edge(torch.export.export(Inside(), INPUTS)).exported_program()
    made = LoweredBackendModule(program, "Backend", b"blob", [])
    made.meta = {"debug_handle_map": {}}
    return made


@pytest.fixture
def both() -> tuple[Outside, Outside]:
    """A module around a delegate, and around the same one that is opaque."""
    plain, changed = Outside(delegate()), Outside(delegate())
    make_opaque(changed)
    assert changed.delegate.meta == plain.delegate.meta
    return plain, changed


def shapes(module: nn.Module) -> Any:
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        found = module(*(mode.from_tensor(each) for each in INPUTS))
    return type(found), [(each.shape, each.stride(), each.dtype) for each in found]


def test_nothing_is_between_inputs_and_outputs(both: tuple[Outside, Outside]) -> None:
    plain, changed = both
    nodes = changed.delegate.original_module.graph.nodes
    empty = torch.ops.aten.empty_strided.default
    assert [node.target for node in nodes if node.op == "call_function"] == [empty] * 3
    assert shapes(changed.delegate) == shapes(plain.delegate)
    assert not changed.delegate.original_module.state_dict


def test_the_pte_is_the_same(both: tuple[Outside, Outside]) -> None:
    plain, changed = (
        bytes(to_edge(torch.export.export(module, INPUTS, strict=False)).to_executorch().buffer)
        for module in both
    )
    assert plain == changed and b"blob" in plain

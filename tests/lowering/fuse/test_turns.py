"""Chains of views and turns become one turn, and give what they gave."""

from __future__ import annotations

import random
from collections import Counter

import pytest
import torch
from torch import nn

import mcu_sdk
from mcu_sdk.lowering.fuse.graph import aten, is_call, tidy
from mcu_sdk.lowering.fuse.turns import TURNS, drop_copies, join_turns, turn_later
from mcu_sdk.planning.pte.read import read_pte
from mcu_sdk.project.interpret import Interpreter


class Chain(nn.Module):
    """Views (whose sizes multiply to 96) and turns, one behind the other."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.chance = random.Random(seed)
        self.steps = [self.step() for _ in range(6)]

    def step(self) -> list[int]:
        sizes, left = [], 96
        while left > 1:
            sizes.append(self.chance.choice([n for n in range(1, left + 1) if left % n == 0]))
            left //= sizes[-1]
        return sizes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        chance = random.Random(len(self.steps[0]))
        for sizes in self.steps:
            x = x.reshape(sizes)
            x = x.permute(chance.sample(range(len(sizes)), len(sizes)))
        return x.reshape(-1) * 2.0


@pytest.mark.parametrize("seed", range(12))
def test_the_elements_lie_as_before(seed: int) -> None:
    x = torch.arange(96.0)
    program = torch.export.export(Chain(seed), (x,))
    expected = program.module()(x)
    join_turns(program)
    tidy(program)
    assert torch.equal(program.module()(x), expected)


class Heads(nn.Module):
    """Rows are cut into heads, turned, turned back, and joined."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        turned = x.transpose(1, 2).reshape(1, 2, 8, 4).permute(0, 3, 1, 2)
        return turned.reshape(1, 4, 16) * 2.0


def test_what_turns_back_is_gone() -> None:
    x = torch.randn(1, 4, 16)
    program = torch.export.export(Heads(), (x,)).run_decompositions({})
    expected = program.module()(x)
    assert join_turns(program) == 1
    tidy(program)
    assert not any(is_call(node, *TURNS) for node in program.graph.nodes)
    assert torch.equal(program.module()(x), expected)


class OneQuery(nn.Module):
    """Heads of one row, where turning them moves nothing; beside it rows that are moved, and what is given and returned."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
        heads = (x * 2.0).view(1, 2, 1, 4).permute(0, 2, 1, 3)
        rows = heads.clone(memory_format=torch.contiguous_format).view(1, 1, 8)
        turned = (y * 2.0).transpose(1, 2).clone(memory_format=torch.contiguous_format)
        return rows + 1.0, turned.view(1, 12), y.clone(), (y + 1.0).clone()


def test_copies_of_what_lies_in_order_are_gone() -> None:
    inputs = torch.randn(1, 1, 8), torch.randn(1, 3, 4)
    program = torch.export.export(OneQuery(), inputs).run_decompositions({})
    expected = program.module()(*inputs)
    assert drop_copies(program) == 2
    tidy(program)
    assert sum(is_call(node, *TURNS) for node in program.graph.nodes) == 1
    assert sum(is_call(node, aten.clone.default) for node in program.graph.nodes) == 3
    found = program.module()(*inputs)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


class Sums(nn.Module):
    """A residual sum of turned values, which is turned back."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.relu(x.transpose(1, 2) + y.transpose(1, 2)).transpose(1, 2) + 1.0


def test_a_sum_is_turned_later() -> None:
    pair = torch.randn(1, 4, 6), torch.randn(1, 4, 6)
    program = torch.export.export(Sums(), pair)
    expected = program.module()(*pair)
    assert turn_later(program) == 2
    assert join_turns(program) == 1
    tidy(program)
    assert not any(is_call(node, *TURNS) for node in program.graph.nodes)
    assert torch.equal(program.module()(*pair), expected)
    assert sum(is_call(node, aten.add.Tensor) for node in program.graph.nodes) == 2


class Windows(nn.Module):
    """Attention within windows, whose rows lie among each other, as Hiera has it: five axes."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(16, 48), nn.Linear(16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(x).reshape(1, 6, 4, 3, 2, 8).permute(3, 0, 4, 2, 1, 5)  # [1, heads, windows, 6, 8]
        shares = torch.softmax((q * 8**-0.5) @ k.transpose(-1, -2), -1)
        return self.out((shares @ v).transpose(1, 3).reshape(1, 24, 16))


def test_windows_are_heads() -> None:
    torch.manual_seed(5)
    module, xs = Windows(), [torch.randn(1, 24, 16) for _ in range(4)]
    made = read_pte(mcu_sdk.compile_module(module, xs[0], calibration=xs).pte)
    counts = Counter(instruction.operator for instruction in made.instructions)
    assert counts == {
        "cortex_m::quantize_per_tensor": 1,
        "mcu::linear_s8_requantize": 3,
        "mcu::sequence_attention_s8": 1,
        "mcu::linear_s8_static": 1,
    }
    found, wanted = Interpreter(made).run(xs[1])[0], module(xs[1]).detach()
    assert (found - wanted).norm() / wanted.norm() < 0.05

"""A bias that each query and head multiplies by a number of its own goes into the int8 attention as its table by distance;
no value of every pair of positions is left."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import mcu_sdk
from mcu_sdk.planning.instruction import Instruction
from mcu_sdk.planning.instruction import Tensor as Planned
from mcu_sdk.planning.pte.read import read_pte
from mcu_sdk.project.interpret import Interpreter

LENGTH, HEADS, WIDTH = 11, 2, 8
GATED = "mcu::gated_attention_s8"


class Gated(nn.Module):
    """WavLM's attention. `odd`: an entry of the bias that is not its distance's; `of_each`: whether each query and head has
    a number, or each query one for all heads."""

    def __init__(self, odd: bool = False, of_each: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.q, self.k, self.v, self.out = (nn.Linear(HEADS * WIDTH, HEADS * WIDTH) for _ in range(4))
        self.gate = nn.Linear(WIDTH, 1)
        self.table = nn.Parameter(torch.randn(HEADS, 2 * LENGTH - 1))
        places = LENGTH - 1 - torch.arange(LENGTH)[:, None] + torch.arange(LENGTH)
        if odd:
            places[0, 1] = 0
        self.register_buffer("places", places)
        self.of_each = of_each

    def heads(self, x: Tensor) -> Tensor:
        return x.view(LENGTH, HEADS, WIDTH).transpose(0, 1)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (self.heads(linear(x)) for linear in (self.q, self.k, self.v))
        gates = torch.sigmoid(self.gate(self.heads(x)))
        if not self.of_each:
            gates = gates[:1]
        bias = (1 + gates) * self.table[:, self.places]
        scores = torch.baddbmm(bias, q * WIDTH**-0.5, k.transpose(1, 2))
        mixed = torch.bmm(torch.softmax(scores, -1), v)
        result: Tensor = self.out(mixed.transpose(0, 1).reshape(1, LENGTH, HEADS * WIDTH))
        return result


def calls() -> list[tuple[Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [(torch.randn(1, LENGTH, HEADS * WIDTH, generator=generator),) for _ in range(6)]


def compiled(module: nn.Module) -> tuple[list[Instruction], float]:
    """What it becomes, and how far that is from the module: RMS as a share of the outputs'."""
    program = read_pte(mcu_sdk.compile_module(module, calls()[0], calibration=calls()).pte)
    interpreter = Interpreter(program)
    with torch.no_grad():
        wanted = torch.cat([module(*call) for call in calls()])
    found = torch.cat([interpreter.run(*call)[0] for call in calls()])
    return program.instructions, float((found - wanted).norm() / wanted.norm())


def tensors_of(instructions: list[Instruction]) -> list[Planned]:
    return [value for each in instructions for value in each.arguments if isinstance(value, Planned)]


@pytest.mark.parametrize(
    ("odd", "of_each"),
    [
        (False, True),
        pytest.param(True, True, marks=pytest.mark.slow),
        pytest.param(False, False, marks=pytest.mark.slow),
    ],
)
def test_it_is_one_operator(odd: bool, of_each: bool) -> None:
    """A bias by distance takes 2 L - 1 numbers for each head, another one those of every pair, as a constant."""
    instructions, error = compiled(Gated(odd, of_each))
    assert error < 0.06
    (attention,) = (each for each in instructions if each.operator == GATED)
    bias = attention.arguments[4]
    assert isinstance(bias, Planned)
    assert bias.shape == ((1, HEADS, LENGTH, LENGTH) if odd else (1, HEADS, 1, 2 * LENGTH - 1))
    of_pairs = [value for value in tensors_of(instructions) if value.shape[-2:] == (LENGTH, LENGTH)]
    assert all(value.data is not None for value in of_pairs) and bool(of_pairs) == odd

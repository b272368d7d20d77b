"""LSTM and GRU are one operator each; what there is none for is spelt out: int8 products, whose weights lie there once."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import nn

from mcu_sdk import compile_module
from mcu_sdk.options import Activations
from mcu_sdk.planning.instruction import Tensor
from mcu_sdk.planning.pte.read import read_pte

STEPS, INPUTS, STATE = 3, 5, 8


class Last(nn.Module):
    """What a linear makes of a recurrent layer's last output."""

    def __init__(self, kind: type[nn.RNNBase], layers: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = kind(INPUTS, STATE, layers, batch_first=True)  # type: ignore[arg-type]
        self.last = nn.Linear(STATE, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs, _ = self.layer(x)
        result: torch.Tensor = self.last(outputs[:, -1])
        return result


@pytest.mark.parametrize(
    ("kind", "layers"),
    [(nn.GRU, 1), pytest.param(nn.LSTM, 2, marks=pytest.mark.slow)],
)
def test_one_operator_a_layer(kind: type[nn.RNNBase], layers: int) -> None:
    calls = calls_of()
    made = compile_module(Last(kind, layers).eval(), calls[0], calibration=calls)
    counts = Counter(instruction.operator for instruction in read_pte(made.pte).instructions)
    assert counts[f"mcu::{kind.__name__.lower()}_s8"] == layers
    assert sum("linear" in operator for operator in counts) == 1
    assert made.facts["accuracy"]["relative_rms_error"] < 0.03


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "activations"), [(nn.RNN, "static"), (nn.LSTM, "dynamic")])
def test_spelt_out(kind: type[nn.RNNBase], activations: Activations) -> None:
    calls = calls_of()
    made = compile_module(Last(kind, 1).eval(), calls[0], calibration=calls, activations=activations)
    products = [i for i in read_pte(made.pte).instructions if "linear" in i.operator]
    # The inputs' at once and the states' step by step, but for the first, which is zero; and the last.
    assert len(products) == STEPS + 1
    assert all(product.operator.startswith("mcu::linear_s8") for product in products)
    position = 1 if activations == "static" else 2
    weights = {
        argument.offset
        for product in products
        for argument in product.arguments[position : position + 1]
        if isinstance(argument, Tensor)
    }
    assert len(weights) == 3
    assert made.facts["accuracy"]["relative_rms_error"] < 0.03


def calls_of() -> list[tuple[torch.Tensor]]:
    return [(torch.randn((1, STEPS, INPUTS), generator=torch.Generator().manual_seed(i)),) for i in range(4)]

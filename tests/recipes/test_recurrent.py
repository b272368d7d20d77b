"""Recurrent layers are spelt out step by step: int8 products, whose weights lie in the file once."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mcu_sdk import compile_module
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
    [
        (nn.GRU, 1),
        pytest.param(nn.LSTM, 2, marks=pytest.mark.slow),
        pytest.param(nn.RNN, 1, marks=pytest.mark.slow),
    ],
)
def test_products_are_int8(kind: type[nn.RNNBase], layers: int) -> None:
    calls = [(torch.randn((1, STEPS, INPUTS), generator=torch.Generator().manual_seed(i)),) for i in range(4)]
    made = compile_module(Last(kind, layers).eval(), calls[0], calibration=calls)
    products = [i for i in read_pte(made.pte).instructions if "linear" in i.operator]
    # Of each layer the inputs' at once and the states' step by step, but for the first, which is zero; and the last.
    assert len(products) == layers * STEPS + 1
    assert all(product.operator.startswith("mcu::linear_s8_static") for product in products)
    weights = {
        argument.offset for p in products for argument in p.arguments[1:2] if isinstance(argument, Tensor)
    }
    assert len(weights) == 2 * layers + 1
    assert made.facts["accuracy"]["relative_rms_error"] < 0.03

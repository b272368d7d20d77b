"""A module is compared with its exported form: what export freezes is refused, what it keeps passes."""

from __future__ import annotations

import random

import pytest
import torch
from torch import nn

from mcu_sdk import compile_module
from mcu_sdk.errors import ModelError
from mcu_sdk.lowering.guard import check_module, module_accuracy
from mcu_sdk.project.accuracy import accuracy_of


class Frozen(nn.Module):
    """Adds a number that Python draws at each call: a trace keeps the one it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 4)
        self.drawn = random.Random(0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x) + self.drawn.random()


def test_what_export_freezes_is_refused() -> None:
    with pytest.raises(ModelError, match=r"exported module .* output 0 differs") as caught:
        compile_module(Frozen(), torch.randn(1, 8))
    assert "freezes" in caught.value.hint


def test_a_right_module_passes_and_its_numbers_are_kept() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))
    compiled = compile_module(model, torch.randn(2, 16))
    assert compiled.facts["guard"]["exported"] < 1e-6
    assert compiled.facts["guard"]["fused"] < 1e-6
    assert 0 < compiled.facts["accuracy"]["relative_rms_error"] < 0.05


def test_a_wrong_output_is_named_by_its_place() -> None:
    one, other = nn.Linear(4, 4), nn.Linear(4, 4)

    def wrong(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return one(x), one(x)

    def right(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return one(x), other(x)

    calls = [(torch.randn(1, 4),)]
    assert check_module(right, right, calls, "fused") == 0
    with pytest.raises(ModelError, match=r"fused module .* output 1 differs"):
        check_module(right, wrong, calls, "fused")
    assert module_accuracy(one, other, calls, logits=True)["mean_kl_divergence"] > 0


class Narrow(nn.Module):
    """Two linears; one weight of each row of the second is far greater than the others, which int8 loses."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(16, 16), nn.Linear(16, 8, bias=False)
        with torch.no_grad():
            self.first.weight[3] = 0
            self.first.bias[3] = 0
            self.second.weight[:, 3] = 3000

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.relu(self.first(x)))


@pytest.mark.parametrize("target", [None, "ethos-u55-128"])
def test_the_layers_that_a_modules_quantization_hurts_are_named(target: str | None) -> None:
    torch.manual_seed(0)
    compiled = compile_module(Narrow(), torch.randn(4, 16), target=target)
    accuracy = accuracy_of(compiled.facts)
    assert accuracy is not None and accuracy.poor
    assert next(iter(accuracy.layers)) == "second" and set(accuracy.layers) <= {"first", "second"}
    assert accuracy.layers["second"] > 0.1
    assert accuracy.warning is not None and "most of it in second (" in accuracy.warning


def test_a_good_module_names_none() -> None:
    torch.manual_seed(0)
    compiled = compile_module(nn.Sequential(nn.Linear(16, 8), nn.ReLU()), torch.randn(2, 16))
    assert "layers" not in compiled.facts["accuracy"]

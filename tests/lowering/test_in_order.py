"""Rounding linears behind rounded ones: what the model computes is nearer to what it did, and it is left as it was."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from mcu_sdk.lowering.gptq import INT8, dequantize_groups
from mcu_sdk.lowering.in_order import round_in_order
from mcu_sdk.lowering.levels_by_cost import divergence
from mcu_sdk.lowering.linears import Linears
from mcu_sdk.lowering.moments import linear_moments, weight_digest
from mcu_sdk.lowering.output_moments import output_moments
from mcu_sdk.lowering.two_sided import quantize_rows, row_steps
from tests.lowering.test_sensitivity import Result


class Model(nn.Module):
    """Linears of which two read one value, one is called twice, and the head shares the embedding's weight."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.table = nn.Embedding(40, 48)
        self.left, self.right = nn.Linear(48, 64), nn.Linear(48, 64, bias=False)
        self.down, self.head = nn.Linear(64, 48), nn.Linear(48, 40, bias=False)
        self.head.weight = self.table.weight
        self.requires_grad_(False)

    def forward(self, input_ids: torch.Tensor, use_cache: bool) -> Result:
        x = self.table(input_ids).cumsum(1) / 4
        for _ in range(2):
            x = x + self.down(torch.relu(self.left(x)) * self.right(x).tanh())
        return Result(self.head(x))

    def get_output_embeddings(self) -> nn.Module:
        return self.head


TOKENS = torch.randint(0, 40, (12, 30), generator=torch.Generator().manual_seed(1))


def test_behind_rounded_linears_less_is_lost_than_beside_them() -> None:
    model: Any = Model()
    linears = (model.left, model.right, model.down, model.head)
    weights = {weight_digest(each.weight): each.weight for each in linears}
    before = [each.weight for each in linears]
    moments, outputs = linear_moments(model, TOKENS, head=True), output_moments(model, TOKENS)
    steps = {digest: row_steps(weight, outputs[digest], 3) for digest, weight in weights.items()}
    beside = {
        digest: quantize_rows(weight, moments[digest], outputs[digest], steps[digest])
        for digest, weight in weights.items()
    }
    found = round_in_order(model, TOKENS, steps, outputs)
    assert all(each.weight is weight for each, weight in zip(linears, before, strict=True))
    assert model.head.weight is model.table.weight
    assert list(found) == [weight_digest(each.weight) for each in linears]
    wanted = model(TOKENS, use_cache=False).logits.double().log_softmax(-1)
    lost = []
    for rounded in (beside, found):
        other = Linears(model, weights)
        for digest, each in rounded.items():
            assert each[0].abs().amax(1).median() <= 4  # of 3 levels and what others have lost
            other.use(digest, dequantize_groups(*each, INT8))
        assert model.table.weight is before[-1]  # the embedding is not the head's any more
        lost.append(divergence(wanted, model(TOKENS, use_cache=False).logits.double().log_softmax(-1)))
        other.restore()
    assert lost[1] < 0.9 * lost[0]


def test_a_model_that_fails_is_left_as_it_was() -> None:
    model: Any = Model()
    weight = model.down.weight

    def fail(module: nn.Module, inputs: Any, output: Any) -> None:
        if module.weight is not weight:
            raise ValueError("no")

    model.down.register_forward_hook(fail)
    weights = {weight_digest(each.weight): each.weight for each in (model.down, model.head)}
    outputs = {digest: torch.ones(len(rows), dtype=torch.float64) for digest, rows in weights.items()}
    with pytest.raises(ValueError, match="no"):
        round_in_order(model, TOKENS, outputs, outputs)
    assert model.down.weight is weight

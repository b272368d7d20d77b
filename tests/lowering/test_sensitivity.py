"""What int4 costs in each linear, and which linears have it then: the search finds what trying all of them finds."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mcu_sdk.lowering.gptq import dequantize_groups, quantize_groups
from mcu_sdk.lowering.int4 import Candidate
from mcu_sdk.lowering.moments import weight_digest
from mcu_sdk.lowering.sensitivity import LEAST_TOKENS, UNITS, Sensitivity, choose, measured_tokens


class Result:
    def __init__(self, logits: torch.Tensor) -> None:
        self.logits = logits


class Model(nn.Module):
    """Two linears, of which the first hardly reaches the logits, and a head."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.table = nn.Embedding(20, 64)
        self.weak, self.strong, self.head = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 20)
        self.requires_grad_(False)

    def forward(self, input_ids: torch.Tensor, use_cache: bool) -> Result:
        x = self.table(input_ids)
        return Result(self.head(x + 0.05 * self.weak(x) + 2 * self.strong(x)))


TOKENS = torch.arange(40).reshape(2, 20) % 20


def test_each_linear_alone() -> None:
    model: Any = Model()
    weights = {weight_digest(each.weight): each.weight for each in (model.weak, model.strong)}
    rounded = {digest: quantize_groups(weight, None) for digest, weight in weights.items()}
    sensitivity = Sensitivity(model, rounded, TOKENS)
    weak, strong = weights
    assert sensitivity.found == {weak, strong}
    assert sensitivity.divergence([]) == 0
    assert 0 < sensitivity.divergence([weak]) * 20 < sensitivity.divergence([strong])
    assert all(
        torch.equal(a, b)
        for a, b in zip(weights.values(), (model.weak.weight, model.strong.weight), strict=True)
    )
    reference = model(TOKENS, use_cache=False).logits.double().log_softmax(-1)
    model.strong.weight.data = dequantize_groups(*rounded[strong])
    other = model(TOKENS, use_cache=False).logits.double().log_softmax(-1)
    assert sensitivity.divergence([]) == pytest.approx(
        float((reference.exp() * (reference - other)).sum(-1).mean()), rel=1e-5
    )


def some(count: int, seed: int) -> tuple[list[Candidate], dict[str, float]]:
    rng = np.random.default_rng(seed)
    candidates = [
        Candidate((f"l{i}",), str(i), torch.empty(0), int(saved))
        for i, saved in enumerate(rng.integers(1, 5000, count))
    ]
    return candidates, {
        each.digest: float(cost) for each, cost in zip(candidates, rng.random(count), strict=True)
    }


@pytest.mark.parametrize("seed", range(12))
def test_no_other_set_costs_less(seed: int) -> None:
    candidates, costs = some(9, seed)
    saving = int(sum(each.saved for each in candidates) * (seed + 1) / 14)
    sets = [set(each) for count in range(10) for each in combinations(candidates, count)]
    enough = [each for each in sets if sum(member.saved for member in each) >= saving]
    least = min(sum(costs[member.digest] for member in each) for each in enough)
    chosen = choose(candidates, costs, saving)
    assert sum(each.saved for each in candidates if each.digest in chosen.digests) >= saving
    assert chosen.predicted == pytest.approx(least) and chosen.everything == (len(chosen.digests) == 9)


def test_the_ends() -> None:
    candidates, costs = some(5, 0)
    whole = sum(each.saved for each in candidates)
    assert choose(candidates, costs, 0).digests == frozenset()
    for saving in (whole, whole + 1, 100 * whole):
        assert choose(candidates, costs, saving).everything
    assert choose([], {}, 1).everything


def test_large_savings_are_rounded_down_by_a_unit() -> None:
    """A unit of bytes is then several: what is chosen saves enough all the same."""
    candidates, costs = some(30, 3)
    large = [Candidate(each.names, each.digest, each.weight, each.saved * 9973) for each in candidates]
    saving = sum(each.saved for each in large) // 2
    assert saving > UNITS
    chosen = choose(large, costs, saving)
    assert sum(each.saved for each in large if each.digest in chosen.digests) >= saving


def test_tokens_that_are_measured() -> None:
    """All of the windows for a small model, few of the first one for a large one."""
    windows = torch.zeros(8, 256, dtype=torch.long)
    small, large = nn.Linear(10, 10), nn.Linear(20_000, 1_000, device="meta")
    assert measured_tokens(small, windows, 3).shape == (8, 256)  # type: ignore[arg-type]
    assert measured_tokens(large, windows, 300).shape == (1, LEAST_TOKENS)  # type: ignore[arg-type]

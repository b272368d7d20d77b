"""How many levels each linear gets: bits within the budget, and no way of spending them that costs less."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from mcu_sdk.lowering.gptq import few_levels, quantize_groups
from mcu_sdk.lowering.levels_by_cost import FEWEST, MIDDLE, MOST, Measured, choose_levels, entropy
from tests.lowering.test_gptq import normal


def measured(costs: dict[str, float]) -> list[Measured]:
    found = []
    for seed, (name, cost) in enumerate(costs.items()):
        weight = normal(seed, 16 * (seed + 1), 64)
        found.append(Measured((name,), name, weight, quantize_groups(weight, None, few_levels())[0], cost))
    return found


def test_bits() -> None:
    assert entropy(torch.tensor([1, -1, 1, -1], dtype=torch.int8)) == 1
    (each,) = measured({"a": 1.0})
    assert each.bits(14) - each.bits(7) == pytest.approx(each.weight.numel())
    assert each.bits(MIDDLE) == pytest.approx(entropy(each.values) * each.weight.numel())
    assert each.bits(126) <= each.bits(MOST) < 8 * each.weight.numel()
    assert each.cost_of(14) == 0.25 and each.cost_of(MOST) == 0


def test_nothing_that_takes_as_many_bits_costs_less() -> None:
    """Of all pairs of whole levels."""
    pair = measured({"a": 0.0004, "b": 0.05})
    budget = sum(each.bits(MIDDLE) for each in pair)
    sides = choose_levels(pair, budget)
    assert sides["a"] < MIDDLE < sides["b"]
    assert sum(each.bits(sides[each.digest]) for each in pair) <= budget
    cost = sum(each.cost_of(sides[each.digest]) for each in pair)
    best = min(
        pair[0].cost_of(a) + pair[1].cost_of(b)
        for a, b in product(range(FEWEST, 128), repeat=2)
        if pair[0].bits(a) + pair[1].bits(b) <= budget
    )
    assert cost <= best


def test_the_ends() -> None:
    pair = measured({"a": 0.0, "b": 0.05})
    assert set(choose_levels(pair, 0).values()) == {FEWEST}
    assert set(choose_levels(pair, 1e12).values()) == {MOST}
    assert choose_levels([], 0) == {}

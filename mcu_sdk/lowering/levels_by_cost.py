"""How many levels each linear is to have, so that together they take so many bytes and cost least.

A row's rounding error is the square of its step, and so is what it costs, as long as it is small: h levels on either side cost
(7 / h)^2 of what 7 do. The entropy of a weight is log2(h / 7) bits more. Of all ways to spend the bits the cheapest is the one
where every weight's last bit saves as much: h goes as the root of what a weight of its linear costs with 7. It need not be a
whole number: it says how long the steps are, and of a linear's rows the middle one has so many (two_sided.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from mcu_sdk.lowering.gptq import INT8, LEVELS
from mcu_sdk.lowering.linears import Linears

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MIDDLE = LEVELS // 2
FEWEST, MOST = 3, INT8.highest
"""Levels on either side: below 3 what they cost is no square any more; with 127 a weight is int8 as any."""


@dataclass(frozen=True)
class Measured:
    """A weight float32[N, K] that may have few levels, the linears with it, and what LEVELS cost there alone, about (nats a token)."""

    names: tuple[str, ...]
    digest: str
    weight: torch.Tensor
    values: torch.Tensor
    cost: float

    def bits(self, side: float) -> float:
        """Of all its integers with so many levels on either side, by their entropy."""
        few = self._few + math.log2(side / MIDDLE)
        return self.weight.numel() * (self._many if side >= MOST else min(max(few, 0.0), self._many))

    @cached_property
    def _few(self) -> float:
        return entropy(self.values)

    @cached_property
    def _many(self) -> float:
        return entropy(nearest(self.weight, MOST))

    def cost_of(self, side: float) -> float:
        """What so many levels on either side cost alone, in nats a token."""
        return 0.0 if side >= MOST else self.cost * (MIDDLE / side) ** 2


def measure_together(
    model: PreTrainedModel, meant: Mapping[str, torch.Tensor], tokens: torch.Tensor
) -> float:
    """The mean over tokens int64[n, L] of KL(float || with these weights float32[N, K]) in nats; `meant`: by the digests of those in
    whose place they stand."""
    linears = Linears(model, meant)
    reference = linears.probabilities(tokens)
    try:
        for digest, rows in meant.items():
            linears.use(digest, rows)
        return divergence(reference, linears.probabilities(tokens))
    finally:
        linears.restore()


def divergence(reference: torch.Tensor, found: torch.Tensor) -> float:
    """Mean KL in nats of logarithms of probabilities, float64[..., V] each."""
    return max(float((reference.exp() * (reference - found)).sum(-1).mean()), 0.0)


def choose_levels(measured: Sequence[Measured], budget: float) -> dict[str, float]:
    """Levels on either side, by weight_digest, with which all integers have at most so many bits, or FEWEST throughout."""
    low, high = 0.0, max((_needed(each) for each in measured), default=1.0)
    sides = _sides(measured, high)
    if sum(each.bits(sides[each.digest]) for each in measured) <= budget:
        return sides
    for _ in range(40):
        middle = (low + high) / 2
        sides = _sides(measured, middle)
        if sum(each.bits(sides[each.digest]) for each in measured) <= budget:
            low = middle
        else:
            high = middle
    return _sides(measured, low)


def _sides(measured: Sequence[Measured], factor: float) -> dict[str, float]:
    return {each.digest: min(max(factor * _root(each), FEWEST), MOST) for each in measured}


def _root(each: Measured) -> float:
    """What its levels go by: the root of what a weight costs."""
    return math.sqrt(max(each.cost, 1e-12) / each.weight.numel())


def _needed(each: Measured) -> float:
    """The factor with which it has all levels of int8."""
    return MOST / _root(each)


def entropy(values: torch.Tensor) -> float:
    """Bits a value of int8 that no coder which looks at one at a time goes below."""
    shares = torch.bincount(values.flatten().long() + 128).double() / max(values.numel(), 1)
    return float(-(shares * shares.clamp_min(1e-300).log2()).sum())


def nearest(weight: torch.Tensor, side: int) -> torch.Tensor:
    """The nearest integers int8[N, K], where the greatest weight of each row float[K] is `side`."""
    scale = weight.abs().amax(1, keepdim=True).clamp(min=1e-30)
    return torch.round(weight / scale * side).to(torch.int8)

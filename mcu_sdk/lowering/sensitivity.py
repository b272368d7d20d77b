"""What int4 weights of each linear cost a model's choices, each linear alone, and which linears then are to have them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mcu_sdk.lowering.gptq import Grouped, dequantize_groups
from mcu_sdk.lowering.int4 import Candidate
from mcu_sdk.lowering.moments import is_linear, is_turned, rows_of, weight_digest

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MOST_PRODUCTS = 2 * 10**11
"""Multiplications of all measurements together, about: a larger model is measured on fewer tokens."""

LEAST_TOKENS = 64
"""Tokens that are measured on at least."""

UNITS = 1 << 16
"""Steps of a budget that the search tells apart, at most: its table has one column for each."""

Logits = torch.Tensor


def measured_tokens(model: PreTrainedModel, windows: torch.Tensor, measurements: int) -> torch.Tensor:
    """As much of the calibration windows int64[n, L] as so many runs of the model can afford: whole windows, or the
    beginning of the first."""
    parameters = sum(parameter.numel() for parameter in model.parameters())
    tokens = max(MOST_PRODUCTS // (max(parameters, 1) * max(measurements, 1)), LEAST_TOKENS)
    length = min(windows.shape[1], tokens)
    return windows[: max(tokens // length, 1), :length]


class Sensitivity:
    """Compares a float model with itself where some linears have the weights that their int4 integers mean.

    `rounded` are these integers by weight_digest, of experts int8[E, N, K]; `tokens` int64[n, L] is what is read.
    """

    def __init__(self, model: PreTrainedModel, rounded: Mapping[str, Grouped], tokens: torch.Tensor) -> None:
        self._model, self._rounded, self._tokens = model, rounded, tokens
        self._places: dict[str, list[tuple[torch.nn.Parameter, bool]]] = {}
        module: Any
        for module in model.modules():
            if is_linear(module):
                self._add(module.weight, rows_of(module), turned=is_turned(module))
        if any(values.dim() == 3 for values, _ in rounded.values()):
            for stack in (each for each in model.parameters() if each.dim() == 3):
                self._add(stack, stack, turned=False)
                self._add(stack, stack.transpose(1, 2), turned=True)
        self._reference = self._run()

    def _add(self, parameter: torch.nn.Parameter, rows: torch.Tensor, *, turned: bool) -> None:
        """A place of `rows`, if these were rounded; `turned`: the parameter has a column for each."""
        digest = weight_digest(rows)
        if digest in self._rounded:
            self._places.setdefault(digest, []).append((parameter, turned))

    def divergence(self, digests: Sequence[str]) -> float:
        """The mean of KL(float || with int4 in these linears) in nats a token."""
        with self._in_int4(digests):
            found = self._run()
        theirs = self._reference
        return max(float((theirs.exp() * (theirs - found)).sum(-1).mean()), 0.0)

    @property
    def found(self) -> frozenset[str]:
        """The digests of weights that the model's own linears have; what else is rounded cannot be measured."""
        return frozenset(self._places)

    @torch.no_grad()
    def _run(self) -> Logits:
        """The logarithms of the probabilities, float64[n, L, V]."""
        return torch.cat(
            [
                self._model(input_ids=row[None], use_cache=False).logits.double().log_softmax(-1)
                for row in self._tokens
            ]
        )

    @contextmanager
    def _in_int4(self, digests: Sequence[str]) -> Iterator[None]:
        """Let these linears have other weights for a while."""
        kept = [(weight, weight.data) for digest in digests for weight, _ in self._places[digest]]
        try:
            for digest in digests:
                values = dequantize_groups(*self._rounded[digest])
                for weight, turned in self._places[digest]:
                    weight.data = values.transpose(-1, -2).contiguous() if turned else values
            yield
        finally:
            for weight, data in kept:
                weight.data = data


@dataclass(frozen=True)
class Chosen:
    """The digests of the weights that become int4. `predicted`: the sum of what each costs alone, in nats a token;
    `everything`: whether these are all that can."""

    digests: frozenset[str]
    predicted: float
    everything: bool


def choose(
    candidates: Sequence[Candidate],
    costs: Mapping[str, float],
    saving: int,
) -> Chosen:
    """Those of the candidates that together save `saving` bytes and of all such sets have the smallest sum of costs, by
    weight_digest; all where even these do not save so much.

    The search is exact but for the bytes of a unit, by which each saving is rounded down: 1/UNITS of them.
    """
    every = frozenset(candidate.digest for candidate in candidates)
    saved = sum(candidate.saved for candidate in candidates)
    if saving <= 0:
        return Chosen(frozenset(), 0.0, not candidates)
    if saving >= saved:
        return Chosen(every, sum(costs[digest] for digest in every), True)
    unit = max(1, -(-saving // UNITS))
    target = -(-saving // unit)
    least = np.full(target + 1, np.inf)  # of each number of units saved, or more: the smallest sum
    least[0] = 0.0
    taken = np.zeros((len(candidates), target + 1), dtype=bool)
    for index, candidate in enumerate(candidates):
        units = min(candidate.saved // unit, target)
        if not units:
            continue
        before = np.maximum(np.arange(target + 1) - units, 0)
        with_it = least[before] + costs[candidate.digest]
        taken[index] = with_it < least
        least = np.where(taken[index], with_it, least)
    if not np.isfinite(least[target]):  # rounding has taken what was too little
        return Chosen(every, sum(costs[digest] for digest in every), True)
    chosen, left = set(), target
    for index in reversed(range(len(candidates))):
        if taken[index][left]:
            chosen.add(candidates[index].digest)
            left = max(left - min(candidates[index].saved // unit, target), 0)
    return Chosen(frozenset(chosen), float(sum(costs[digest] for digest in chosen)), chosen == every)

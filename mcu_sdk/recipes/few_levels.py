"""A decoder's linears for an NPU in int8 of few levels, which its compiler packs: as many in each as it needs, together of as
many bytes as 15 throughout would take, or as a budget of flash leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from mcu_sdk.lowering.gptq import LEVELS, Grouped, dequantize_groups, few_levels, quantize_groups
from mcu_sdk.lowering.in_order import round_in_order
from mcu_sdk.lowering.int4 import FloatLinear, float_linears
from mcu_sdk.lowering.levels_by_cost import (
    FEWEST,
    MIDDLE,
    MOST,
    Measured,
    choose_levels,
    measure_each,
    measure_together,
)
from mcu_sdk.lowering.moments import linear_moments, weight_digest
from mcu_sdk.lowering.reproducible import reproducible
from mcu_sdk.lowering.sensitivity import measured_tokens
from mcu_sdk.options import CompileOptions
from mcu_sdk.recipes.stage import stage

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class FewLevels:
    """Integers of linears with few levels and their scales, by weight_digest, and what there is to report."""

    rounded: dict[str, Grouped]
    facts: dict[str, Any]


def levels_by_need(
    model: PreTrainedModel, windows: torch.Tensor, program: ExportedProgram, options: CompileOptions
) -> FewLevels:
    """Few levels for the linears of a fused program, as `options.weights` says: "int4" for as many bytes as 15 levels
    throughout take by estimate, "auto" for `options.int4_saving` bytes less than int8.

    `windows`: int64[n, L], what is measured and rounded by.
    """
    linears = [each for each in float_linears(program) if each.weight is not None]
    return levels_of(model, windows, linears, options)


def levels_of(
    model: PreTrainedModel, windows: torch.Tensor, linears: Sequence[FloatLinear], options: CompileOptions
) -> FewLevels:
    """The same for linears with constant weights."""
    saving = options.int4_saving or 0
    if options.weights == "auto" and not saving:
        same = dict.fromkeys((each.name for each in linears), MOST)
        return FewLevels({}, _facts(options, same, {"saving": 0, "everything": not linears}))
    with stage("Measuring what each linear reads"), reproducible():
        moments = linear_moments(model, windows, head=True)
        weights = {each.name: each.weight for each in linears if each.weight is not None}
        digests = {name: weight_digest(weight) for name, weight in weights.items()}
        places = {digest: weights[name] for name, digest in digests.items()}
        first = {
            digest: quantize_groups(weight, moments[digest], few_levels())
            for digest, weight in places.items()
            if digest in moments
        }
    tokens = measured_tokens(model, windows, len(first) + 2)
    doing = (
        f"Measuring what {LEVELS} levels cost in each of {len(first)} linears, on {tokens.numel():,} tokens"
    )
    with stage(doing), reproducible():
        costs = measure_each(model, first, tokens)
    names: dict[str, tuple[str, ...]] = {}
    side = MIDDLE if options.weights == "int4" else MOST
    with stage("Choosing how many levels each linear gets"):
        for name, digest in digests.items():
            names[digest] = (*names.get(digest, ()), name)
        measured = [
            Measured(names[digest], digest, places[digest], first[digest][0], costs[digest])
            for digest in costs
        ]
        budget = sum(each.bits(side) for each in measured) - (8 * saving if options.weights == "auto" else 0)
        sides = choose_levels(measured, budget)
    with stage("Rounding weights, each linear behind those before it"), reproducible():
        grids = {digest: few_levels(side) for digest, side in sides.items() if side < MOST}
        rounded = round_in_order(model, windows, grids)
        meant = {digest: dequantize_groups(*each, grids[digest]) for digest, each in rounded.items()}
        together = measure_together(model, meant, tokens)
    told = {
        "saving": saving,
        "everything": all(side == FEWEST for side in sides.values()),
        "tokens": tokens.numel(),
        "predicted_kl_divergence": short(sum(each.cost_of(sides[each.digest]) for each in measured)),
        "measured_kl_divergence": short(together),
        "kl_divergence": {name: short(each.cost) for each in measured for name in each.names},
    }
    return FewLevels(
        rounded, _facts(options, {name: sides.get(digest, MOST) for name, digest in digests.items()}, told)
    )


def _facts(options: CompileOptions, sides: dict[str, int], told: dict[str, Any]) -> dict[str, Any]:
    """What report.json keeps, by each linear's levels on either side; `kl_divergence` is what LEVELS cost in each alone."""
    levels = {name: 2 * side + 1 for name, side in sides.items()}
    return {"weights": options.weights, "weight_bits": {**told, "levels": levels}}


def short(value: float) -> float:
    return float(f"{value:.3g}")

"""A decoder's linears for an NPU in int8 of few levels, which its compiler packs: as many in each as it needs, together of as
many bytes as 15 throughout would take, or as a budget of flash leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from mcu_sdk.lowering.ethos_u.packed import packed_bytes
from mcu_sdk.lowering.gptq import INT8, Grouped, dequantize_groups
from mcu_sdk.lowering.in_order import round_in_order
from mcu_sdk.lowering.int4 import FloatLinear, float_linears
from mcu_sdk.lowering.levels_by_cost import (
    FEWEST,
    MIDDLE,
    MOST,
    Measured,
    choose_levels,
    measure_together,
    nearest,
)
from mcu_sdk.lowering.moments import moments_of, weight_digest
from mcu_sdk.lowering.output_moments import output_moments
from mcu_sdk.lowering.reproducible import reproducible
from mcu_sdk.lowering.sensitivity import measured_tokens
from mcu_sdk.lowering.two_sided import cost, quantize_rows, row_steps, to_nearest
from mcu_sdk.options import CompileOptions
from mcu_sdk.recipes.stage import stage

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from transformers import PreTrainedModel

CORRECTIONS = 3
"""Of the budget in bits, by what the bits that are chosen are packed into."""


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
    with stage("Measuring what each linear reads, and what its outputs count"), reproducible():
        seen = moments_of(
            model, lambda: [model(input_ids=row[None], use_cache=False) for row in windows], head=True
        )
        inputs = {digest: each / windows.numel() for digest, each in seen.items()}
        outputs = output_moments(model, windows)
        weights = {each.name: each.weight for each in linears if each.weight is not None}
        digests = {name: weight_digest(weight) for name, weight in weights.items()}
        places = {digest: weights[name] for name, digest in digests.items() if digest in outputs}
        steps = {digest: row_steps(weight, outputs[digest], MIDDLE) for digest, weight in places.items()}
        first = {
            digest: quantize_rows(weight, inputs[digest], outputs[digest], steps[digest])
            for digest, weight in places.items()
        }
        costs = {
            digest: cost(dequantize_groups(*first[digest], INT8) - weight, inputs[digest], outputs[digest])
            for digest, weight in places.items()
        }
    names: dict[str, tuple[str, ...]] = {}
    with stage("Choosing how many levels each linear gets"):
        for name, digest in digests.items():
            names[digest] = (*names.get(digest, ()), name)
        measured = [
            Measured(names[digest], digest, weight, first[digest][0], costs[digest])
            for digest, weight in places.items()
        ]
        sides = _choose(measured, steps, options)
    with stage("Rounding weights, each linear behind those before it"), reproducible():
        found = {digest: steps[digest] * (MIDDLE / side) for digest, side in sides.items() if side < MOST}
        rounded = round_in_order(model, windows, found, outputs)
        meant = {digest: dequantize_groups(*each, INT8) for digest, each in rounded.items()}
    tokens = measured_tokens(model, windows, 2)
    with stage(f"Measuring what they cost together, on {tokens.numel():,} tokens"), reproducible():
        together = measure_together(model, meant, tokens)
    told = {
        "saving": saving,
        "everything": all(side == FEWEST for side in sides.values()),
        "tokens": tokens.numel(),
        "predicted_kl_divergence": short(sum(each.cost_of(sides[each.digest]) for each in measured)),
        "measured_kl_divergence": short(together),
        "kl_divergence": {name: short(each.cost) for each in measured for name in each.names},
    }
    middle = {digest: min(round(side), MOST - 1) for digest, side in sides.items() if side < MOST}
    return FewLevels(
        rounded, _facts(options, {name: middle.get(digest, MOST) for name, digest in digests.items()}, told)
    )


def _choose(
    measured: Sequence[Measured], steps: Mapping[str, torch.Tensor], options: CompileOptions
) -> dict[str, float]:
    """Levels on either side, by weight_digest, with which all weights are packed into as many bytes as LEVELS throughout would be,
    each row's greatest weight being the last of them, or as int8 but for the bytes to save."""
    side = MIDDLE if options.weights == "int4" else MOST
    wanted = sum(packed_bytes(nearest(each.weight, side)) for each in measured)
    wanted -= (options.int4_saving or 0) if options.weights == "auto" else 0
    budget = 8.0 * wanted
    sides = choose_levels(measured, budget)
    for _ in range(CORRECTIONS):  # a packed weight is a few percent longer than its entropy
        found = sum(
            packed_bytes(to_nearest(each.weight, steps[each.digest] * (MIDDLE / sides[each.digest])))
            for each in measured
        )
        budget *= max(wanted, 1) / found
        sides = choose_levels(measured, budget)
    return sides


def _facts(options: CompileOptions, sides: dict[str, int], told: dict[str, Any]) -> dict[str, Any]:
    """What report.json keeps, by the levels on either side in the middle one of each linear's rows; `kl_divergence` is what
    LEVELS there cost in each alone, by estimate."""
    levels = {name: 2 * side + 1 for name, side in sides.items()}
    return {"weights": options.weights, "weight_bits": {**told, "levels": levels}}


def short(value: float) -> float:
    return float(f"{value:.3g}")

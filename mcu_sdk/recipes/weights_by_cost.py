"""`--weights auto`: int4 for the linears in which it costs least, until a .pte is as small as it has to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from torch.export import ExportedProgram

from mcu_sdk.console import log
from mcu_sdk.lowering.fuse.graph import args, constant_value, is_call
from mcu_sdk.lowering.int4 import (
    Candidate,
    FloatLinear,
    experts_to_int4,
    int4_candidates,
    round_weight,
    to_int4,
)
from mcu_sdk.lowering.module_path import module_path
from mcu_sdk.lowering.moments import weight_digest
from mcu_sdk.lowering.reproducible import reproducible
from mcu_sdk.lowering.sensitivity import Chosen, Sensitivity, choose, measured_tokens
from mcu_sdk.recipes.stage import stage

if TYPE_CHECKING:
    from transformers import PreTrainedModel

mcu = torch.ops.mcu

TOLD = 10
"""How often one is told how far the measurement has come."""


def weights_by_cost(
    model: PreTrainedModel,
    windows: torch.Tensor,
    quantized: ExportedProgram,
    linears: Sequence[FloatLinear],
    moments: Mapping[str, torch.Tensor],
    keep: set[str],
    saving: int | None,
    experts: Sequence[FloatLinear] = (),
) -> dict[str, Any]:
    """Give linears of a quantized program, in place, int4 weights so that it has at least `saving` bytes less (None or 0:
    all stay int8), or all that can. Returns facts: how many, and as `weight_bits` each layer's bits and what they cost.

    `linears`, `moments` and `keep` are as of to_int4, `experts` as of experts_to_int4.
    """
    candidates = int4_candidates(quantized, linears, keep, experts)
    chosen, costs = Chosen(frozenset(), 0.0, not candidates), {}
    told: dict[str, Any] = {"saving": saving or 0, "saved_at_most": sum(each.saved for each in candidates)}
    rounded = {}
    if saving and candidates:
        with stage("Rounding weights to int4"), reproducible():
            rounded = {each.digest: round_weight(each.weight, moments) for each in candidates}
        tokens = measured_tokens(model, windows, len(candidates) + 2)
        with (
            stage(
                f"Measuring what int4 costs in each of {len(candidates)} linears, on {tokens.numel():,} tokens"
            ),
            reproducible(),
        ):
            sensitivity = Sensitivity(model, rounded, tokens)
            candidates = [each for each in candidates if each.digest in sensitivity.found]
            costs = _measured(sensitivity, candidates)
            chosen = choose(candidates, costs, saving)
            together = sensitivity.divergence(sorted(chosen.digests))
        told |= {
            "tokens": tokens.numel(),
            "predicted_kl_divergence": _short(chosen.predicted),
            "measured_kl_divergence": _short(together),
        }
        told["kl_divergence"] = {
            name: _short(costs[each.digest]) for each in candidates for name in each.names
        }
    with stage("Giving linears their weights"), reproducible():
        both = [*linears, *experts]
        bits = _bits(quantized, both, chosen)
        others = {weight_digest(each.weight) for each in both if each.weight is not None} - chosen.digests
        share = to_int4(quantized, linears, moments, others, rounded)
        share = share.and_experts(experts_to_int4(quantized, experts, moments, others, rounded))
    told |= {"everything": chosen.everything, "bits": bits}
    return {**asdict(share), "weight_bits": told}


def _measured(sensitivity: Sensitivity, candidates: Sequence[Candidate]) -> dict[str, float]:
    """What each candidate costs alone, by digest."""
    costs = {}
    for count, each in enumerate(candidates, 1):
        costs[each.digest] = sensitivity.divergence([each.digest])
        if count * TOLD // len(candidates) != (count - 1) * TOLD // len(candidates):
            log(f"  {count} of {len(candidates)} linears")
    return costs


def _bits(program: ExportedProgram, linears: Sequence[FloatLinear], chosen: Chosen) -> dict[str, int]:
    """Bits of the weights of each embedding and linear, by its path in the checkpoint."""
    found = {
        module_path(node): 8 * constant_value(program, args(node)[0]).element_size()
        for node in program.graph.nodes
        if is_call(node, mcu.embedding_s8.default)
    }
    for linear in linears:
        if linear.weight is not None:
            found[linear.name] = 4 if weight_digest(linear.weight) in chosen.digests else 8
    return found


def _short(value: float) -> float:
    return float(f"{value:.3g}")

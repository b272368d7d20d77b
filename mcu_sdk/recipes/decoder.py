"""A decoder's checkpoint -> a .pte for a processor, top to bottom."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from torch.export import ExportedProgram

from mcu_sdk.lowering.calibrate import cache_ranges, run_steps
from mcu_sdk.lowering.export import choose_cache_length, export_decoder
from mcu_sdk.lowering.fuse import fuse
from mcu_sdk.lowering.guard import DecoderGuard
from mcu_sdk.lowering.int4 import float_linears, to_int4
from mcu_sdk.lowering.lower import lower
from mcu_sdk.lowering.metadata import llm_metadata
from mcu_sdk.lowering.moments import head_digest, linear_moments
from mcu_sdk.lowering.pack import pack_weights
from mcu_sdk.lowering.provenance import without_provenance
from mcu_sdk.lowering.quantize import check_finite, drop_weights, int8_share, quantize
from mcu_sdk.lowering.reproducible import reproducible
from mcu_sdk.model.load import Checkpoint, load_model
from mcu_sdk.options import CompileOptions
from mcu_sdk.recipes.compiled import CompiledModel
from mcu_sdk.recipes.stage import stage
from mcu_sdk.recipes.windows import calibration_windows

if TYPE_CHECKING:
    from torch.fx import GraphModule
    from transformers import PreTrainedModel


def compile_decoder(checkpoint: Checkpoint, options: CompileOptions) -> CompiledModel:
    """One step as a .pte, its weights laid out as `options.weight_layout` says. Raises ModelError and TextError."""
    quantized, metadata, facts = quantized_step(checkpoint, options)
    with stage("Lowering to ExecuTorch and planning memory"), without_provenance():
        facts["packed_weights"] = pack_weights(quantized, options.weight_layout)
        lowered = lower(quantized, metadata)
    return CompiledModel(lowered.pte, lowered.names, facts)


def quantized_step(
    checkpoint: Checkpoint, options: CompileOptions
) -> tuple[ExportedProgram, dict[str, Any], dict[str, Any]]:
    """Checkpoint to quantized graph: (program, metadata for the .pte, facts for the report).

    The program is one step, `(input_ids int64[1,1], cache_position int64[1]) -> logits float32[1,1,V]`, in PyTorch:
    what the firmware is compared with.
    """
    with stage("Loading the checkpoint"), reproducible():
        model = load_model(checkpoint)
        cache_length = choose_cache_length(model, options.cache_length)
        metadata = llm_metadata(model, cache_length)
    with stage("Calibrating"), reproducible():
        windows = calibration_windows(checkpoint, model, options, cache_length)
        ranges = cache_ranges(model, windows) if options.cache_scales == "calibrated" else None
        moments, head = _moments(model, windows, options)
    with stage("Exporting one step with a static cache"):
        program = export_decoder(model, cache_length)
    with stage("Comparing the exported step with the checkpoint"), reproducible():
        guard = DecoderGuard(model, windows, cache_length)
        guard.check_exported(program)
    with stage("Fusing"):
        counts = fuse(program, cache_length, ranges)
    with stage("Comparing the fused step with the checkpoint"), reproducible():
        guard.check_fused(program, ranges)
    with stage("Quantizing to int8"), reproducible():

        def calibrate(prepared: GraphModule) -> None:
            run_steps(prepared, windows if options.activations == "static" else windows[:1, :1])

        linears = float_linears(program)
        quantized = quantize(program, options.activations, calibrate)
        check_finite(quantized)
    share: dict[str, Any] = {"weights": options.weights}
    if options.weights == "int4":
        with stage("Rounding weights to int4"), reproducible():
            share |= asdict(to_int4(quantized, linears, moments, head))
    with stage("Comparing the quantized step with the checkpoint"), reproducible():
        accuracy = guard.accuracy(program, quantized)
    facts = {
        "cache_length": cache_length,
        "activations": options.activations,
        "cache_scales": options.cache_scales,
        "parameters": sum(p.numel() for p in model.parameters()),
        "fused": asdict(counts),
        "guard": guard.facts,
        "accuracy": accuracy,
        **int8_share(quantized),
        **share,
    }
    drop_weights(model, quantized)
    return quantized, metadata, facts


def _moments(
    model: PreTrainedModel, windows: torch.Tensor, options: CompileOptions
) -> tuple[dict[str, torch.Tensor], set[str]]:
    """What int4 weights are rounded by, and the digest of the weight that stays int8."""
    if options.weights == "int8":
        return {}, set()
    head = head_digest(model)
    return linear_moments(model, windows), set() if head is None else {head}

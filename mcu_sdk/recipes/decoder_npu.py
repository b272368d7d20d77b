"""A decoder's checkpoint -> a .pte whose step is one Ethos-U delegate."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from mcu_sdk.board.npu_target import NpuTarget
from mcu_sdk.lowering.attention_window import require_whole_view
from mcu_sdk.lowering.calibrate import cache_ranges
from mcu_sdk.lowering.ethos_u.compile import QuantizedStep, lower_decoder, quantize_decoder
from mcu_sdk.lowering.export import choose_cache_length, export_decoder
from mcu_sdk.lowering.fuse import fuse
from mcu_sdk.lowering.guard import DecoderGuard
from mcu_sdk.lowering.metadata import llm_metadata
from mcu_sdk.lowering.provenance import without_provenance
from mcu_sdk.lowering.reproducible import reproducible
from mcu_sdk.model.load import Checkpoint, load_model
from mcu_sdk.options import CompileOptions
from mcu_sdk.recipes.compiled import CompiledModel
from mcu_sdk.recipes.stage import stage
from mcu_sdk.recipes.windows import calibration_windows


def compile_decoder_npu(checkpoint: Checkpoint, options: CompileOptions, target: NpuTarget) -> CompiledModel:
    """The step as one delegate for `target`, and its CPU part around it. Raises BoardError and ModelError."""
    target.check()
    quantized, metadata, facts = npu_step(checkpoint, options, target)
    with stage(f"Lowering to one delegate for {target.accelerator}"), without_provenance():
        compiled = lower_decoder(quantized, target, metadata)
    return CompiledModel(compiled.pte, compiled.names, {**facts, **compiled.facts}, compiled.delegates)


def npu_step(
    checkpoint: Checkpoint, options: CompileOptions, target: NpuTarget, **settings: Any
) -> tuple[QuantizedStep, dict[str, Any], dict[str, Any]]:
    """Checkpoint to calibrated NPU step: (step in PyTorch, metadata for the .pte, facts for the report).

    `settings` go to `quantize_decoder`.
    """
    with stage("Loading the checkpoint"), reproducible():
        model = load_model(checkpoint)
        cache_length = choose_cache_length(model, options.cache_length)
        require_whole_view(model, cache_length, target.accelerator)
    with stage("Calibrating"), reproducible():
        windows = calibration_windows(checkpoint, model, options, cache_length)
        ranges = cache_ranges(model, windows)
    with stage("Exporting one step with a static cache"):
        program = export_decoder(model, cache_length)
    with stage("Comparing the exported step with the checkpoint"), reproducible():
        guard = DecoderGuard(model, windows, cache_length)
        guard.check_exported(program)
    with stage("Fusing"):
        counts = fuse(program, cache_length, ranges)
    with stage("Comparing the fused step with the checkpoint"), reproducible():
        guard.check_fused(program, ranges)
    with stage("Quantizing for the NPU"), reproducible():
        quantized = quantize_decoder(program, model, cache_length, windows, target, **settings)
    with stage("Comparing the quantized step with the checkpoint"), reproducible():
        accuracy = guard.npu_accuracy(quantized)
    facts = {
        "cache_length": cache_length,
        "activations": "static",
        "cache_scales": "calibrated",
        "parameters": sum(p.numel() for p in model.parameters()),
        "fused": asdict(counts),
        "guard": guard.facts,
        "accuracy": accuracy,
    }
    return quantized, llm_metadata(model, cache_length), facts

"""A decoder's checkpoint -> a .pte whose step is one Ethos-U delegate."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mcu_sdk.board.npu_target import NpuTarget
from mcu_sdk.errors import ModelError
from mcu_sdk.lowering.attention_window import require_whole_view
from mcu_sdk.lowering.ethos_u.compile import QuantizedStep, lower_decoder, quantize_decoder
from mcu_sdk.lowering.fuse.experts import mixes_experts
from mcu_sdk.lowering.gptq import Grouped
from mcu_sdk.lowering.quick_passes import quick_passes
from mcu_sdk.lowering.reproducible import reproducible
from mcu_sdk.model.load import Checkpoint
from mcu_sdk.options import CompileOptions
from mcu_sdk.recipes.compiled import CompiledModel
from mcu_sdk.recipes.few_levels import levels_by_need
from mcu_sdk.recipes.fused import fused_step
from mcu_sdk.recipes.stage import stage
from mcu_sdk.recipes.windows import rounding_windows

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def compile_decoder_npu(checkpoint: Checkpoint, options: CompileOptions, target: NpuTarget) -> CompiledModel:
    """The step as one delegate for `target`, and its CPU part around it. Raises BoardError and ModelError."""
    target.check()
    quantized, metadata, facts = npu_step(checkpoint, options, target)
    with stage(f"Lowering to one delegate for {target.accelerator}"), quick_passes():
        compiled = lower_decoder(quantized, target, metadata)
    return CompiledModel(compiled.pte, compiled.names, {**facts, **compiled.facts}, compiled.delegates)


def npu_step(
    checkpoint: Checkpoint, options: CompileOptions, target: NpuTarget, **settings: Any
) -> tuple[QuantizedStep, dict[str, Any], dict[str, Any]]:
    """Checkpoint to calibrated NPU step: (step in PyTorch, metadata for the .pte, facts for the report).

    `settings` go to `quantize_decoder`.
    """

    def check(model: PreTrainedModel, cache_length: int) -> None:
        require_whole_view(model, cache_length, target.accelerator)
        if mixes_experts(model):
            raise _mixture(model, target)

    options = replace(options, cache_scales="calibrated")
    fused = fused_step(checkpoint, options, check)
    model, cache_length = fused.model, fused.cache_length
    if fused.facts["fused"]["expert_linear"]:
        raise _mixture(model, target)
    rounded: dict[str, Grouped] = {}
    share: dict[str, Any] = {}
    if options.weights != "int8":
        windows = rounding_windows(checkpoint, model, options, cache_length)
        few = levels_by_need(model, windows, fused.program, options)
        rounded, share = few.rounded, few.facts
    with stage("Quantizing for the NPU"), reproducible(), quick_passes():
        quantized = quantize_decoder(
            fused.program, model, cache_length, fused.windows, target, rounded, **settings
        )
    with stage("Comparing the quantized step with the checkpoint"), reproducible():
        accuracy = fused.guard.npu_accuracy(quantized)
    facts = {
        **fused.facts,
        "activations": "static",
        "cache_scales": options.cache_scales,
        "accuracy": accuracy,
        **share,
    }
    return quantized, fused.metadata, facts


def _mixture(model: PreTrainedModel, target: NpuTarget) -> ModelError:
    return ModelError(
        f"On {target.accelerator} every token reads the same weights; {type(model).__name__} is a mixture of experts.",
        hint="Take the board's processor as --target, or a model of the family without experts.",
    )

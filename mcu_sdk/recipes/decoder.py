"""A decoder's checkpoint -> a .pte for a processor, top to bottom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from torch.export import ExportedProgram

from mcu_sdk.lowering.calibrate import run_steps
from mcu_sdk.lowering.expert_moments import expert_moments
from mcu_sdk.lowering.int4 import experts_to_int4, float_experts, float_linears, to_int4
from mcu_sdk.lowering.lower import lower
from mcu_sdk.lowering.metadata import prefill_metadata
from mcu_sdk.lowering.moments import head_digest, linear_moments, shares_head
from mcu_sdk.lowering.pack import pack_weights
from mcu_sdk.lowering.prefill import check_prefill, prefill_of
from mcu_sdk.lowering.quantize import check_finite, drop_weights, int8_share, quantize
from mcu_sdk.lowering.quick_passes import quick_passes
from mcu_sdk.lowering.reproducible import reproducible
from mcu_sdk.model.load import Checkpoint
from mcu_sdk.options import CompileOptions
from mcu_sdk.recipes.compiled import CompiledModel
from mcu_sdk.recipes.fused import FusedStep, fused_step
from mcu_sdk.recipes.stage import stage
from mcu_sdk.recipes.weights_by_cost import weights_by_cost

if TYPE_CHECKING:
    from torch.fx import GraphModule


def compile_decoder(checkpoint: Checkpoint, options: CompileOptions) -> CompiledModel:
    """One step as a .pte, and with `options.prefill` a chunk of a prompt beside it, weights laid out as
    `options.weight_layout` says. Raises ModelError, TextError and UsageError."""
    quantized, metadata, facts = quantized_step(checkpoint, options)
    prefill = None
    if options.prefill is not None:
        prefill, told = compared_prefill(quantized, metadata, options)
        metadata |= prefill_metadata(options.prefill)
        facts["prefill"] = told
    with stage("Lowering to ExecuTorch and planning memory"), quick_passes():
        facts["packed_weights"] = pack_weights(quantized, options.weight_layout)
        if prefill is not None:
            pack_weights(prefill, options.weight_layout)
        lowered = lower(quantized, metadata, prefill=prefill, record=options.etrecord)
    return CompiledModel(lowered.pte, lowered.names, facts, etrecord=lowered.etrecord)


def compared_prefill(
    quantized: ExportedProgram, metadata: Mapping[str, Any], options: CompileOptions
) -> tuple[ExportedProgram, dict[str, int]]:
    """A chunk of `options.prefill` tokens that gives what they give one by one, and facts for the report. Raises ModelError."""
    rows = options.prefill
    assert rows is not None
    with stage(f"Making a prefill of {rows} tokens, and comparing it with as many steps"):
        prefill = prefill_of(quantized, rows)
        vocabulary, length = metadata["get_vocab_size"], metadata["get_max_seq_len"]
        reads = length if options.kept_sinks is None else 2 * length + rows
        compared = check_prefill(quantized, prefill, rows, vocabulary, reads)
    return prefill, {"rows": rows, "positions": compared}


def quantized_step(
    checkpoint: Checkpoint, options: CompileOptions
) -> tuple[ExportedProgram, dict[str, Any], dict[str, Any]]:
    """Checkpoint to quantized graph: (program, metadata for the .pte, facts for the report).

    The program is one step, `(input_ids int64[1,1], cache_position int64[1]) -> logits float32[1,1,V]`, in PyTorch:
    what the firmware is compared with.
    """
    fused = fused_step(checkpoint, options)
    quantized, facts = quantize_fused(fused, options)
    drop_weights(fused.model, quantized)
    return quantized, fused.metadata, facts


def quantize_fused(fused: FusedStep, options: CompileOptions) -> tuple[ExportedProgram, dict[str, Any]]:
    """A fused step to the quantized graph, and facts for the report; the model keeps its weights. Raises ModelError."""
    model, windows, program = fused.model, fused.windows, fused.program
    if options.weights != "int8":
        with stage("Measuring what each linear reads"), reproducible():
            alone = options.weights == "auto" and not shares_head(model)
            moments = linear_moments(model, windows, head=alone)
            keep = set() if alone or (head := head_digest(model)) is None else {head}
    experts = float_experts(program) if options.weights != "int8" else []
    if experts:
        with stage("Measuring what each expert reads"), reproducible():
            moments |= expert_moments(model, windows)
    with stage("Quantizing to int8"), reproducible():

        def calibrate(prepared: GraphModule) -> None:
            run_steps(prepared, windows if options.activations == "static" else windows[:1, :1])

        linears = float_linears(program)
        quantized = quantize(program, options.activations, calibrate)
        check_finite(quantized)
    share: dict[str, Any] = {"weights": options.weights}
    if options.weights == "auto":
        saving = options.int4_saving
        share |= weights_by_cost(model, windows, quantized, linears, moments, keep, saving, experts)
    elif options.weights == "int4":
        with stage("Rounding weights to int4"), reproducible():
            found = to_int4(quantized, linears, moments, keep)
            share |= asdict(found.and_experts(experts_to_int4(quantized, experts, moments)))
    if notes := _notes_of_experts(share):
        share["notes"] = notes
    with stage("Comparing the quantized step with the checkpoint"), reproducible():
        accuracy = fused.guard.accuracy(program, quantized)
    facts = {
        **fused.facts,
        "activations": options.activations,
        "cache_scales": options.cache_scales,
        "accuracy": accuracy,
        **int8_share(quantized),
        **share,
    }
    return quantized, facts


def _notes_of_experts(share: Mapping[str, Any]) -> list[str]:
    """What to say of experts whose weights are not rounded by what they read."""
    if not share.get("nearest_experts"):
        return []
    return [
        f"{share['nearest_experts']} of {share['int4_experts']} matrices of experts were rounded each weight to its nearest: "
        "fewer rows of the calibration reached these experts than the matrix has columns, which GPTQ needs. A longer "
        "cache or another --calibration-text may reach more."
    ]

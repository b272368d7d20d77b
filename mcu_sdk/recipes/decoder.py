"""A decoder's checkpoint -> a .pte for a processor, top to bottom."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from torch.export import ExportedProgram

from mcu_sdk.lowering.calibrate import run_steps
from mcu_sdk.lowering.int4 import float_linears, to_int4
from mcu_sdk.lowering.lower import lower
from mcu_sdk.lowering.metadata import prefill_metadata
from mcu_sdk.lowering.moments import head_digest, linear_moments, shares_head
from mcu_sdk.lowering.pack import pack_weights
from mcu_sdk.lowering.prefill import check_prefill, prefill_of
from mcu_sdk.lowering.provenance import without_provenance
from mcu_sdk.lowering.quantize import check_finite, drop_weights, int8_share, quantize
from mcu_sdk.lowering.reproducible import reproducible
from mcu_sdk.model.load import Checkpoint
from mcu_sdk.options import CompileOptions
from mcu_sdk.recipes.compiled import CompiledModel
from mcu_sdk.recipes.fused import fused_step
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
        with stage(f"Making a prefill of {options.prefill} tokens, and comparing it with as many steps"):
            prefill = prefill_of(quantized, options.prefill)
            vocabulary, length = metadata["get_vocab_size"], metadata["get_max_seq_len"]
            reads = length if options.kept_sinks is None else 2 * length + options.prefill
            compared = check_prefill(quantized, prefill, options.prefill, vocabulary, reads)
            metadata |= prefill_metadata(options.prefill)
        facts["prefill"] = {"rows": options.prefill, "positions": compared}
    with stage("Lowering to ExecuTorch and planning memory"), without_provenance():
        facts["packed_weights"] = pack_weights(quantized, options.weight_layout)
        if prefill is not None:
            pack_weights(prefill, options.weight_layout)
        lowered = lower(quantized, metadata, prefill=prefill)
    return CompiledModel(lowered.pte, lowered.names, facts)


def quantized_step(
    checkpoint: Checkpoint, options: CompileOptions
) -> tuple[ExportedProgram, dict[str, Any], dict[str, Any]]:
    """Checkpoint to quantized graph: (program, metadata for the .pte, facts for the report).

    The program is one step, `(input_ids int64[1,1], cache_position int64[1]) -> logits float32[1,1,V]`, in PyTorch:
    what the firmware is compared with.
    """
    fused = fused_step(checkpoint, options, lambda model, length: options.check_length(length))
    model, windows, program = fused.model, fused.windows, fused.program
    if options.weights != "int8":
        with stage("Measuring what each linear reads"), reproducible():
            alone = options.weights == "auto" and not shares_head(model)
            moments = linear_moments(model, windows, head=alone)
            keep = set() if alone or (head := head_digest(model)) is None else {head}
    with stage("Quantizing to int8"), reproducible():

        def calibrate(prepared: GraphModule) -> None:
            run_steps(prepared, windows if options.activations == "static" else windows[:1, :1])

        linears = float_linears(program)
        quantized = quantize(program, options.activations, calibrate)
        check_finite(quantized)
    share: dict[str, Any] = {"weights": options.weights}
    if options.weights == "auto":
        share |= weights_by_cost(model, windows, quantized, linears, moments, keep, options.int4_saving)
    elif options.weights == "int4":
        with stage("Rounding weights to int4"), reproducible():
            share |= asdict(to_int4(quantized, linears, moments, keep))
    if options.weights != "int8" and fused.facts["fused"]["expert_linear"]:
        share["notes"] = ["Experts keep int8 weights; int4 is for the linears that every token reads."]
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
    drop_weights(model, quantized)
    return quantized, fused.metadata, facts

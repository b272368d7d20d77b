"""A decoder's checkpoint -> a .pte of ExecuTorch's own operators, for a runtime to which none can be added."""

from __future__ import annotations

from mcu_sdk.lowering.guard import DecoderGuard
from mcu_sdk.lowering.lower import lower_portable
from mcu_sdk.lowering.metadata import llm_metadata
from mcu_sdk.lowering.portable import to_int8_weights, to_portable
from mcu_sdk.lowering.quantize import check_finite, drop_weights
from mcu_sdk.lowering.quick_passes import quick_passes
from mcu_sdk.lowering.reproducible import reproducible
from mcu_sdk.lowering.without_kernel import refuse_complex
from mcu_sdk.model.load import Checkpoint, load_model
from mcu_sdk.options import CompileOptions
from mcu_sdk.recipes.compiled import CompiledModel
from mcu_sdk.recipes.decoder_length import decoder_length
from mcu_sdk.recipes.stage import stage
from mcu_sdk.recipes.windows import calibration_windows


def compile_portable_decoder(checkpoint: Checkpoint, options: CompileOptions) -> CompiledModel:
    """One step as a .pte without `mcu::` operators: linears and embeddings with int8 weights, all else float32, the cache too.

    Raises ModelError, and UsageError for a length that the model does not have.
    """
    with stage("Loading the checkpoint"), reproducible():
        cache_length = decoder_length(checkpoint, options)
        model = load_model(checkpoint)
        metadata = llm_metadata(model, cache_length)
    with stage("Choosing tokens to compare on"), reproducible():
        windows = calibration_windows(checkpoint, model, options, cache_length)
    with (
        stage("Exporting one step with a static cache, and comparing it with the checkpoint"),
        reproducible(),
    ):
        guard = DecoderGuard(model, windows, cache_length)
        program = guard.faithful_step()
    with stage("Bringing it into portable operators, and comparing it with the checkpoint"), reproducible():
        tables = to_portable(program, cache_length)
        refuse_complex(program)
        guard.check_rewritten(program, to_portable, "portable")
    with stage("Rounding weights to int8"), reproducible():
        quantized = program.run_decompositions({})
        share = to_int8_weights(quantized, tables)
        check_finite(quantized)
    with stage("Comparing the quantized step with the checkpoint"), reproducible():
        accuracy = guard.accuracy(program, quantized)
    facts = {
        "operators": options.operators,
        "weights": options.weights,
        "activations": "float32",
        "cache_scales": "float32",
        "cache_length": cache_length,
        "parameters": sum(p.numel() for p in model.parameters()),
        "guard": guard.facts,
        "accuracy": accuracy,
        **share,
    }
    drop_weights(model, quantized)
    with stage("Lowering to ExecuTorch and planning memory"), quick_passes():
        lowered = lower_portable(quantized, metadata, record=options.etrecord)
    return CompiledModel(lowered.pte, lowered.names, facts, etrecord=lowered.etrecord)

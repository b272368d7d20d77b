"""A checkpoint -> a .pte: which recipe it takes."""

from __future__ import annotations

from mcu_sdk.console import quiet_libraries, step
from mcu_sdk.errors import UsageError
from mcu_sdk.heap import return_freed_tensors
from mcu_sdk.model.load import Checkpoint
from mcu_sdk.options import CompileOptions
from mcu_sdk.recipes.cached import cached
from mcu_sdk.recipes.compiled import CompiledModel
from mcu_sdk.recipes.windows import check_calibration_text


def compile_checkpoint(
    checkpoint: Checkpoint, options: CompileOptions, *, use_cache: bool = True
) -> CompiledModel:
    """The whole way to a .pte, or what an earlier run left in the cache for the same content and options.

    Raises UsageError for options that do not go together, and ModelError.
    """
    options.check()
    if options.calibration_text is not None:
        with step("Reading the text to calibrate on"):
            check_calibration_text(checkpoint, options)

    def compile() -> CompiledModel:
        return_freed_tensors()
        with quiet_libraries():
            return _compile(checkpoint, options)

    if not use_cache:
        return compile()
    return cached({"checkpoint": checkpoint.fingerprint(), **options.key_facts()}, compile)


def _compile(checkpoint: Checkpoint, options: CompileOptions) -> CompiledModel:
    with step("Loading PyTorch"):  # the recipes import it
        from mcu_sdk.model.encoder import encoder_architecture
        from mcu_sdk.model.encoder_decoder import pair_architecture
        from mcu_sdk.recipes.decoder import compile_decoder
        from mcu_sdk.recipes.decoder_portable import compile_portable_decoder
        from mcu_sdk.recipes.encoder import compile_encoder
        from mcu_sdk.recipes.encoder_decoder import compile_encoder_decoder

    pair = pair_architecture(checkpoint)
    if pair is not None and options.npu is None:
        return compile_encoder_decoder(checkpoint, pair, options)
    architecture = encoder_architecture(checkpoint)
    if architecture is None and options.operators == "portable":
        return compile_portable_decoder(checkpoint, options)
    if architecture is None and options.npu is None:
        return compile_decoder(checkpoint, options)
    if options.npu is not None:
        with step("Loading ExecuTorch's Ethos-U backend"):
            from mcu_sdk.recipes.decoder_divided import compile_decoder_divided
            from mcu_sdk.recipes.decoder_npu import compile_decoder_npu

    if architecture is not None and options.weights != "int8":
        raise UsageError(
            f"--weights is for decoders; {checkpoint.name} is an encoder, whose weights are int8.",
            hint="Leave --weights out.",
        )
    if architecture is not None:
        return compile_encoder(checkpoint, architecture, options)
    assert options.npu is not None
    if options.prefill is not None or options.step == "linears":
        on_npu = options.step == "linears"
        return compile_decoder_divided(checkpoint, options, options.npu, step="linears" if on_npu else "cpu")
    return compile_decoder_npu(checkpoint, options, options.npu)

"""An encoder's checkpoint -> a .pte for an NPU."""

from __future__ import annotations

from dataclasses import replace

from mcu_sdk.board.npu_target import NpuTarget
from mcu_sdk.model.load import Checkpoint
from mcu_sdk.options import CompileOptions
from mcu_sdk.recipes.compiled import CompiledModel
from mcu_sdk.recipes.stage import stage


def compile_encoder(
    checkpoint: Checkpoint, architecture: str, options: CompileOptions, target: NpuTarget
) -> CompiledModel:
    """Load the class `architecture` of transformers, make calls to calibrate on, and compile it as any module."""
    with stage(f"Loading PyTorch and the checkpoint, a {architecture}"):
        from mcu_sdk.model.encoder import example_calls, load_encoder

        encoder = load_encoder(checkpoint, architecture)
        calls = example_calls(encoder, options.cache_length, options.calibration_text, checkpoint)
    from mcu_sdk.recipes.module import compile_for_npu

    compiled = compile_for_npu(encoder, calls, target)
    return replace(compiled, facts={**compiled.facts, "input_names": [encoder.input_name]})

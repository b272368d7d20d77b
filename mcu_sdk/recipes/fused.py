"""A decoder's checkpoint -> a fused step in float32: the part of the way that processor and NPU share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.export import ExportedProgram

from mcu_sdk.lowering.calibrate import cache_ranges
from mcu_sdk.lowering.fuse import fuse
from mcu_sdk.lowering.fuse.left import left_in_float
from mcu_sdk.lowering.guard import DecoderGuard
from mcu_sdk.lowering.metadata import llm_metadata
from mcu_sdk.lowering.reproducible import reproducible
from mcu_sdk.lowering.sliding_probe import require_distances
from mcu_sdk.lowering.without_kernel import refuse_complex
from mcu_sdk.model.load import Checkpoint, load_model
from mcu_sdk.options import CompileOptions
from mcu_sdk.recipes.decoder_length import decoder_length
from mcu_sdk.recipes.stage import stage
from mcu_sdk.recipes.windows import calibration_windows

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class FusedStep:
    """A model, the tokens int64[n, L] that it is calibrated on, and its step, compared with it up to here by `guard`.

    `metadata` is for the .pte, `facts` are for the report.
    """

    model: PreTrainedModel
    cache_length: int
    windows: torch.Tensor
    program: ExportedProgram
    guard: DecoderGuard
    metadata: dict[str, Any]
    facts: dict[str, Any]


def fused_step(
    checkpoint: Checkpoint,
    options: CompileOptions,
    check: Callable[[PreTrainedModel, int], None] = lambda model, cache_length: None,
) -> FusedStep:
    """Look at the configuration, load, calibrate the cache, export, compare, fuse, compare.

    `check(model, cache_length)` raises what the recipe has against the model. Raises ModelError, TextError and UsageError.
    """
    with stage("Loading the checkpoint"), reproducible():
        cache_length = decoder_length(checkpoint, options)
        model = load_model(checkpoint)
        check(model, cache_length)
        if options.kept_sinks is not None:
            require_distances(model)
        metadata = llm_metadata(model, cache_length, options.kept_sinks)
    with stage("Calibrating"), reproducible():
        windows = calibration_windows(checkpoint, model, options, cache_length)
        ranges = cache_ranges(model, windows) if options.cache_scales == "calibrated" else None
    with (
        stage("Exporting one step with a static cache, and comparing it with the checkpoint"),
        reproducible(),
    ):
        guard = DecoderGuard(model, windows, cache_length, options.kept_sinks)
        program = guard.faithful_step()
    with stage("Fusing"):
        npu, sinks = options.npu is not None, options.kept_sinks
        counts = fuse(program, cache_length, ranges, npu=npu, sinks=sinks)
        refuse_complex(program)
    with stage("Comparing the fused step with the checkpoint"), reproducible():
        guard.check_fused(program, ranges)
    facts = {
        "cache_length": cache_length,
        **({} if options.kept_sinks is None else {"sinks": options.kept_sinks}),
        "parameters": sum(p.numel() for p in model.parameters()),
        "fused": asdict(counts),
        "left_in_float": left_in_float(program),
        "guard": guard.facts,
    }
    return FusedStep(model, cache_length, windows, program, guard, metadata, facts)

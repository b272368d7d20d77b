"""A decoder's checkpoint -> a .pte whose methods are divided between an NPU and the processor: linears on the one, attention
over the int8 cache on the other; the cache is the processor's, whichever method writes it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import torch

from mcu_sdk.board.npu_target import NpuTarget
from mcu_sdk.errors import ModelError
from mcu_sdk.lowering.accuracy import Accuracy, measure
from mcu_sdk.lowering.chunks import logits_of_prompts
from mcu_sdk.lowering.ethos_u.methods import lower_methods
from mcu_sdk.lowering.ethos_u.rows import LEAST_ROWS, divide_rows, observe_rows
from mcu_sdk.lowering.guard import MEASURED, checkpoint_logits
from mcu_sdk.lowering.lower import FORWARD, PREFILL
from mcu_sdk.lowering.metadata import prefill_metadata
from mcu_sdk.lowering.pack import pack_weights
from mcu_sdk.lowering.quantize import drop_weights
from mcu_sdk.lowering.quick_passes import quick_passes
from mcu_sdk.lowering.reproducible import reproducible
from mcu_sdk.model.load import Checkpoint
from mcu_sdk.options import CompileOptions
from mcu_sdk.recipes.compiled import CompiledModel
from mcu_sdk.recipes.decoder import compared_prefill, quantize_fused
from mcu_sdk.recipes.fused import FusedStep, fused_step
from mcu_sdk.recipes.stage import stage

if TYPE_CHECKING:
    from torch.export import ExportedProgram

LARGEST_ERROR = 0.25
"""Of the logits against the processor's, root mean square: what is beyond is no matter of rounding."""


@dataclass(frozen=True)
class _Forms:
    """A method, of `rows` tokens at once, as the processor has it and divided; the same where it is all the processor's."""

    rows: int
    own: ExportedProgram
    divided: ExportedProgram


def compile_decoder_divided(
    checkpoint: Checkpoint,
    options: CompileOptions,
    target: NpuTarget,
    *,
    step: Literal["cpu", "linears"] = "cpu",
) -> CompiledModel:
    """A step as a .pte and, with `options.prefill`, a chunk of a prompt beside it, over the same caches. The chunk has its
    linears on `target`, the step with "linears" as well. Raises BoardError, ModelError, TextError and UsageError."""
    target.check()
    assert step == "linears" or options.prefill is not None, "something is the NPU's"
    own = replace(options, npu=None)
    fused = fused_step(checkpoint, own)
    quantized, facts = quantize_fused(fused, own)
    methods = {FORWARD: _Forms(1, quantized, quantized)}
    metadata = dict(fused.metadata)
    if options.prefill is not None:
        chunk, facts["prefill"] = compared_prefill(quantized, metadata, own)
        methods[PREFILL] = _Forms(options.prefill, chunk, chunk)
        metadata |= prefill_metadata(options.prefill)
    on_npu = {PREFILL} if step == "cpu" else set(methods)
    with stage(f"Dividing between {target.accelerator} and the processor"), reproducible():
        methods |= {name: _divided(methods[name], fused.windows, target) for name in on_npu}
        facts |= _accuracy(fused, methods, target, facts)
    drop_weights(fused.model, quantized)
    with stage(f"Lowering for {target.accelerator} and the processor"), quick_passes():
        packed = [pack_weights(forms.divided, options.weight_layout) for forms in methods.values()]
        programs = {name: forms.divided for name, forms in methods.items()}
        compiled = lower_methods(programs, on_npu, target, metadata)
    facts = {**facts, "packed_weights": packed[0], **compiled.facts}
    return CompiledModel(compiled.pte, compiled.names, facts, compiled.delegates)


def _divided(forms: _Forms, windows: torch.Tensor, target: NpuTarget) -> _Forms:
    """Calibrated on windows int64[n, L]."""
    least = min(LEAST_ROWS, forms.rows)
    seen = observe_rows(forms.own, windows, forms.rows, least_rows=least)
    return replace(forms, divided=divide_rows(forms.own, seen, target.activation_bits, least_rows=least))


def _accuracy(
    fused: FusedStep, methods: dict[str, _Forms], target: NpuTarget, facts: dict[str, Any]
) -> dict[str, Any]:
    """Facts of what the logits of prompts, and of tokens behind them, are worth: against those of the processor alone and
    against the checkpoint's, on calibration windows.

    Where the NPU costs accuracy, "accuracy" is that of both together, which `verify` goes by. Raises ModelError for an error
    beyond LARGEST_ERROR.
    """
    windows, step = fused.windows[:MEASURED], methods[FORWARD]
    chunk = methods.get(PREFILL, step)
    alone, positions = logits_of_prompts(step.own, chunk.own, windows, chunk.rows)
    found, _ = logits_of_prompts(step.divided, chunk.divided, windows, chunk.rows)
    against = _within(measure(found, alone, logits=True), target)
    right = checkpoint_logits(fused.model, windows)[:, torch.tensor(positions)]
    count = {"positions": len(windows) * len(positions)}
    told: dict[str, Any] = {"npu_costs": {**against.facts(), **count}}
    both = measure(found, right, logits=True)
    if both.relative_rms_error > facts["accuracy"]["relative_rms_error"]:
        told["accuracy"] = {**facts["accuracy"], **both.facts(), **count}
    return told


def _within(found: Accuracy, target: NpuTarget) -> Accuracy:
    if not found.relative_rms_error <= LARGEST_ERROR:
        raise ModelError(
            f"Tokens read with {target.accelerator} were expected to give the processor's logits within {LARGEST_ERROR:.0%} "
            f"(root mean square); they differ by {found.relative_rms_error:.0%}.",
            hint="--activation-bits 16 keeps more; on the processor the model is as it was.",
        )
    return found

"""A fused decoder -> a .pte whose step is one Ethos-U delegate."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
from torch.export import ExportedProgram
from torch.fx import GraphModule
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from mcu_sdk import console
from mcu_sdk.board.npu_target import NpuTarget
from mcu_sdk.lowering.ethos_u.attention import attend
from mcu_sdk.lowering.ethos_u.cache_scales import fold_cache_scales
from mcu_sdk.lowering.ethos_u.calibrate import (
    batches,
    observe_tables,
    positions_at_once,
    share_observers,
)
from mcu_sdk.lowering.ethos_u.decoder import DecoderStep, export_step, mask_table
from mcu_sdk.lowering.ethos_u.delegate import compile_spec, lower_whole
from mcu_sdk.lowering.ethos_u.elementwise_attention import attend_by_elements
from mcu_sdk.lowering.ethos_u.held_caches import hold_caches
from mcu_sdk.lowering.ethos_u.levels import round_weights, set_scales
from mcu_sdk.lowering.ethos_u.native_scales import settle_scales
from mcu_sdk.lowering.ethos_u.quantizer import StepQuantizer
from mcu_sdk.lowering.ethos_u.step import NpuStep
from mcu_sdk.lowering.gptq import Grouped
from mcu_sdk.lowering.lower import lower
from mcu_sdk.lowering.module_path import traced
from mcu_sdk.npu.accelerator import accelerator
from mcu_sdk.npu.artifact import DelegateArtifact

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BATCH = 16
"""Sequences that an evaluation runs side by side."""

NOTHING: Mapping[str, Grouped] = MappingProxyType({})

DELEGATE = "step"
"""The delegate's name, in the cache's files and the report."""


@dataclass(frozen=True)
class QuantizedStep:
    """A calibrated step: `one` for one token, `many` the same graph for `batch` sequences, and its bounded mask."""

    step: NpuStep
    one: GraphModule
    batch: int
    masked: float
    make_many: Callable[[], GraphModule]

    @cached_property
    def many(self) -> GraphModule:
        """Made on first use: only an evaluation over text needs it."""
        return self.make_many()


@dataclass(frozen=True)
class CompiledModule:
    """A .pte, its instructions' module paths, facts for the report, and each delegate's graph and estimates."""

    pte: bytes
    names: tuple[str, ...]
    facts: dict[str, Any]
    delegates: tuple[DelegateArtifact, ...]


def quantize_decoder(
    program: ExportedProgram,
    model: PreTrainedModel,
    cache_length: int,
    windows: torch.Tensor,
    target: NpuTarget,
    rounded: Mapping[str, Grouped] = NOTHING,
    batch: int = BATCH,
) -> QuantizedStep:
    """Calibrate a fused step on windows int64[n, L] and quantize it. `rounded`: weights of few levels, by weight_digest of
    the program's; `batch` is that of the evaluation's graph."""
    step = NpuStep(program, cache_length, attend_by_elements if _by_elements(target) else attend)
    scales = fold_cache_scales(step, round_weights(step, rounded))
    at_once = positions_at_once(step)
    with torch.no_grad():
        masked = bounded_mask(step, model, windows)
        observed, one = (_prepare(step, target, size) for size in (at_once, 1))
        for inputs in batches(step, model, windows, masked, at_once):
            observed(*inputs)
        observe_tables(step, observed)
        set_scales(observed, scales)
        share_observers(observed, one)
        many = partial(_of_batch, step, target, batch, observed)
        return QuantizedStep(step, _converted(one, target), batch, masked, many)


@torch.no_grad()
def _of_batch(step: NpuStep, target: NpuTarget, batch: int, observed: GraphModule) -> GraphModule:
    """The quantized graph for `batch` sequences, with what `observed` has seen."""
    prepared = _prepare(step, target, batch)
    share_observers(observed, prepared)
    return _converted(prepared, target)


def _converted(prepared: GraphModule, target: NpuTarget) -> GraphModule:
    converted: GraphModule = convert_pt2e(prepared)
    if _by_elements(target):
        settle_scales(converted)
    return converted


def _by_elements(target: NpuTarget) -> bool:
    """Whether the NPU multiplies two activations element by element: its array multiplies weights alone."""
    return not accelerator(target.accelerator).kind.multiplies_activations


def bounded_mask(step: NpuStep, model: PreTrainedModel, windows: torch.Tensor) -> float:
    """What is added to a score that must not count.

    It has to push any score S away from the greatest by enough that e^-x is 0 in 16 bits (x > 11), and no further:
    the scores' scale pays for it. So it is -(2 max |S| + 12) over the calibration data.
    """
    greatest = 0.0

    def observe(scores: torch.Tensor) -> None:
        nonlocal greatest
        greatest = max(greatest, float(scores.abs().max()))

    step.observe_scores = observe
    for inputs in batches(step, model, windows, -1e4, positions_at_once(step)):
        step(*inputs)
    step.observe_scores = None
    return -(2 * greatest + 12)


def _prepare(step: NpuStep, target: NpuTarget, batch: int) -> GraphModule:
    module = traced(step, step.example_inputs(batch))
    quantizer = StepQuantizer(compile_spec(target), target.activation_bits, _by_elements(target))
    prepared: GraphModule = prepare_pt2e(module, quantizer)
    return prepared


def lower_decoder(quantized: QuantizedStep, target: NpuTarget, metadata: Mapping[str, Any]) -> CompiledModule:
    """Compile the calibrated step and put what is left for the processor around it.

    Raises ModelError when the step does not become one delegate.
    """
    step = quantized.step
    with torch.no_grad():
        with console.step("Exporting the quantized step"):
            graph = quantized.one
            if _by_elements(target):
                graph = copy.deepcopy(graph)  # an evaluation runs the other one
                hold_caches(graph)
            program = torch.export.export(graph, step.example_inputs(), strict=False)
        delegate = lower_whole(program, target, DELEGATE)
        outer = DecoderStep(step, delegate, mask_table(step.cache_length, quantized.masked))
        with console.step("Lowering the processor's part and planning memory"):
            lowered = lower(export_step(outer), metadata, cortex_m_passes=False)
    facts: dict[str, Any] = {
        "npu": target.accelerator,
        "activation_bits": target.activation_bits,
        "npu_delegates": 1,
        "cpu_operators": [],
    }
    return CompiledModule(lowered.pte, lowered.names, facts, (delegate.artifact,))

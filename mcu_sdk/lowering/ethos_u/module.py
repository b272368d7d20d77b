"""Any module of tensors in, tensors out -> a .pte with as much of it on the NPU as ExecuTorch's partitioner takes."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
from executorch.backends.arm.quantizer import (
    EthosUQuantizer,
    get_symmetric_a16w8_quantization_config,
    get_symmetric_quantization_config,
)
from torch import nn
from torch.export import ExportedProgram
from torch.fx import GraphModule
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer import Quantizer

from mcu_sdk.board.npu_target import NpuTarget
from mcu_sdk.console import step
from mcu_sdk.errors import ModelError
from mcu_sdk.lowering.constants import fold_constants
from mcu_sdk.lowering.ethos_u import padding
from mcu_sdk.lowering.ethos_u.assemble import assemble, divide
from mcu_sdk.lowering.ethos_u.compile import CompiledModule
from mcu_sdk.lowering.ethos_u.delegate import compile_spec
from mcu_sdk.lowering.ethos_u.divided import attends, left_in_float, quantize_divided
from mcu_sdk.lowering.ethos_u.lookups import Joined, split_integers
from mcu_sdk.lowering.ethos_u.quantizer import ATTENTION, SMALLEST_SCALE, MixedQuantizer, Nodes
from mcu_sdk.lowering.ethos_u.rescaled import rescale_before_tables
from mcu_sdk.lowering.ethos_u.separate import PRODUCTS, separate_tables
from mcu_sdk.lowering.ethos_u.spelled_out import spell_out_masked
from mcu_sdk.lowering.fuse.graph import tidy
from mcu_sdk.lowering.guard import check_module, module_accuracy
from mcu_sdk.lowering.module_path import module_path
from mcu_sdk.lowering.quantize import McuQuantizer, rewrite_embeddings
from mcu_sdk.npu.accelerator import accelerator

Inputs = tuple[torch.Tensor, ...]


def compile_module_npu(
    module: nn.Module, example_inputs: Inputs, calibration: Iterable[Inputs], target: NpuTarget
) -> CompiledModule:
    """Quantize with ExecuTorch's own Ethos-U settings, calibrate, partition, compile.

    `calibration`: inputs like the example's; at least one. The .pte takes and gives float32: quantizing at the border
    is the processor's. `facts["cpu_operators"]` lists what stayed there as {operator, name, reason}. Raises ModelError
    for a module that cannot be exported or compiled, and when nothing of it goes to the NPU.
    """
    with step("Exporting, calibrating and quantizing"):
        program, compared = quantize_module(module.eval(), example_inputs, list(calibration), target)
    return _lowered(program, target, compared)


def compile_divided_npu(
    fused: ExportedProgram, calls: list[Inputs], target: NpuTarget, *, reference: nn.Module, logits: bool
) -> CompiledModule | None:
    """The same for a fused program whose attention stays on the processor (divided.py); None if some cannot in int8.

    `reference` is what the outputs are compared with; `logits`: they are scores of classes.
    """
    with step("Calibrating and quantizing"):
        quantized = quantize_divided(
            fused, lambda prepared: _run_all(prepared, calls), target.activation_bits
        )
        if left_in_float(quantized):
            return None
        graphs = fused.module(check_guards=False), quantized.module(check_guards=False)
        accuracy = module_accuracy(reference, graphs[1], calls, logits=logits, graphs=graphs)
    return _lowered(quantized, target, {"accuracy": accuracy})


def _run_all(module: GraphModule, calls: Iterable[Inputs]) -> None:
    for inputs in calls:
        module(*inputs)


def _lowered(program: ExportedProgram, target: NpuTarget, compared: dict[str, Any]) -> CompiledModule:
    """Partitioned, compiled, in a .pte; `compared` goes into the facts."""
    edge, delegates, left = divide(program, target, "model")
    return assemble(edge, delegates, left, target, **compared)


def quantize_module(
    module: nn.Module, example_inputs: Inputs, calibration: list[Inputs], target: NpuTarget
) -> tuple[ExportedProgram, dict[str, Any]]:
    """The quantized program, and what comparing it and the steps before it with the module gave."""
    if not calibration:
        raise ModelError("At least one set of inputs was expected to calibrate on; there was none.")
    with torch.no_grad():
        try:
            exported = torch.export.export(module, example_inputs, strict=False)
        except Exception as error:  # torch.export raises all kinds
            raise ModelError(
                f"A module that torch.export takes was expected: {type(error).__name__}: "
                f"{(str(error).strip().splitlines() or [''])[0][:300]}"
            ) from error
        mixed = target.activation_bits == 8 and is_mixed(exported, target)
        exported = spell_out_masked(exported)
        graph = exported.module(check_guards=False)
        guard = {"exported": check_module(module, graph, calibration, "exported")}
        if padding.add_rows(exported):
            graph = exported.module(check_guards=False)
        fold_constants(graph)
        separate_tables(graph, 16 if mixed else target.activation_bits)
        guard["fused"] = check_module(module, graph, calibration, "fused")
        padding.bound(graph, calibration)
        before, after, calls = None, graph, calibration
        parts = split_integers(graph)
        if parts is not None:
            before, after = _with_int8_tables(parts[0], calibration[0]), parts[1]
            calls = [before(*inputs) for inputs in calibration]
        fused = GraphModule(after, copy.deepcopy(after.graph))  # preparing changes the graph itself
        prepared = prepare_pt2e(after, _quantizer(module, target, mixed))
        for inputs in calls:
            prepared(*inputs)
        converted = convert_pt2e(prepared)
        whole = converted if before is None else Joined(before, converted)
        program: ExportedProgram = torch.export.export(whole, example_inputs, strict=False)
        if before is not None:
            rewrite_embeddings(program)
            tidy(program)
        if mixed:
            rescale_before_tables(program)
        quantized = program.module(check_guards=False)
        logits = getattr(module, "gives_logits", False) is True
        # The program is traced anew and knows no modules any more; what it was traced from does.
        accuracy = module_accuracy(
            module, quantized, calibration, logits=logits, graphs=(fused, converted), graph_calls=calls
        )
        return program, {"guard": guard, "accuracy": accuracy}


def _with_int8_tables(before: GraphModule, call: Inputs) -> GraphModule:
    """What looks up rows by integers, the rows int8 with a scale each: a vocabulary's table is often half of a model."""
    prepared = prepare_pt2e(before, McuQuantizer("static"))
    prepared(*call)
    converted: GraphModule = convert_pt2e(prepared)
    return converted


def is_mixed(program: ExportedProgram, target: NpuTarget) -> bool:
    """Whether products alone read int8: of what has attention, where the NPU is no slower for 16 bits around them."""
    return accelerator(target.accelerator).kind.multiplies_activations and attends(program)


def _quantizer(module: nn.Module, target: NpuTarget, mixed: bool) -> Quantizer:
    """`mixed`: int8 where products read, 16 bits elsewhere. Else ExecuTorch's own widths, 16 bits where scores are masked.
    Float for `module.float_parts`, names of its modules."""
    parts = tuple(getattr(module, "float_parts", ()))
    left = Nodes(lambda node: module_path(node) in parts, ", ".join(parts))
    if mixed:
        found = MixedQuantizer(compile_spec(target), (*PRODUCTS, *ATTENTION))
        if parts:
            found.leave(left)
        return found
    quantizer = EthosUQuantizer(compile_spec(target))
    if target.activation_bits == 16:
        quantizer.set_global(get_symmetric_a16w8_quantization_config(epsilon=SMALLEST_SCALE))
    else:
        config = get_symmetric_quantization_config()
        quantizer.set_global(config)
        padding.widen(quantizer, config)
    if parts:
        quantizer.set_node_finder(None, left)
    return quantizer

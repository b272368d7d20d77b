"""What is added to a value whose channels are stored in int8 at scales of their own: mcu_fused::channel_sum ->
mcu::add_channels_s8."""

from __future__ import annotations

import torch
import torch.ao.quantization.fx._decomposed  # registers torch.ops.quantized_decomposed
from torch.export import ExportedProgram
from torch.fx import GraphModule
from torchao.quantization.pt2e.quantizer import QuantizationAnnotation, QuantizationSpec

import mcu_sdk.operators.reference  # noqa: F401  registers torch.ops.mcu
from mcu_sdk.lowering.fuse.graph import add_buffer, args, constant_value, is_call, is_constant, replace

mcu = torch.ops.mcu
_DEQUANTIZE = torch.ops.quantized_decomposed.dequantize_per_tensor.default


@torch.library.custom_op("mcu_fused::channel_sum", mutates_args=())
def channel_sum(
    added: torch.Tensor, x: torch.Tensor, scale: torch.Tensor, offset: torch.Tensor
) -> torch.Tensor:
    """added + (x scale + offset) in float: added, x [..., n], the others [n]. Quantization takes its place, or spells it out."""
    return spelt_out(added, x, scale, offset)


@channel_sum.register_fake
def _like(added: torch.Tensor, *rest: object) -> torch.Tensor:
    return added.new_empty(added.shape)


def spelt_out(
    added: torch.Tensor, x: torch.Tensor, scale: torch.Tensor, offset: torch.Tensor
) -> torch.Tensor:
    """The same in operators that have kernels of their own."""
    return added + (x * scale + offset)


CHANNEL_SUM = torch.ops.mcu_fused.channel_sum.default


def annotate_sums(model: GraphModule, static: QuantizationSpec) -> None:
    """The value with scales of its own becomes int8."""
    for node in model.graph.nodes:
        if is_call(node, CHANNEL_SUM):
            node.meta["quantization_annotation"] = QuantizationAnnotation(
                input_qspec_map={args(node)[1]: static}, _annotated=True
            )


def rewrite_sums(program: ExportedProgram) -> None:
    """Those of int8 values read these; scale and zero point become part of the channels' own."""
    for node in list(program.graph.nodes):
        if not is_call(node, CHANNEL_SUM):
            continue
        added, x, *vectors = args(node)
        if not is_call(x, _DEQUANTIZE) or args(x)[5] != torch.int8:
            continue
        if not all(is_constant(program, vector) for vector in vectors):
            continue
        scale, offset = (constant_value(program, vector).double() for vector in vectors)
        unit = scale * float(args(x)[1])
        buffers = [
            add_buffer(program, f"{node.name}_scale", unit.float()),
            add_buffer(program, f"{node.name}_offset", (offset - int(args(x)[2]) * unit).float()),
        ]
        replace(program.graph, node, mcu.add_channels_s8.default, (added, args(x)[0], *buffers))

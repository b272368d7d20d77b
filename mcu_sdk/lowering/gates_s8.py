"""Gates by a softmax, fuse/softmax_gates.py, between int8 values -> one int8 operator, mcu::softmax_gate_s8.

As sequence_s8.py in two halves. Probabilities are never int8: with 256 steps those of a row of some hundred elements would
be 0 or 1 of them. Scores, values and products are, and their linears give and take them as they are.
"""

from __future__ import annotations

import torch
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e.quantizer import QuantizationAnnotation, QuantizationSpec

import mcu_sdk.operators.reference  # noqa: F401  registers torch.ops.mcu
from mcu_sdk.lowering.fuse.experts import routers_of
from mcu_sdk.lowering.fuse.graph import args, aten, is_call, readers_of, replace
from mcu_sdk.lowering.fuse.softmax_gates import Gate, softmax_gate
from mcu_sdk.lowering.fuse.turns import moves_before

mcu = torch.ops.mcu
decomposed = torch.ops.quantized_decomposed

_QUANTIZE = decomposed.quantize_per_tensor.default
_DEQUANTIZE = decomposed.dequantize_per_tensor.default
_LARGEST_SCALE = 1e30
"""That the kernel takes (planning/emitters/mcu_sequence.py)."""


def annotate_gates(model: GraphModule, static: QuantizationSpec) -> None:
    """Annotate, besides what has been annotated, the gates of which there is an int8 form."""
    routers = routers_of(model.graph)
    for product in model.graph.nodes:
        gate = softmax_gate(product)
        if gate is None or not _is_between_linears(product, gate, routers):
            continue
        gate.softmax.meta["quantization_annotation"] = QuantizationAnnotation(
            input_qspec_map={gate.scores: static}, _annotated=True
        )
        product.meta["quantization_annotation"] = QuantizationAnnotation(
            input_qspec_map={gate.x: static}, output_qspec=static, _annotated=True
        )


def is_gate_between_linears(product: Node) -> bool:
    """Whether it is a gate that `annotate_gates` makes int8."""
    gate = softmax_gate(product)
    return gate is not None and _is_between_linears(product, gate, routers_of(product.graph))


def _is_between_linears(product: Node, gate: Gate, routers: set[Node]) -> bool:
    """Whether a linear, which chooses no experts, gives the scores, one gives or reads what is multiplied, and linears,
    convolutions, sums and norms alone read the product."""
    linear, source = moves_before(gate.scores)[0], moves_before(gate.x)[0]
    if not is_call(linear, aten.linear.default) or linear in routers:
        return False
    is_int8 = is_call(source, aten.linear.default) or moves_before(args(linear)[0])[0] is source
    if source is linear:  # the result is written over x, which must not be the scores
        return False
    readers = (aten.linear.default, aten.conv2d.default, aten.add.Tensor, mcu.layer_norm.default)
    return is_int8 and all(is_call(reader, *readers) for reader in readers_of(product))


def rewrite_gates(program: ExportedProgram) -> None:
    """quantize(dequantize(x) * softmax(dequantize(scores))) -> mcu::softmax_gate_s8; what is otherwise stays float."""
    for quantize in list(program.graph.nodes):
        gate = softmax_gate(args(quantize)[0]) if is_call(quantize, _QUANTIZE) else None
        if gate is None or len(args(quantize)[0].users) != 1:
            continue
        if args(quantize)[3:6] != (-128, 127, torch.int8):
            continue
        values = gate.x, gate.scores
        if not all(is_call(value, _DEQUANTIZE) and args(value)[5] == torch.int8 for value in values):
            continue
        x, x_scale, x_zero_point = args(gate.x)[:3]
        scores, score_scale = args(gate.scores)[:2]
        _, scale, zero_point = args(quantize)[:3]
        factors = float(score_scale), float(x_scale) / float(scale)
        if not all(0 < factor < _LARGEST_SCALE for factor in factors):
            continue
        arguments = x, scores, *factors, int(x_zero_point), int(zero_point)
        replace(program.graph, quantize, mcu.softmax_gate_s8.default, arguments)
        program.graph.erase_node(quantize)
    program.graph.eliminate_dead_code()

"""A sequence's work divided between an NPU and the processor: what is quantized how, so that each finds its part.

An Ethos-U55 or -U65 multiplies two activations at about one MAC a cycle, and spends most of a norm or of a sum of two
values on bringing 16-bit operands to one scale: one sum of 128 rows of 128 takes seven times the cycles of the product
before it. So of a fused encoder the linears go to the NPU, with the functions between them; attention, norms and the
residual stream stay operators of the processor. A linear of one row, too: its weights are waited for on either side.

What a product of weights reads of the residual stream or of a norm, and gives to it, is int16: of a ViT that is where
most of an int8 error comes from. The stream itself is float, or where a norm ends each block (BERT) what that gives. What
attention gives is read as int8; what a function reads and gives is int8 where products alone read it, and int16 with 16-bit
activations, of one row, and where a norm or a sum reads it, too: a table's two sides have one width. Queries, keys and
values are int8, as the processor's attention reads them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from executorch.backends.arm.quantizer import get_symmetric_quantization_config
from executorch.backends.arm.quantizer.quantization_config import TOSAQuantizationConfig
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer import QuantizationAnnotation, QuantizationSpec, Quantizer

import mcu_sdk.operators.reference  # noqa: F401  registers torch.ops.mcu
from mcu_sdk.board.npu_target import ActivationBits
from mcu_sdk.lowering.attention_s8 import ATTENTION, RELATIVE
from mcu_sdk.lowering.ethos_u.norms import rewrite_in_int16
from mcu_sdk.lowering.ethos_u.quantizer import INT8, INT16, WEIGHT, mark_quantized
from mcu_sdk.lowering.ethos_u.rescaled import rescale_before_tables
from mcu_sdk.lowering.fuse.graph import (
    MOVES,
    args,
    aten,
    behind,
    is_call,
    readers_of,
    replace,
    shape_of,
    tidy,
)
from mcu_sdk.lowering.fuse.new_node import call_before
from mcu_sdk.lowering.fuse.turns import join_turns
from mcu_sdk.lowering.quantize import rewrite_embeddings
from mcu_sdk.lowering.sequence_s8 import (
    SYMMETRIC,
    add_embeddings,
    is_attention,
    leads_to_a_linear,
    rewrite_after_linears,
    rewrite_before_linears,
)

mcu = torch.ops.mcu
decomposed = torch.ops.quantized_decomposed
_QUANTIZE, _DEQUANTIZE = decomposed.quantize_per_tensor.default, decomposed.dequantize_per_tensor.default

FUNCTIONS = (
    aten.gelu.default,
    aten.silu.default,
    aten.tanh.default,
    aten.sigmoid.default,
    aten.relu.default,
)
"""Functions of one value that the NPU computes behind a product of weights."""

_OUR_FUNCTIONS = (mcu.gelu.default, mcu.silu.default)
"""Those that fusion has made operators of ours, and that the NPU's compiler knows by their old name."""

ONE = "npu_one"
"""The constant that `_separate` multiplies by."""

_CONVOLUTIONS = (aten.conv1d.default, aten.conv2d.default, aten.convolution.default)


def attends(program: ExportedProgram) -> bool:
    """Whether an exported program has something like attention: a softmax, or what has one inside."""
    kinds = (ATTENTION, aten.softmax.int, aten._softmax.default)
    return any(is_call(node, *kinds) for node in program.graph.nodes)


def is_dividable(program: ExportedProgram) -> bool:
    """Whether a fused program has attention, all of it of the kinds that become int8, and no convolution, which has to
    be on the NPU with all around it."""
    calls = [node for node in program.graph.nodes if node.op == "call_function"]
    found = [node for node in calls if is_call(node, ATTENTION, RELATIVE)]
    module = program.module(check_guards=False)
    return (
        bool(found)
        and not any(is_call(node, *_CONVOLUTIONS) for node in calls)
        and all(_becomes_int8(node) for node in module.graph.nodes if is_call(node, ATTENTION, RELATIVE))
    )


def _becomes_int8(attention: Node) -> bool:
    return is_attention(attention) and leads_to_a_linear(attention)


class DividedQuantizer(Quantizer):  # type: ignore[misc]  # torchao carries no types
    """The annotations of both parts. `activation_bits` is the width of what functions of several rows read and give on the NPU."""

    def __init__(self, activation_bits: ActivationBits) -> None:
        super().__init__()
        self._read = INT8 if activation_bits == 8 else INT16
        self._bias = get_symmetric_quantization_config().bias

    def annotate(self, model: GraphModule) -> GraphModule:
        for node in model.graph.nodes:
            specs, written = self._specs(node)
            if specs or written is not None:
                node.meta["quantization_annotation"] = QuantizationAnnotation(
                    input_qspec_map=specs, output_qspec=written, _annotated=True
                )
        return model

    def validate(self, model: GraphModule) -> None:
        """Nothing can go wrong that the partitioner would not see."""

    def _specs(self, node: Node) -> tuple[dict[Any, Any], QuantizationSpec | None]:
        """What a node's inputs are read as, and what its result is written as where its readers do not say."""
        if is_on_npu(node):
            return self._product(node)
        if is_call(node, aten.embedding.default) and _is_attribute(args(node)[0]):
            return {args(node)[0]: WEIGHT}, None
        if is_call(node, ATTENTION, RELATIVE):
            return dict.fromkeys(args(node)[:3], SYMMETRIC), None
        if is_call(node, mcu.rope_rows.default):
            return {args(node)[0]: SYMMETRIC}, None
        if _is_function(node):
            return {args(node)[0]: self._width(node)}, None if _read_by_products(node) else INT16
        if _is_separation(node):
            return dict.fromkeys(args(node)[:2], INT16), None if _read_by_products(node) else INT16
        return {}, None

    def _product(self, node: Node) -> tuple[dict[Any, Any], QuantizationSpec | None]:
        x, weight, *rest = args(node)
        read = self._reading(_source(x))
        specs: dict[Any, Any] = {x: read, weight: WEIGHT}
        if rest and rest[0] is not None:
            specs[rest[0]] = TOSAQuantizationConfig(read, INT16, WEIGHT, self._bias).get_bias_qspec(node)
        return specs, None if all(_says_how(user) for user in readers_of(node)) else INT16

    def _reading(self, source: Node) -> QuantizationSpec:
        """What a product of weights reads a value as that comes from `source`."""
        if is_attention(source):
            return INT8
        return self._width(source) if _is_function(source) or _is_separation(source) else INT16

    def _width(self, function: Node) -> QuantizationSpec:
        """What a function reads, and what is read of it: of one row int16 costs next to nothing."""
        return self._read if _has_rows(function) and _read_by_products(function) else INT16


def _has_rows(node: Node) -> bool:
    return math.prod(shape_of(node)[:-1]) > 1


def is_on_npu(node: object) -> bool:
    """Whether a node is a linear with constant weights."""
    return is_call(node, aten.linear.default) and _is_constant(args(node)[1])


def _is_constant(weight: Node) -> bool:
    """Whether a weight is a constant, quantized or not."""
    return _is_attribute(weight) or is_call(weight, decomposed.dequantize_per_channel.default)


def _is_attribute(node: object) -> bool:
    return isinstance(node, Node) and node.op == "get_attr"


def _says_how(reader: Node) -> bool:
    """Whether a value's reader says what the value is quantized to, as one scale for all such readers."""
    return is_call(reader, ATTENTION, RELATIVE, mcu.rope_rows.default) or _is_function(reader)


def _is_function(node: Node) -> bool:
    """Whether the NPU computes a function of what it has multiplied."""
    return is_call(node, *FUNCTIONS) and is_on_npu(_source(args(node)[0]))


def _source(node: Node) -> Node:
    """Where a value comes from, moves and changes of its type looked through."""
    return behind(node, *MOVES, _QUANTIZE, _DEQUANTIZE)


def _read_by_products(node: Node) -> bool:
    readers = list(readers_of(node))
    return bool(readers) and all(is_on_npu(reader) for reader in readers)


def quantize_divided(
    program: ExportedProgram, calibrate: Callable[[GraphModule], None], activation_bits: ActivationBits
) -> ExportedProgram:
    """The quantized program: products of weights and functions between `dequantize` and `quantize`, for the partitioner,
    the rest in operators of the processor. `calibrate` runs the prepared module on data."""
    module = program.module(check_guards=False)
    assert isinstance(module, GraphModule)
    _name_functions(module)
    _separate(module, activation_bits)
    prepared = prepare_pt2e(module, DividedQuantizer(activation_bits))
    with torch.no_grad():
        calibrate(prepared)
        converted = convert_pt2e(prepared)
        arguments, keywords = program.example_inputs or ((), {})
        quantized: ExportedProgram = torch.export.export(converted, arguments, kwargs=keywords, strict=False)
        quantized = quantized.run_decompositions({})
    for node in list(quantized.graph.nodes):
        if is_call(node, aten._assert_tensor_metadata.default):
            quantized.graph.erase_node(node)
    rewrite_before_linears(quantized)
    rewrite_embeddings(quantized)
    rewrite_after_linears(quantized, but=_is_function)
    rewrite_in_int16(quantized)
    add_embeddings(quantized)
    join_turns(quantized)
    _narrow_apart(quantized)
    rescale_before_tables(quantized)
    tidy(quantized)
    _mark(quantized)
    return quantized


def _narrow_apart(program: ExportedProgram) -> None:
    """Make int16 of a product of int16 first where a function reads it as int8.

    ExecuTorch 1.5.1 takes what such a product gives for int16, whatever it is quantized to, when it makes the function's
    table. The int16 has the range of the int8.
    """
    for node in list(program.graph.nodes):
        if not _is_function(node) or not is_call(args(node)[0], _DEQUANTIZE):
            continue
        narrow = args(args(node)[0])[0]
        product = args(narrow)[0] if is_call(narrow, _QUANTIZE) and args(narrow)[5] == torch.int8 else None
        if product is None or not is_on_npu(product) or args(args(product)[0])[5] != torch.int16:
            continue
        scale, zero_point, low, high = args(narrow)[1:5]
        wide = scale * max(high - zero_point, zero_point - low) / INT16.quant_max, 0
        limits = INT16.quant_min, INT16.quant_max, torch.int16
        first = call_before(program.graph, narrow, _QUANTIZE, product, *wide, *limits)
        again = call_before(program.graph, narrow, _DEQUANTIZE, first, *wide, *limits)
        first.meta, again.meta = ({**node.meta, "val": new.meta["val"]} for new in (first, again))
        narrow.replace_input_with(product, again)


def _mark(program: ExportedProgram) -> None:
    """Tell ExecuTorch's partitioner what is quantized for the NPU, as its own quantizer does."""
    marked: set[Node] = set()
    for node in program.graph.nodes:
        moved = is_call(node, *MOVES) and (args(node)[0] in marked or is_call(args(node)[0], _DEQUANTIZE))
        moved = moved and all(is_call(reader, _QUANTIZE) or _is_npus(reader) for reader in readers_of(node))
        if moved or _is_npus(node):
            marked.add(node)
            mark_quantized(node)


def _is_npus(node: Node) -> bool:
    return is_on_npu(node) or _is_function(node) or _is_separation(node)


def left_in_float(program: ExportedProgram) -> list[str]:
    """Names of attentions of a quantized program that did not become int8."""
    return [node.name for node in program.graph.nodes if is_call(node, ATTENTION, RELATIVE)]


def _name_functions(module: GraphModule) -> None:
    """Call our functions by PyTorch's names where the NPU computes them."""
    for node in list(module.graph.nodes):
        if not is_call(node, *_OUR_FUNCTIONS) or not is_on_npu(_source(args(node)[0])):
            continue
        if node.target == mcu.silu.default:
            replace(module.graph, node, aten.silu.default, args(node)[:1])
        else:
            new = replace(module.graph, node, aten.gelu.default, args(node)[:1])
            new.kwargs = {"approximate": "tanh" if args(node)[1] else "none"}
        module.graph.erase_node(node)
    module.recompile()


def _separate(module: GraphModule, activation_bits: ActivationBits) -> None:
    """Multiply by one between functions of 16 bits and the products that read them: Vela's mistake (separate.py)."""
    found = [
        node
        for node in module.graph.nodes
        if _is_function(node)
        and any(is_on_npu(user) for user in readers_of(node))
        and (activation_bits == 16 or (_has_rows(node) and not _read_by_products(node)))
    ]
    if not found:
        return
    module.register_buffer(ONE, torch.ones(1))
    for node in found:
        users = list(node.users)
        with module.graph.inserting_after(node):
            one = module.graph.get_attr(ONE)
        with module.graph.inserting_after(one):
            product = module.graph.call_function(aten.mul.Tensor, (node, one))
        one.meta = {"val": node.meta["val"].new_ones(1)}
        product.meta = dict(node.meta)
        for user in users:
            user.replace_input_with(node, product)
    module.recompile()


def _is_separation(node: Node) -> bool:
    """Whether a product is one that `_separate` has put in, before quantization or behind it."""
    if not is_call(node, aten.mul.Tensor):
        return False
    factor = _source(args(node)[1]) if isinstance(args(node)[1], Node) else None
    return _is_function(_source(args(node)[0])) and factor is not None and shape_of(factor) == (1,)

"""PT2E quantization of a fused step, and the rewrite of its linears and embeddings to int8 `mcu::` operators.

PT2E leaves every quantized linear as `linear(dequantize(quantize(x)), dequantize(weight))` in float. Here that
becomes one integer operator with per-channel weights. ExecuTorch's Cortex-M passes cannot follow there: they
take per-tensor weights with int8 outputs alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace as replace_settings
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.ao.quantization.fx._decomposed  # registers torch.ops.quantized_decomposed
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e import (
    MinMaxObserver,
    PerChannelMinMaxObserver,
    PlaceholderObserver,
)
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer import QuantizationAnnotation, QuantizationSpec, Quantizer

import mcu_sdk.operators.reference  # noqa: F401  registers torch.ops.mcu
from mcu_sdk.errors import ModelError
from mcu_sdk.lowering import channel_sum
from mcu_sdk.lowering.channel_sum import CHANNEL_SUM, annotate_sums, rewrite_sums
from mcu_sdk.lowering.channels import channel_ranges
from mcu_sdk.lowering.equal_places import find_groups
from mcu_sdk.lowering.equalize import equalize
from mcu_sdk.lowering.experts_s8 import rewrite_experts
from mcu_sdk.lowering.fuse import recurrent, relative
from mcu_sdk.lowering.fuse.experts import EXPERT_LINEAR, routers_of
from mcu_sdk.lowering.fuse.graph import (
    add_buffer,
    args,
    aten,
    constant_name,
    constant_value,
    dtype_of,
    is_call,
    is_constant,
    operator_row,
    replace,
    same_bytes_source,
    shape_of,
    tidy,
)
from mcu_sdk.lowering.fuse.turns import drop_copies, join_turns
from mcu_sdk.lowering.fuse.waves import is_heard
from mcu_sdk.lowering.gates_s8 import annotate_gates, rewrite_gates
from mcu_sdk.lowering.images_s8 import annotate_images, rewrite_images
from mcu_sdk.lowering.recurrent_s8 import annotate_recurrent, rewrite_recurrent, set_ranges
from mcu_sdk.lowering.requantize import rewrite_requantized
from mcu_sdk.lowering.sequence_s8 import (
    add_embeddings,
    annotate_sequence,
    rewrite_after_linears,
    rewrite_before_linears,
    sums_before_norms,
)
from mcu_sdk.lowering.stream_s16 import (
    Stream,
    add_by_tables,
    annotate_streams,
    find_streams,
    narrow_streams,
    quantize_parts,
    rewrite_added,
    with_scales,
)
from mcu_sdk.lowering.uneven import uneven_values
from mcu_sdk.operators.table import Work

if TYPE_CHECKING:
    from torch._ops import OpOverload

mcu = torch.ops.mcu
decomposed = torch.ops.quantized_decomposed
Activations = Literal["dynamic", "static"]


class WeightObserver(PerChannelMinMaxObserver):  # type: ignore[misc]  # torchao carries no types
    """Looks at a weight once: it is the same in every step of the calibration."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pass `x` on, and note its ranges if none are known."""
        if self.min_val.numel():
            return x
        result: torch.Tensor = super().forward(x)
        return result


WEIGHT = QuantizationSpec(
    dtype=torch.int8,
    quant_min=-127,
    quant_max=127,
    qscheme=torch.per_channel_symmetric,
    ch_axis=0,
    observer_or_fake_quant_ctr=WeightObserver,
)
STATIC = QuantizationSpec(
    dtype=torch.int8,
    quant_min=-128,
    quant_max=127,
    qscheme=torch.per_tensor_affine,
    observer_or_fake_quant_ctr=MinMaxObserver,
)
STATIC_SYMMETRIC = replace_settings(STATIC, quant_min=-127, qscheme=torch.per_tensor_symmetric)
"""Of what experts read: one scale for all of them, and no zero point that each would have to take off."""
DYNAMIC = QuantizationSpec(
    dtype=torch.int8,
    quant_min=-127,
    quant_max=127,
    qscheme=torch.per_tensor_symmetric,
    is_dynamic=True,
    observer_or_fake_quant_ctr=PlaceholderObserver,
)


class McuQuantizer(Quantizer):  # type: ignore[misc]  # torchao carries no types
    """Linears: int8 weights per output channel and int8 inputs. Embeddings: int8 rows. The rest stays float, and what a
    router chooses experts by, which is little and decides everything.

    With `int8_outputs` what the model returns is int8, too, at a calibrated scale; with `sequence` what lies between the
    linears of a sequence (sequence_s8.py), but for sums of the values in `uneven` (uneven.py). `streams` are int16.
    """

    def __init__(
        self,
        activations: Activations,
        int8_outputs: bool = False,
        sequence: bool = False,
        uneven: Collection[str] = frozenset(),
        streams: Sequence[Stream] = (),
    ) -> None:
        super().__init__()
        self.activations = activations
        self.int8_outputs = int8_outputs
        self.sequence = sequence
        self.uneven = uneven
        self.streams = streams

    def transform_for_annotation(self, model: GraphModule) -> GraphModule:
        """Give each of several linears that read one value a view of its own: PT2E's conversion expects a single
        user of every scale found at run time. The rewrite below looks through the views again."""
        if self.activations != "dynamic":
            return model
        for node in list(model.graph.nodes):
            if is_call(node, aten.linear.default) and len(args(node)[0].users) > 1:
                x = args(node)[0]
                assert isinstance(x, Node)
                with model.graph.inserting_before(node):
                    view = model.graph.call_function(aten.view.default, (x, list(shape_of(x))))
                view.meta = dict(x.meta)
                node.replace_input_with(x, view)
        model.recompile()
        return model

    def annotate(self, model: GraphModule) -> GraphModule:
        returned = _returned(model) if self.int8_outputs else set()
        routers = routers_of(model.graph)
        for node in model.graph.nodes:
            specs: dict[Any, QuantizationSpec] = {}
            if node in routers:
                continue
            if is_call(node, aten.linear.default) and _is_attribute(args(node)[1]):
                x = STATIC if self.activations == "static" and not is_heard(node) else DYNAMIC
                specs = {args(node)[0]: x, args(node)[1]: WEIGHT}
            elif is_call(node, EXPERT_LINEAR) and self.activations == "static":
                specs = {args(node)[0]: STATIC_SYMMETRIC}
            elif is_call(node, aten.embedding.default) and _is_attribute(args(node)[0]):
                specs = {args(node)[0]: WEIGHT}
            if specs or node in returned:
                node.meta["quantization_annotation"] = QuantizationAnnotation(
                    input_qspec_map=specs, output_qspec=STATIC if node in returned else None, _annotated=True
                )
        if self.sequence:
            annotate_recurrent(model, STATIC)
            annotate_sequence(model, STATIC, self.uneven)
            annotate_sums(model, STATIC)
            annotate_images(model, STATIC, WEIGHT)
            annotate_gates(model, STATIC)
            annotate_streams(model, self.streams, STATIC)
        return model

    def validate(self, model: GraphModule) -> None:
        """Nothing can go wrong that the rewrite below would not see."""


def _returned(model: GraphModule) -> set[Node]:
    """The float32 values that the model computes and returns."""
    (returned,) = args(model.graph.output_node())
    nodes = returned if isinstance(returned, (list, tuple)) else (returned,)
    return {node for node in nodes if isinstance(node, Node) and dtype_of(node) == torch.float32}


def _is_attribute(node: object) -> bool:
    return isinstance(node, Node) and node.op == "get_attr"


def quantize(
    program: ExportedProgram,
    activations: Activations,
    calibrate: Callable[[GraphModule], None],
    *,
    requantize: bool = False,
    int8_outputs: bool = False,
) -> ExportedProgram:
    """An int8 program with the same inputs and outputs.

    `calibrate` runs the prepared module on data: one step is enough for the weights, static activations want more.
    Buffers that change from step to step are zero again afterwards. With `requantize`, a linear whose result is
    quantized again (behind a clamp, at most) gives int8, and so do attention, norms and functions between int8 values;
    `int8_outputs` quantizes what the model returns, still
    followed by a dequantization.
    """
    module = program.module(check_guards=False)
    assert isinstance(module, GraphModule)
    mutable = set(program.graph_signature.buffers_to_mutate.values())
    nothing: tuple[frozenset[str], list[Stream]] = (frozenset(), [])
    uneven, streams = _scale_channels(module, calibrate) if requantize and not mutable else nothing
    prepared = prepare_pt2e(module, McuQuantizer(activations, int8_outputs, requantize, uneven, streams))
    with torch.no_grad():
        calibrate(prepared)
        converted = convert_pt2e(prepared)
        for name, buffer in converted.named_buffers():
            if name in mutable:
                buffer.zero_()
        arguments, keywords = program.example_inputs or ((), {})
        quantized: ExportedProgram = torch.export.export(converted, arguments, kwargs=keywords, strict=False)
        quantized = quantized.run_decompositions({})
    for node in list(quantized.graph.nodes):
        if is_call(node, aten._assert_tensor_metadata.default):
            quantized.graph.erase_node(node)
    if requantize:
        rewrite_recurrent(quantized)
        rewrite_before_linears(quantized)
        rewrite_sums(quantized)
        quantize_parts(quantized)
        add_by_tables(quantized)
        narrow_streams(quantized)
        rewrite_images(quantized)
    rewrite_linears(quantized, requantize)
    rewrite_experts(quantized)
    rewrite_embeddings(quantized)
    if requantize:
        rewrite_after_linears(quantized)
        rewrite_gates(quantized)
        add_embeddings(quantized)
        join_turns(quantized)
        drop_copies(quantized)
    tidy(quantized)
    return _without_fused(quantized)


def _scale_channels(
    module: GraphModule, calibrate: Callable[[Any], None]
) -> tuple[frozenset[str], list[Stream]]:
    """What is to be known of a sequence's values before observers are put in: (the uneven ones that are summed in float, int16
    streams). Channels get scales of their own where that helps."""
    set_ranges(module, calibrate)
    found, sums = find_streams(module), sums_before_norms(module)
    summed = {value for node in sums for value in args(node)[:2]}
    groups = find_groups(module, but={node for values in found for node in values})
    norms = {norm for group in groups for norm in group.norms}
    ranges = channel_ranges(module, norms.union(summed, *found), calibrate)
    magnitudes = {name: channels.magnitude for name, channels in ranges.items()}
    uneven = uneven_values(summed, magnitudes)
    even = [node for node in sums if not any(value.name in uneven for value in args(node)[:2])]
    equalize(module, groups, ranges, even)
    return uneven, with_scales(found, magnitudes)


def _without_fused(program: ExportedProgram) -> ExportedProgram:
    """What fusion made for quantization alone is spelt out again where nothing has taken its place."""
    fused = {
        torch.ops.mcu_fused.relative_attention.default: relative.spelt_out,
        torch.ops.mcu_fused.recurrent.default: recurrent.spelt_out,
        CHANNEL_SUM: channel_sum.spelt_out,
    }
    if not any(is_call(node, *fused) for node in program.graph.nodes):
        return program
    spelt: ExportedProgram = program.run_decompositions(fused)
    return spelt


def drop_weights(model: torch.nn.Module, quantized: ExportedProgram) -> None:
    """Free the float weights of `model` that its quantized program does not read. The model is of no use afterwards.

    PyTorch's tracing keeps references to the model in places of its own; a large checkpoint would stay in memory while
    it is lowered. Weights that were read from a file lie in one mapping of it, which the last of them holds: what the
    program goes on reading (norms, biases) gets memory of its own.
    """
    stored = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    values = (*quantized.state_dict.values(), *_tensors(quantized))
    for value in values:
        if value.untyped_storage().data_ptr() in stored:
            value.data = value.detach().clone()
    read = {value.untyped_storage().data_ptr() for value in values}
    for parameter in model.parameters():
        if parameter.untyped_storage().data_ptr() not in read:
            parameter.data = parameter.new_empty(0)


def _tensors(program: ExportedProgram) -> list[torch.Tensor]:
    return [value for value in program.constants.values() if isinstance(value, torch.Tensor)]


def rewrite_linears(
    program: ExportedProgram, requantize: bool, but: Callable[[Node], bool] = lambda node: False
) -> None:
    """Quantized linears become integer operators, `but` these."""
    graph = program.graph
    rows: dict[Node, tuple[Node, Node]] = {}
    for node in list(graph.nodes):
        if not is_call(node, aten.linear.default) or but(node):
            continue
        weight = _per_channel_weight(program, args(node)[1])
        x = args(node)[0]
        if weight is None:
            continue
        bias = args(node)[2] if len(args(node)) > 2 else None
        values, scales = weight
        if is_call(x, decomposed.dequantize_per_tensor.tensor):
            source = _dynamic_source(x)
            if source is None:
                continue
            if source not in rows:
                rows[source] = _quantize_rows(program, source)
            replace(graph, node, mcu.linear_s8.default, (*rows[source], values, scales, bias))
        elif is_call(x, decomposed.dequantize_per_tensor.default):
            if requantize and (
                rewrite_requantized(program, node, values, scales, bias)
                or rewrite_added(program, node, values, scales, bias)
            ):
                continue
            _rewrite_static_linear(program, node, x, values, scales, bias)


def _rewrite_static_linear(
    program: ExportedProgram, node: Node, x: Node, values: Node, scales: Node, bias: Any
) -> None:
    """The input's zero point becomes an integer offset per channel, its scale part of the channel's."""
    quantized, scale, zero_point = args(x)[:3]
    weight = constant_value(program, values)
    offset = -int(zero_point) * weight.to(torch.int32).sum(1, dtype=torch.int32)
    combined = constant_value(program, scales) * torch.tensor(float(scale), dtype=torch.float32)
    arguments = (
        quantized,
        values,
        add_buffer(program, f"{values.name}_offset", offset.to(torch.int32)),
        add_buffer(program, f"{values.name}_combined_scale", combined),
        bias,
    )
    replace(program.graph, node, mcu.linear_s8_static.default, arguments)


def rewrite_embeddings(program: ExportedProgram) -> None:
    """Look-ups in quantized tables become integer operators."""
    for node in list(program.graph.nodes):
        if not is_call(node, aten.embedding.default):
            continue
        weight = _per_channel_weight(program, args(node)[0])
        if weight is not None:
            replace(program.graph, node, mcu.embedding_s8.default, (*weight, args(node)[1]))


def _per_channel_weight(program: ExportedProgram, node: object) -> tuple[Node, Node] | None:
    """(int8 values, float32 scales) of a constant that is quantized symmetrically along axis 0.

    PT2E keeps scales as float32 or float64; the kernels multiply in float32.
    """
    if not is_call(node, decomposed.dequantize_per_channel.default) or args(node)[3] != 0:
        return None
    values, scales, zero_points = args(node)[:3]
    assert isinstance(values, Node) and isinstance(scales, Node)
    if not (is_constant(program, values) and is_constant(program, scales)):
        return None
    if isinstance(zero_points, Node) and constant_value(program, zero_points).any():
        return None
    scale = constant_value(program, scales)
    if scale.dtype != torch.float32:
        name = constant_name(program, scales)
        scales = add_buffer(program, f"{name}_f32", scale.float())
    return values, scales


def _dynamic_source(dequantize: Node) -> Node | None:
    """x of dequantize(quantize(x, choose_qparams(x))): a tensor whose scale is found at run time."""
    quantize_call = args(dequantize)[0]
    if not is_call(quantize_call, decomposed.quantize_per_tensor.tensor):
        return None
    source = args(quantize_call)[0]
    assert isinstance(source, Node)
    origin = same_bytes_source(source)
    return origin if shape_of(origin) == shape_of(source) else source


def _quantize_rows(program: ExportedProgram, source: Node) -> tuple[Node, Node]:
    """One `mcu::quantize_rows` behind `source`, for all linears that read it: (int8 rows, scales)."""
    import operator

    graph = program.graph
    target: OpOverload = mcu.quantize_rows.default
    with graph.inserting_after(source):
        pair = graph.call_function(target, (source,))
        consumer = next((user for user in source.users if user is not pair), source)
        pair.meta = {k: v for k, v in consumer.meta.items() if k in ("nn_module_stack", "stack_trace")}
        pair.meta["nn_module_stack"] = source.meta.get("nn_module_stack", {})
        pair.meta["val"] = target(source.meta["val"])
    outputs = []
    with graph.inserting_after(pair):
        for index in (1, 0):
            item = graph.call_function(operator.getitem, (pair, index))
            item.meta = dict(pair.meta)
            item.meta["val"] = pair.meta["val"][index]
            outputs.append(item)
    return outputs[1], outputs[0]


def int8_share(program: ExportedProgram) -> dict[str, int]:
    """How many linears are int8 and how many stayed float, for the report."""
    counts = {"int8_linears": 0, "float_linears": 0}
    for node in program.graph.nodes:
        row = operator_row(node)
        if row is not None and row.work is Work.PRODUCT and row.weight_bits == 8:
            counts["int8_linears"] += 1
        elif is_call(node, aten.linear.default, aten.addmm.default):
            counts["float_linears"] += 1
    return counts


def check_finite(program: ExportedProgram) -> None:
    """Raises ModelError for scales or weights that hold infinities or NaNs."""
    for name, value in program.state_dict.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise ModelError(
                f"Finite scales were expected after quantization; {name} holds infinities or NaNs.",
                hint="The checkpoint's weights or activations may be out of float32's range.",
            )


__all__ = ["Activations", "McuQuantizer", "check_finite", "int8_share", "quantize"]

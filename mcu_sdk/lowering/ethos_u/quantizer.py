"""What is 8 and what is 16 bits wide in a decoder step for the NPU.

ExecuTorch's EthosUQuantizer places the observers; this module tells it, node by node, which widths to use. Matrix
products take int8 inputs (the memory's share), everything between them runs in 16 bits (the accuracy's): the
residual stream, the insides of norms and softmax, the outputs of the products.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from executorch.backends.arm.common.annotation_meta import ArmAnnotationInfo
from executorch.backends.arm.ethosu import EthosUCompileSpec
from executorch.backends.arm.quantizer import EthosUQuantizer, get_symmetric_quantization_config
from executorch.backends.arm.quantizer.arm_quantizer_utils import NodeFinder, SharedQspecQuantizer
from executorch.backends.arm.quantizer.quantization_config import TOSAQuantizationConfig
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e import MinMaxObserver, PerChannelMinMaxObserver
from torchao.quantization.pt2e.quantizer import (
    FixedQParamsQuantizationSpec,
    QuantizationSpec,
    QuantizationSpecBase,
    Quantizer,
    SharedQuantizationSpec,
)
from torchao.quantization.pt2e.quantizer.quantizer import Q_ANNOTATION_KEY

from mcu_sdk.board.npu_target import ActivationBits
from mcu_sdk.lowering.fuse.graph import args, aten, is_call

SMALLEST_SCALE = 2.0**-30
"""Below every scale that occurs: ExecuTorch's own floor for 16 bits, 2^-12, costs values below 8 their precision."""

INT16 = QuantizationSpec(
    dtype=torch.int16,
    quant_min=-32767,
    quant_max=32767,
    qscheme=torch.per_tensor_symmetric,
    observer_or_fake_quant_ctr=MinMaxObserver.with_args(eps=SMALLEST_SCALE),
)
INT8 = QuantizationSpec(
    dtype=torch.int8,
    quant_min=-128,
    quant_max=127,
    qscheme=torch.per_tensor_affine,
    observer_or_fake_quant_ctr=MinMaxObserver.with_args(eps=SMALLEST_SCALE),
)
WEIGHT = QuantizationSpec(
    dtype=torch.int8,
    quant_min=-127,
    quant_max=127,
    qscheme=torch.per_channel_symmetric,
    ch_axis=0,
    observer_or_fake_quant_ctr=PerChannelMinMaxObserver.with_args(eps=SMALLEST_SCALE),
)
CACHED = FixedQParamsQuantizationSpec(
    dtype=torch.int8,
    scale=1.0,
    zero_point=0,
    quant_min=-127,
    quant_max=127,
    qscheme=torch.per_tensor_symmetric,
)
"""Keys and values: the step divides them by their calibrated scales itself, so one step is one integer."""

LOGISTIC_INPUT = FixedQParamsQuantizationSpec(
    dtype=torch.int16,
    scale=16 / 32767,
    zero_point=0,
    quant_min=-32767,
    quant_max=32767,
    qscheme=torch.per_tensor_symmetric,
)
"""sigmoid and tanh are constant to 16 bits beyond +-16: their tables' entries are spent within."""

CACHES = 2

ATTENTION = (aten.bmm.default, aten.matmul.default)
"""Products with the cache; before its decomposition a bmm may be a matmul."""

LOGISTIC = (aten.sigmoid.default, aten.tanh.default)


class Nodes(NodeFinder):  # type: ignore[misc]  # executorch carries no types
    """The nodes for which `chosen` holds."""

    def __init__(self, chosen: Callable[[Node], bool], name: str) -> None:
        self.chosen, self.name = chosen, name

    def find_nodes(self, model: GraphModule) -> Iterator[Node]:
        return (node for node in model.graph.nodes if self.chosen(node))

    def __str__(self) -> str:
        return self.name


class MixedQuantizer(Quantizer):  # type: ignore[misc]
    """EthosUQuantizer with INT8 where `narrow` operators (matrix products) read, and INT16 elsewhere."""

    def __init__(self, spec: EthosUCompileSpec, narrow: tuple[object, ...]) -> None:
        super().__init__()
        self.narrow = narrow
        self.inner = EthosUQuantizer(spec)
        bias = get_symmetric_quantization_config().bias
        self.inner.set_global(TOSAQuantizationConfig(INT16, INT16, WEIGHT, bias))
        products = TOSAQuantizationConfig(INT8, INT16, WEIGHT, bias)
        self.inner.set_node_finder(products, Nodes(self._is_narrow, "products"))

    def _is_narrow(self, node: Node) -> bool:
        return is_call(node, *self.narrow)

    def transform_for_annotation(self, model: GraphModule) -> GraphModule:
        transformed: GraphModule = self.inner.transform_for_annotation(model)
        return transformed

    def annotate(self, model: GraphModule) -> GraphModule:
        annotated: GraphModule = self.inner.annotate(model)
        outputs = self._outputs(annotated)
        for node in annotated.graph.nodes:
            annotation = node.meta.get(Q_ANNOTATION_KEY)
            if annotation is None:
                continue
            if node in outputs and annotation.output_qspec is not None:
                annotation.output_qspec = outputs[node]
            for source, spec in annotation.input_qspec_map.items():
                if source.op != "get_attr" and not isinstance(spec, SharedQuantizationSpec):
                    annotation.input_qspec_map[source] = self._input_spec(node, source, outputs)
        return annotated

    def _outputs(self, model: GraphModule) -> dict[Node, QuantizationSpecBase]:
        """What values are written as that are computed, or come in: no views."""
        return {node: self._output_spec(node) for node in _values(model)}

    def _output_spec(self, node: Node) -> QuantizationSpecBase:
        return INT8 if self._feeds_narrow_only(node) else INT16

    def _feeds_narrow_only(self, node: Node) -> bool:
        users = list(node.users)
        return bool(users) and all(
            self._is_narrow(user) or (keeps_quantization(user) and self._feeds_narrow_only(user))
            for user in users
        )

    def _input_spec(
        self, node: Node, source: Node, outputs: dict[Node, QuantizationSpecBase]
    ) -> QuantizationSpecBase:
        """What `node` reads `source` as, given what the values behind views are written as."""
        written = outputs.get(_origin(source), INT16)
        if written is CACHED:
            return CACHED
        if self._is_narrow(node):
            return INT8
        if is_call(node, *LOGISTIC):
            return LOGISTIC_INPUT
        return written if keeps_quantization(node) else INT16

    def leave(self, nodes: NodeFinder) -> None:
        """Let these be float."""
        self.inner.set_node_finder(None, nodes)

    def validate(self, model: GraphModule) -> None:
        self.inner.validate(model)


class StepQuantizer(MixedQuantizer):
    """That for an NpuStep: CACHED what is cached, INT16 what the processor looks up.

    With `activation_bits` 16 linears read INT16 too, and only the products with the 8-bit cache read INT8. The module's
    last inputs are the caches of keys and of values, its last outputs what goes into them. `by_elements`: whether the
    products with the cache are those of elements.
    """

    def __init__(
        self, spec: EthosUCompileSpec, activation_bits: ActivationBits = 8, by_elements: bool = False
    ) -> None:
        super().__init__(spec, ATTENTION if activation_bits == 16 else (aten.linear.default, *ATTENTION))
        self.by_elements = by_elements
        self.cached: set[Node] = set()

    def annotate(self, model: GraphModule) -> GraphModule:
        self.cached = set(_cached(model))
        return super().annotate(model)

    def _is_narrow(self, node: Node) -> bool:
        if self.by_elements and is_call(node, aten.mul.Tensor):
            return any(_origin(source) in self.cached for source in node.all_input_nodes)
        return super()._is_narrow(node)

    def _outputs(self, model: GraphModule) -> dict[Node, QuantizationSpecBase]:
        return {node: CACHED if node in self.cached else self._output_spec(node) for node in _values(model)}

    def _output_spec(self, node: Node) -> QuantizationSpecBase:
        return INT16 if node.op == "placeholder" else super()._output_spec(node)


def _cached(model: GraphModule) -> Iterator[Node]:
    """What an NpuStep reads of the caches, and the values that go into them."""
    yield from [n for n in model.graph.nodes if n.op == "placeholder"][-CACHES:]
    for rows in args(model.graph.output_node())[0][-CACHES:]:
        yield from _concatenated(rows)


def _values(model: GraphModule) -> list[Node]:
    """The nodes whose values are written as they are computed: no views."""
    return [
        n for n in model.graph.nodes if n.op in ("placeholder", "call_function") and not keeps_quantization(n)
    ]


def _concatenated(node: Node) -> Iterator[Node]:
    """The values that views and concatenations put together."""
    if keeps_quantization(node):
        for source in node.all_input_nodes:
            yield from _concatenated(source)
    else:
        yield node


def mark_quantized(node: Node) -> Node:
    """The node, marked in place as ExecuTorch's own quantizer marks what it has annotated: its partitioner takes nothing else."""
    node.meta.setdefault("custom", {})[ArmAnnotationInfo.CUSTOM_META_KEY] = dict(
        ArmAnnotationInfo(quantized=True)
    )
    return node


def keeps_quantization(node: Node) -> bool:
    """Whether the operator moves values without changing them, so that it keeps its input's quantization."""
    return node.op == "call_function" and node.target in SharedQspecQuantizer.SHARED_QSPEC_OPS_DEFAULT


def _origin(node: Node) -> Node:
    while keeps_quantization(node):
        node = node.all_input_nodes[0]
    return node

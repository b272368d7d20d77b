"""A decoder's quantized program -> the same with its products of several rows on an NPU: a chunk of a prompt.

An NPU reads a weight once for all rows, however many there are, which is where it pays: of a single token it spends its time
on fetching the weights, as the processor does. So of a chunk the linears of several rows, and the gates and functions
between them, become what ExecuTorch's partitioner takes: `dequantize`, operators of ATen, `quantize`. Attention over the
int8 cache, norms, the residual stream, what is computed for the last token alone, and all else stay operators of the
processor, as they are in the step. The weights' integers are the step's, and so are the caches.

What products read is int8 and what they give int16, as in a step for the NPU (quantizer.py); with 16-bit activations all of
it is int16. Scales are calibrated, from what the processor's own chunk computes.
"""

from __future__ import annotations

import copy
import math
import operator
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node
from torchao.quantization.pt2e.quantizer import QuantizationSpec

import mcu_sdk.operators.reference  # noqa: F401  registers torch.ops.mcu
from mcu_sdk.board.npu_target import ActivationBits
from mcu_sdk.lowering.ethos_u.quantizer import INT8, INT16, SMALLEST_SCALE, WEIGHT, mark_quantized
from mcu_sdk.lowering.fuse.graph import add_buffer, args, aten, constant_value, is_call, shape_of, tidy
from mcu_sdk.lowering.fuse.new_node import call_before
from mcu_sdk.lowering.run_step import StepRunner

mcu = torch.ops.mcu
_decomposed = torch.ops.quantized_decomposed
_QUANTIZE, _DEQUANTIZE = _decomposed.quantize_per_tensor.default, _decomposed.dequantize_per_tensor.default
_PRODUCT = mcu.linear_s8.default

LEAST_ROWS = 2
"""Rows of a product on the NPU, where nothing else is said."""

OBSERVED = 512
"""Tokens at most that scales are calibrated on, in whole chunks, spread over the windows."""

POINTS = 4096
"""Values of its argument at which the range of a function is looked for."""

_GATES = (mcu.gated_silu.default, mcu.gated_gelu.default)
"""f(first) * second."""

_FUNCTIONS = (mcu.silu.default, mcu.gelu.default, aten.relu.default)

Ranges = Mapping[str, tuple[float, float]]
"""The least and the greatest value that a node had, by its name."""


def observe_rows(
    program: ExportedProgram, windows: torch.Tensor, rows: int, *, least_rows: int = LEAST_ROWS
) -> dict[str, tuple[float, float]]:
    """What the products of `least_rows` and more rows, and what lies between them, read and give on windows int64[n, L].

    `program` reads `rows` tokens at once; L >= rows. Each window is read from an empty cache.
    """
    wanted = {node.name for node in _calibrated(program, least_rows)}
    found: dict[str, tuple[float, float]] = {}

    def observe(node: Node, value: Any) -> Any:
        if node.name in wanted:
            low, high = found.get(node.name, (0.0, 0.0))
            found[node.name] = min(low, float(value.min())), max(high, float(value.max()))
        return value

    runner = StepRunner(program, observe=observe)
    length = windows.shape[1] // rows * rows
    for window in windows[: max(1, -(-OBSERVED // length))]:
        values = runner.empty()
        for start in range(0, length, rows):
            runner.call(values, window[start : start + rows], torch.arange(start, start + rows))
    return found


def divide_rows(
    program: ExportedProgram, ranges: Ranges, activation_bits: ActivationBits, *, least_rows: int = LEAST_ROWS
) -> ExportedProgram:
    """A copy of a quantized program, on the same weights, for the NPU's partitioner. `ranges`: of `observe_rows`. To be called
    before weights are packed."""
    values = [*program.state_dict.values(), *program.constants.values()]
    divided: ExportedProgram = copy.deepcopy(program, {id(value): value for value in values})
    _Division(divided, ranges, activation_bits, least_rows).run()
    return divided


def _products(program: ExportedProgram, least_rows: int) -> Iterator[Node]:
    for node in program.graph.nodes:
        if is_call(node, _PRODUCT) and math.prod(shape_of(node)[:-1]) >= least_rows:
            yield node


def _source(product: Node) -> Node:
    """The float32 value that a product reads, quantized row by row."""
    item = args(product)[0]
    assert is_call(item, operator.getitem) and is_call(args(item)[0], mcu.quantize_rows.default), item
    source = args(args(item)[0])[0]
    assert isinstance(source, Node)
    return source


def _calibrated(program: ExportedProgram, least_rows: int) -> set[Node]:
    """The float32 values that are quantized by a calibrated scale."""
    products = list(_products(program, least_rows))
    return {*products, *map(_source, products)}


class _Division:
    """A program on the way. `_between` are the functions and gates that go to the NPU; `_ranges` are by node."""

    def __init__(
        self, program: ExportedProgram, ranges: Ranges, bits: ActivationBits, least_rows: int
    ) -> None:
        self._program, self._graph = program, program.graph
        self._bits: ActivationBits = bits
        self._read = INT8 if bits == 8 else INT16
        self._products = list(_products(program, least_rows))
        self._ranges = {
            node: ranges[node.name] for node in _calibrated(program, least_rows) if node.name in ranges
        }
        self._between = {node for node in map(_source, self._products) if self._is_between(node)}
        self._quantized: dict[tuple[Node, torch.dtype], Node] = {}

    def run(self) -> None:
        """The whole program."""
        products = set(self._products)
        for node in list(self._graph.nodes):
            if node in products:
                self._put_product(node)
            elif node in self._between:
                self._put_between(node)
        self._graph.eliminate_dead_code()
        for node in list(self._graph.nodes):
            if is_call(node, mcu.quantize_rows.default):
                self._take_first(node)
        tidy(self._program)

    # ---- which

    def _is_between(self, node: Node) -> bool:
        """Whether the NPU computes it: a function or gate of products that nothing else reads, for products alone.

        Behind a function alone in 16 bits Vela 5.1.0 makes a wrong product (docs/npu_simulator.md): these stay the processor's.
        """
        operands = args(node)[:2] if is_call(node, *_GATES) else args(node)[:1]
        known = is_call(node, *_GATES) or (is_call(node, *_FUNCTIONS) and self._bits == 8)
        return (
            known
            and all(operand in self._products and list(operand.users) == [node] for operand in operands)
            and all(self._is_for_products(user) for user in node.users)
        )

    def _is_for_products(self, quantize: Node) -> bool:
        items = list(quantize.users)
        return is_call(quantize, mcu.quantize_rows.default) and all(
            user in self._products for item in items for user in item.users
        )

    # ---- rewriting

    def _put_product(self, product: Node) -> None:
        """linear_s8(quantize_rows(x), w) -> dequantize(quantize(linear(dequantize(quantize(x)), dequantize(w))))."""
        _, _, weight, weight_scale, bias = args(product)
        source = _source(product)
        read = self._in_integers(product, source, self._read)
        scales = constant_value(self._program, weight_scale)
        limits = WEIGHT.quant_min, WEIGHT.quant_max, torch.int8
        arguments = [read, self._by_channel(product, weight, scales, *limits)]
        if bias is not None:
            arguments.append(self._bias(product, bias, weight_scale, float(args(read)[1])))
        result = self._call(product, aten.linear.default, *arguments, on_npu=True)
        self._ranges[result] = self._ranges[product]
        between = any(user in self._between for user in product.users)
        given = self._in_integers(product, result, self._read if between else INT16)
        product.replace_all_uses_with(given)

    def _put_between(self, node: Node) -> None:
        """A function between quantized values; a gate is that, quantized once more, times the second value."""
        first = args(node)[0]
        result = self._call(node, *_function(node), on_npu=True, **_keywords(node))
        if is_call(node, *_GATES):
            self._ranges[result] = _range_of(result, *self._ranges[args(args(first)[0])[0]])
            factor = self._in_integers(node, result, self._read)
            result = self._call(node, aten.mul.Tensor, factor, args(node)[1], on_npu=True)
        self._ranges[result] = self._ranges[node]
        node.replace_all_uses_with(result)

    def _take_first(self, quantize: Node) -> None:
        """quantize_rows(x)[i:j] -> quantize_rows(x[i:j]), where nothing reads the other rows any more: the NPU would be given the
        taking of integers alone."""
        taken = [user for item in quantize.users for user in item.users]
        if not taken or len({args(node)[1:] for node in taken if is_call(node, aten.slice.Tensor)}) != 1:
            return
        if not all(is_call(node, aten.slice.Tensor) for node in taken):
            return
        rows = self._call(quantize, aten.slice.Tensor, args(quantize)[0], *args(taken[0])[1:])
        pair = self._call(quantize, mcu.quantize_rows.default, rows)
        for node in taken:
            item = self._call(quantize, operator.getitem, pair, args(args(node)[0])[1])
            node.replace_all_uses_with(item)

    def _in_integers(self, place: Node, value: Node, spec: QuantizationSpec) -> Node:
        """`value`, quantized and back."""
        key = value, spec.dtype
        if key not in self._quantized:
            given = *_scale(spec, *self._ranges[value]), spec.quant_min, spec.quant_max, spec.dtype
            integers = self._call(place, _QUANTIZE, value, *given)
            self._quantized[key] = self._call(place, _DEQUANTIZE, integers, *given)
        return self._quantized[key]

    def _bias(self, product: Node, bias: Node, weight_scale: Node, scale: float) -> Node:
        """A bias in units of the product's sums."""
        unit = constant_value(self._program, weight_scale).double() * scale
        limit = torch.iinfo(torch.int32).max
        values = (constant_value(self._program, bias).double() / unit).round().clamp(-limit, limit)
        integers = add_buffer(self._program, f"{bias.name}_sums", values.to(torch.int32))
        return self._by_channel(product, integers, unit.float(), -limit, limit, torch.int32)

    def _by_channel(self, place: Node, integers: Node, scales: torch.Tensor, *limits: Any) -> Node:
        """Constant integers as floats, by scales of their own: ExecuTorch's passes take these off with the first that they fold."""
        units = add_buffer(self._program, f"{integers.name}_units", scales.clone())
        zeros = add_buffer(
            self._program, f"{integers.name}_zeros", torch.zeros(scales.shape, dtype=torch.int64)
        )
        return self._call(
            place, _decomposed.dequantize_per_channel.default, integers, units, zeros, 0, *limits
        )

    def _call(self, place: Node, target: Any, *arguments: Any, on_npu: bool = False, **keywords: Any) -> Node:
        """A call before `place`; `on_npu`: with the mark that ExecuTorch's own quantizer gives."""
        node = call_before(self._graph, place, target, *arguments, **keywords)
        node.meta["custom"] = dict(place.meta.get("custom", {}))
        if on_npu:
            mark_quantized(node)
        return node


def _function(node: Node) -> tuple[Any, Any]:
    """The function of ATen that a gate or function of ours is, and its argument."""
    names: dict[Any, Any] = {
        mcu.gated_silu.default: aten.silu.default,
        mcu.silu.default: aten.silu.default,
        mcu.gated_gelu.default: aten.gelu.default,
        mcu.gelu.default: aten.gelu.default,
        aten.relu.default: aten.relu.default,
    }
    return names[node.target], args(node)[0]


def _keywords(node: Node) -> dict[str, Any]:
    if not is_call(node, mcu.gelu.default, mcu.gated_gelu.default):
        return {}
    return {"approximate": "tanh" if args(node)[-1] else "none"}


def _range_of(function: Node, low: float, high: float) -> tuple[float, float]:
    """The least and the greatest value of a function between two arguments."""
    target: Any = function.target
    values = target(torch.linspace(low, high, POINTS), *args(function)[1:], **function.kwargs)
    return min(0.0, float(values.min())), max(0.0, float(values.max()))


def _scale(spec: QuantizationSpec, low: float, high: float) -> tuple[float, int]:
    """The scale and zero point of a range that holds 0, by the spec's own observer."""
    observer: Any = spec.observer_or_fake_quant_ctr.with_args(
        dtype=spec.dtype, quant_min=spec.quant_min, quant_max=spec.quant_max, qscheme=spec.qscheme
    )()
    observer(torch.tensor([low, high]))
    scale, zero_point = observer.calculate_qparams()
    return max(float(scale), SMALLEST_SCALE), int(zero_point)

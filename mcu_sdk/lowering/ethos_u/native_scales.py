"""Scales with which an NPU adds and multiplies integers of 16 bits in one operation.

For TOSA both operands of a sum are brought to one scale of 32 bits, 2 max(scales) / 2^12 (see arithmetic.py), and the result
to its own. An Ethos-U55 does this within its addition, and Vela makes one operation of it, where both operands have one scale.
Otherwise it makes five, or, of factors that are whole numbers, Vela 5.1.0 one that adds something else.

Products of int8 are exact in int16 where their scale is the product of the operands': nothing is rounded before they are
summed. And what is less than half a step of the integers that it is added to changes none of them.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from operator import attrgetter
from typing import Any

import torch
from torch.fx import GraphModule, Node

from mcu_sdk.lowering.ethos_u.quantizer import keeps_quantization
from mcu_sdk.lowering.ethos_u.tables import dequantize, quantize
from mcu_sdk.lowering.fuse.graph import args, aten, is_call

MOST_GROWTH = 32
"""How much coarser a value becomes that others than the sum read: it keeps eleven of its sixteen bits. A sum for which it had
to become coarser still stays as it is. To the sum itself it is all the same: its larger operand is as coarse."""

_GREATEST = 32767

SUMS = (aten.add.Tensor, aten.sub.Tensor)


def settle_scales(module: GraphModule) -> None:
    """Give a converted graph scales of this kind, in place. The same scales are settled alike whatever the graph's batch is."""
    _drop_what_changes_nothing(module)
    values = _Values(module)
    _make_products_exact(values)
    _align_sums(values)
    module.recompile()


class _Values:
    """The graph's quantized values: each by the nodes that quantize and dequantize it, moves of it included."""

    def __init__(self, module: GraphModule) -> None:
        self.module = module
        self._parent: dict[Node, Node] = {}
        for node in module.graph.nodes:
            if is_call(node, dequantize):
                for other in (args(node)[0], *args(node)[0].users):
                    if is_call(other, quantize, dequantize):
                        self._join(node, other)
            elif keeps_quantization(node):
                conversions = [n for n in node.all_input_nodes if is_call(n, dequantize)]
                conversions += [n for n in node.users if is_call(n, quantize)]
                for other in conversions[1:]:
                    self._join(conversions[0], other)
        self._members: dict[Node, list[Node]] = defaultdict(list)
        for node in module.graph.nodes:
            if is_call(node, quantize, dequantize):
                self._members[self.of(node)].append(node)

    def of(self, conversion: Node) -> Node:
        """What stands for the value that a node quantizes or dequantizes."""
        parent = self._parent.get(conversion, conversion)
        if parent is conversion:
            return conversion
        root = self.of(parent)
        self._parent[conversion] = root
        return root

    def rescale(self, value: Node, scale: float) -> None:
        """Give it another scale; of a constant, whose integers are there already, others as well."""
        members = self._members[value]
        for name in {str(args(node)[0].target) for node in members if args(node)[0].op == "get_attr"}:
            integers = attrgetter(name)(self.module)
            if not integers.is_floating_point():
                ratio = args(members[0])[1] / scale
                settled = (integers.double() * ratio).round().to(integers.dtype)
                owner, _, own_name = name.rpartition(".")
                self.module.get_submodule(owner).register_buffer(own_name, settled)
        for node in members:
            node.update_arg(1, scale)

    def read_by(self, value: Node) -> set[Node]:
        """What computes with it, or scales it once more."""
        members = set(self._members[value])
        users = (user for node in members for user in node.users)
        return {user for user in users if user not in members and not keeps_quantization(user)}

    def _join(self, one: Node, other: Node) -> None:
        one, other = self.of(one), self.of(other)
        if one is not other and args(one)[1:6] == args(other)[1:6]:
            self._parent[one] = other


def _make_products_exact(values: _Values) -> None:
    """Products of int8 that are written as int16, several of which may be parts of one value."""
    wanted: dict[Node, float] = {}
    for node in values.module.graph.nodes:
        if not is_call(node, aten.mul.Tensor):
            continue
        operands, results = _operands(node), _results(node)
        if not results or not all(is_call(o, dequantize) and args(o)[5] is torch.int8 for o in operands):
            continue
        if math.prod(_span(operand) for operand in operands) > _GREATEST:
            continue
        scale = math.prod(args(operand)[1] for operand in operands)
        for result in results:
            value = values.of(result)
            wanted[value] = max(scale, wanted.get(value, 0.0))
    for value, scale in wanted.items():
        values.rescale(value, scale)


def _span(conversion: Node) -> int:
    """The greatest magnitude of its integers without their zero point."""
    zero_point, limits = args(conversion)[2], torch.iinfo(args(conversion)[5])
    return int(max(limits.max - zero_point, zero_point - limits.min))


def _align_sums(values: _Values) -> None:
    """Scales only grow, each at most to that of another, so this ends; a value may be an operand of several sums."""
    sums = [node for node in values.module.graph.nodes if is_call(node, *SUMS) and _adds_int16(node)]
    changed = True
    while changed:
        changed = False
        for node in sums:
            smaller, larger = sorted(_operands(node), key=lambda operand: float(args(operand)[1]))
            value, growth = values.of(smaller), args(larger)[1] / args(smaller)[1]
            if growth > 1 and (growth <= MOST_GROWTH or not values.read_by(value) - {node}):
                values.rescale(value, args(larger)[1])
                changed = True


def _adds_int16(node: Node) -> bool:
    operands = _operands(node)
    return len(operands) == 2 and all(
        is_call(operand, dequantize) and args(operand)[5] is torch.int16 and args(operand)[2] == 0
        for operand in operands
    )


def _operands(node: Node) -> list[Node]:
    return [operand for operand in args(node)[:2] if isinstance(operand, Node)]


def _results(node: Node) -> list[Node]:
    return [user for user in node.users if is_call(user, quantize) and args(user)[5] is torch.int16]


def _drop_what_changes_nothing(module: GraphModule) -> None:
    """x + c -> x, where c is a number of less than half a step of x."""
    for node in list(module.graph.nodes):
        for operand, number in _with_numbers(module, node):
            if abs(number) < args(operand)[1] / 2:
                _replace_result(node, operand)
                break
    module.graph.eliminate_dead_code()


def _with_numbers(module: GraphModule, node: Node) -> Iterator[tuple[Node, float]]:
    if not is_call(node, aten.add.Tensor) or not _adds_int16(node):
        return
    one, other = _operands(node)
    for operand, constant in ((one, other), (other, one)):
        number = _number(module, constant)
        if number is not None:
            yield operand, number


def _number(module: GraphModule, conversion: Node) -> float | None:
    """The one number of a constant, whether it is folded to an integer or not."""
    source = args(conversion)[0]
    constant: Any = args(source)[0] if is_call(source, quantize) else source
    if not isinstance(constant, Node) or constant.op != "get_attr":
        return None
    tensor = attrgetter(str(constant.target))(module)
    if tensor.numel() != 1:
        return None
    number = float(tensor)
    if constant is source:
        number = (number - args(conversion)[2]) * args(conversion)[1]
    return number


def _replace_result(node: Node, operand: Node) -> None:
    """Let what dequantizes the sum be the operand, as it is dequantized already."""
    for result in _results(node):
        for user in list(result.users):
            if is_call(user, dequantize):
                user.replace_all_uses_with(operand)

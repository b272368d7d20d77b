"""Products with the weights of chosen experts -> one call that reads no others.

transformers writes a mixture's linears, where it is asked for products in a batch, as a product of each row with weights
that an index picks: bmm(weight[expert], row), or turned, plus bias[expert].
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch.export import ExportedProgram
from torch.fx import Graph, Node

from mcu_sdk.lowering.fuse.graph import (
    add_buffer,
    args,
    aten,
    constant_name,
    constant_value,
    either_order,
    is_call,
    is_constant,
    same_bytes_source,
    shape_of,
)
from mcu_sdk.lowering.fuse.new_node import call_before

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@torch.library.custom_op("mcu_fused::expert_linear", mutates_args=())
def expert_linear(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, expert: torch.Tensor
) -> torch.Tensor:
    """Row s of x, or its only row, times weight[expert[s]], plus bias[expert[s]], in float: x [S or 1, K], weight [E, N, K],
    bias [E, N], expert int64[S] -> [S, N]. Quantization takes its place."""
    rows = x.expand(expert.shape[0], -1)
    out = torch.bmm(weight[expert], rows[..., None])[..., 0]
    return out if bias is None else out + bias[expert]


@expert_linear.register_fake
def _rows(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, expert: torch.Tensor
) -> torch.Tensor:
    return x.new_empty((expert.shape[0], weight.shape[1]))


EXPERT_LINEAR = torch.ops.mcu_fused.expert_linear.default


@contextmanager
def experts_as(model: PreTrainedModel, implementation: str) -> Iterator[None]:
    """Let transformers compute a mixture's experts in the way of this name ("eager", "batched_mm"), where the class can."""
    if not model._can_set_experts_implementation():
        yield
        return
    before = model.get_experts_implementation()
    model.set_experts_implementation(implementation)
    try:
        yield
    finally:
        model.set_experts_implementation(before)


def mixes_experts(model: PreTrainedModel) -> bool:
    """Whether some part of the model lets transformers choose how its experts are computed."""
    return any(hasattr(part, "is_transposed") and hasattr(part, "has_gate") for part in model.modules())


def routers_of(graph: Graph) -> set[Node]:
    """The linears whose results are chosen the greatest of, or decide in another way which experts are asked."""
    found: set[Node] = set()
    waiting = [args(node)[0] for node in graph.nodes if is_call(node, aten.topk.default)]
    waiting += [args(node)[3] for node in graph.nodes if is_call(node, EXPERT_LINEAR)]
    seen: set[Node] = set()
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if is_call(node, aten.linear.default):
            found.add(node)
        else:
            waiting += node.all_input_nodes
    return found


def fuse_experts(program: ExportedProgram) -> int:
    """Rewrite in place; returns how many there were. Choices that may come in any order come in one that is known."""
    count = 0
    turned: dict[Node, Node] = {}
    for node in list(program.graph.nodes):
        if is_call(node, aten.topk.default):
            x, k, axis, largest = (*args(node), *(-1, True)[len(args(node)) - 2 :])[:4]
            node.args = (x, k, axis, largest, True)
            node.kwargs = {}
        if not is_call(node, aten.bmm.default):
            continue
        first, second = args(node)
        picked, x = (first, second) if is_call(first, aten.index.Tensor) else (second, first)
        weight, expert = _picked(program, picked)
        if weight is None or expert is None or len(shape_of(weight)) != 3:
            continue
        rows = weight
        if picked is second:  # [E, K, N]
            if weight not in turned:
                value = constant_value(program, weight).transpose(1, 2).contiguous()
                turned[weight] = add_buffer(program, f"{constant_name(program, weight)}_rows", value)
            rows = turned[weight]
        place, bias = _biased(program, node, expert)
        source, wanted = _one_row(x, shape_of(rows)[2]), [-1, shape_of(rows)[2]]
        if len(shape_of(source)) != 2:
            source = call_before(program.graph, place, aten.view.default, source, wanted)
        new = call_before(program.graph, place, EXPERT_LINEAR, source, rows, bias, expert)
        if shape_of(new) != shape_of(place):
            new = call_before(program.graph, place, aten.view.default, new, list(shape_of(place)))
        place.replace_all_uses_with(new)
        count += 1
    return count


def _picked(program: ExportedProgram, node: object) -> tuple[Node | None, Node | None]:
    """(constant, index) of constant[index]."""
    if not is_call(node, aten.index.Tensor):
        return None, None
    source, indices = args(node)[:2]
    if len(indices) != 1 or not isinstance(source, Node) or not is_constant(program, source):
        return None, None
    return source, indices[0]


def _biased(program: ExportedProgram, product: Node, expert: Node) -> tuple[Node, Node | None]:
    """(the sum of a product and the chosen experts' bias, that bias), or (the product, None)."""
    node = product
    while len(node.users) == 1:
        (user,) = node.users
        if is_call(user, aten.view.default):
            node = user
            continue
        if is_call(user, aten.add.Tensor) and not user.kwargs:
            for one, other in either_order(user):
                bias, index = _picked(program, other)
                if one is node and bias is not None and index is expert and len(shape_of(bias)) == 2:
                    return user, bias
        break
    return product, None


def _one_row(x: Node, length: int) -> Node:
    """The [rows, K] that a product reads; where all rows are copies of one, that one."""
    source = same_bytes_source(x)
    if is_call(source, aten.repeat_interleave.self_int) and args(source)[0].meta["val"].numel() == length:
        source = args(source)[0]
    return source

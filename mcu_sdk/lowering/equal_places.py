"""Where channels of a norm's result can be scaled without changing what a module computes: who reads it, and whose weights
are whose."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch.fx import GraphModule, Node

import mcu_sdk.operators.reference  # noqa: F401  registers torch.ops.mcu
from mcu_sdk.lowering.fuse.graph import SAME_BYTES, args, aten, behind, dtype_of, is_call, shape_of

mcu = torch.ops.mcu


@dataclass
class Group:
    """Norms whose results get the same factors, since they or the linears behind them share weights: one, as a rule."""

    norms: list[Node] = field(default_factory=list)
    linears: list[Node] = field(default_factory=list)
    sums: list[tuple[Node, Node]] = field(default_factory=list)
    """Values that are the norms, and what adds them."""


def find_groups(module: GraphModule, but: Collection[Node] = ()) -> list[Group]:
    """The norms that only linears and sums read, but those of which one of `but` is a sum, by groups."""
    uses = _uses(module)
    found: dict[Node, Group] = {}
    for norm in module.graph.nodes:
        if not _is_norm(norm):
            continue
        group = Group([norm])
        for user, value in _readers(norm):
            if _is_linear(user) and args(user)[0] is value:
                group.linears.append(user)
            elif user not in but and _is_sum(user, value, norm):
                group.sums.append((value, user))
            else:
                break
        else:
            if group.linears:
                found[norm] = group
    _drop_shared(found, uses)
    return _joined(found, uses)


def _is_attribute(node: object) -> bool:
    return isinstance(node, Node) and node.op == "get_attr"


def _is_linear(node: object) -> bool:
    """Whether it is a linear with a weight, and a bias if it has one, of its own."""
    return is_call(node, aten.linear.default) and _is_attribute(args(node)[1]) and _bias_is_known(node)


def _bias_is_known(linear: Node) -> bool:
    return _bias_of(linear) is None or _is_attribute(_bias_of(linear))


def _bias_of(linear: Node) -> Node | None:
    bias: Node | None = args(linear)[2] if len(args(linear)) > 2 else None
    return bias


def _is_norm(node: object) -> bool:
    """Whether it is a norm with a weight and a bias of its own."""
    return is_call(node, mcu.layer_norm.default) and all(map(_is_attribute, args(node)[1:3]))


def _keeps_channels(node: object) -> bool:
    """Whether it is a view, or takes a part, whose last axis is that of what it looks at."""
    if not isinstance(node, Node) or not node.args or not isinstance(args(node)[0], Node):
        return False
    rank = len(shape_of(args(node)[0]))
    if is_call(node, aten.select.int, aten.slice.Tensor):
        axis = args(node)[1] if len(args(node)) > 1 else 0
        return rank > 1 and int(axis) % rank != rank - 1
    return is_call(node, *SAME_BYTES) and shape_of(node)[-1:] == shape_of(args(node)[0])[-1:] != ()


def _readers(node: Node) -> Iterator[tuple[Node, Node]]:
    """What reads a value, views looked through, each with the view that it reads."""
    for user in node.users:
        if _keeps_channels(user):
            yield from _readers(user)
        else:
            yield user, node


def _is_sum(node: Node, value: Node, norm: Node) -> bool:
    """Whether it adds a value, which is the norm or a view of all of it, to another one of its shape that is none."""
    if not is_call(node, aten.add.Tensor) or node.kwargs.get("alpha", 1) != 1:
        return False
    others = [each for each in args(node)[:2] if each is not value]
    return (
        len(others) == 1
        and isinstance(others[0], Node)
        and not _is_norm(behind(others[0], *SAME_BYTES))
        and shape_of(others[0]) == shape_of(value) == shape_of(node)
        and math.prod(shape_of(value)) == math.prod(shape_of(norm))
        and dtype_of(node) == dtype_of(others[0]) == torch.float32
    )


Uses = Mapping[str, Sequence[tuple[Node, int]]]
"""Of each attribute, by its path: what reads it, and as which argument."""


def _uses(module: GraphModule) -> Uses:
    found: dict[str, list[tuple[Node, int]]] = {}
    for node in module.graph.nodes:
        if node.op == "get_attr":
            for user in node.users:
                places = [place for place, value in enumerate(args(user)) if value is node]
                found.setdefault(str(node.target), []).extend((user, place) for place in places or [-1])
    return found


def target_of(node: Node, place: int) -> str | None:
    """The path of a weight (1) or a bias (2)."""
    value = args(node)[place] if len(args(node)) > place else None
    return None if value is None else str(value.target)


def _targets(node: Node) -> list[str]:
    return [target for place in (1, 2) if (target := target_of(node, place)) is not None]


def _are_alone(nodes: Collection[Node], uses: Uses) -> bool:
    """Whether nothing else reads the weights and biases of these norms or linears, and each weight has one bias throughout."""
    pairs = {(target_of(node, 1), target_of(node, 2)) for node in nodes}
    places = {target: place for pair in pairs for place, target in enumerate(pair, 1) if target is not None}
    return sum(target is not None for pair in pairs for target in pair) == len(places) and all(
        user in nodes and place == places[target] for target in places for user, place in uses[target]
    )


def _drop_shared(found: dict[Node, Group], uses: Uses) -> None:
    """Leave out norms whose weights, or whose linears' weights, something else reads, until none is left of these."""
    while True:
        inside = {each for norm, group in found.items() for each in (norm, *group.linears)}
        alone = [
            norm
            for norm, group in found.items()
            if not all(
                user in inside
                for each in (norm, *group.linears)
                for target in _targets(each)
                for user, _ in uses[target]
            )
        ]
        if not alone:
            return
        for norm in alone:
            del found[norm]


def _joined(found: Mapping[Node, Group], uses: Uses) -> list[Group]:
    """One group of all norms that share weights, or whose linears do."""
    group_of: dict[str, Group] = {}
    for group in found.values():
        targets = [target for each in (*group.norms, *group.linears) for target in _targets(each)]
        others = {id(other): other for target in targets if (other := group_of.get(target)) is not None}
        whole = Group()
        for part in (group, *others.values()):
            whole.norms += part.norms
            whole.linears += part.linears
            whole.sums += part.sums
        for each in (*whole.norms, *whole.linears):
            group_of |= dict.fromkeys(_targets(each), whole)
    groups = {id(group): group for group in group_of.values()}.values()
    return [
        group
        for group in groups
        if _are_alone(set(group.norms), uses) and _are_alone(set(group.linears), uses)
    ]

"""A call that is put into a graph with the value it has."""

from __future__ import annotations

from typing import Any

from torch.fx import Graph, Node
from torch.fx.node import map_arg


def call_before(graph: Graph, place: Node, target: Any, *arguments: Any, **keywords: Any) -> Node:
    """`target(*arguments)` before `place`, of the same module as that; its shape and type are computed."""
    with graph.inserting_before(place):
        node: Node = graph.call_function(target, arguments, keywords)
    values = map_arg(arguments, lambda n: n.meta["val"])
    node.meta = {**place.meta, "val": target(*values, **keywords)}
    return node

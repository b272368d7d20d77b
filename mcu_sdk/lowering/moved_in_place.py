"""Moving views and permutations through a graph without making the graph anew for each round of moves."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch._dispatch.python import enable_python_dispatcher
from torch._subclasses.fake_tensor import FakeTensor
from torch.fx import Graph, GraphModule, Node
from torch.fx.node import map_arg

from mcu_sdk.lowering.retracing import Shapes, Unknown

TRACED_OTHERWISE = ("aten::bmm", "aten::leaky_relu")
"""What ExecuTorch's passes for Arm give a shape of their own."""


@contextmanager
def moved_in_place(shapes: Shapes) -> Iterator[None]:
    """Let ExecuTorch's passes that move views and permutations find the shapes in the graph that they change.

    They move what can be moved by a step, trace the whole graph to learn its shapes, and begin again, some 25 times for a
    decoder of four layers. Here the shapes are put into the nodes as they are, with the readers of each node in the order in
    which a new graph has them, and the graph is made anew when nothing moves any more. What is rare in such a graph, and traced
    in ways of its own, is left to ExecuTorch.
    """
    from executorch.backends.transforms.propagate_view_copy_permute_pass import PropagateViewCopyPermutePass
    from executorch.exir.pass_base import PassResult

    moving: Any = PropagateViewCopyPermutePass
    call, retrace = moving.call, moving._retrace

    def until_nothing_moves(self: Any, module: GraphModule) -> Any:
        result = call(self, module)
        return PassResult(retrace(self, result.graph_module), True) if result.modified else result

    def in_place(self: Any, module: GraphModule) -> GraphModule:
        module.graph.eliminate_dead_code()
        if _put_shapes(module.graph, shapes):
            return module
        traced: GraphModule = retrace(self, module)
        return traced

    moving.call, moving._retrace = until_nothing_moves, in_place
    try:
        yield
    finally:
        moving.call, moving._retrace = call, retrace


def _put_shapes(graph: Graph, shapes: Shapes) -> bool:
    """Give each call the tensor without data that it computes, and its readers the graph's order; whether all could be told."""
    modes = {
        node.meta["val"].fake_mode for node in graph.nodes if node.op == "placeholder" and _is_fake(node)
    }
    if len(modes) != 1 or not all(_is_plain(node) for node in graph.nodes):
        return False
    (mode,) = modes
    seen = Counter[Any]()
    with mode, enable_python_dispatcher():
        for node in graph.nodes:
            if node.op != "call_function":
                continue
            given: Any = map_arg((node.args, node.kwargs), lambda n: n.meta["val"])
            arguments, keywords = given
            if node.target is operator.getitem:
                node.meta["val"] = arguments[0][arguments[1]]
                continue
            try:
                node.meta["val"] = shapes.of(_call, node.target, arguments, keywords, mode, seen)
            except Unknown:
                return False
    places = {node: place for place, node in enumerate(graph.nodes)}
    for node in graph.nodes:
        readers = sorted(node.users, key=places.__getitem__)
        node.users.clear()
        node.users.update(dict.fromkeys(readers))
    return True


def _call(target: Any, arguments: Any, keywords: Any) -> Any:
    return target(*arguments, **keywords)


def _is_fake(node: Node) -> bool:
    return isinstance(node.meta.get("val"), FakeTensor)


def _is_plain(node: Node) -> bool:
    """Whether tracing a node is nothing but calling its operator."""
    if node.op != "call_function":
        return node.op in ("placeholder", "output")
    if node.target is operator.getitem:
        return True
    schema = getattr(node.target, "_schema", None)
    return schema is not None and schema.name not in TRACED_OTHERWISE

"""What the processor computes before an NPU: look-ups by integers, and rows that follow from them."""

from __future__ import annotations

import torch
from torch import nn
from torch.fx import Graph, GraphModule, Interpreter, Node
from torch.fx.traceback import preserve_node_meta

from mcu_sdk.lowering.fuse.graph import args, dtype_of


def split_integers(module: GraphModule) -> tuple[GraphModule, GraphModule] | None:
    """(`before`, `after`): after(*before(*inputs)) is what the module computes, and `after` sees no integers that the inputs
    decide; None for a module without inputs of integers.

    `before` has what is computed of integers and constants alone, up to the first numbers (a row of an embedding).
    """
    inputs = [node for node in module.graph.nodes if node.op == "placeholder"]
    inside = {node for node in inputs if not _is_float(node)}
    if not inside:
        return None
    for node in module.graph.nodes:
        read = [value for value in node.all_input_nodes if value.op != "get_attr"]
        if node.op != "call_function" or not read or not inside.issuperset(read):
            continue
        if not all(_is_float(value) for value in read):
            inside.add(node)
    crossing = [
        node
        for node in module.graph.nodes
        if (node in inside or node in inputs) and any(user not in inside for user in node.users)
    ]
    return _part(module, inputs, inside, crossing), _part(module, crossing, None, args(_output(module))[0])


class Joined(nn.Module):
    """One after the other. torch.export keeps what is known of the second one's nodes: ExecuTorch's partitioner takes none that its
    quantizer left no mark on."""

    def __init__(self, before: nn.Module, after: GraphModule) -> None:
        super().__init__()
        self.before, self.after = before, after

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        with preserve_node_meta():
            found: tuple[torch.Tensor, ...] = Interpreter(self.after).run(*self.before(*inputs))
        return found


def _is_float(node: Node) -> bool:
    dtype = dtype_of(node)
    return dtype is not None and dtype.is_floating_point


def _output(module: GraphModule) -> Node:
    found: Node = module.graph.output_node()
    return found


def _part(
    module: GraphModule, inputs: list[Node], inside: set[Node] | None, outputs: list[Node]
) -> GraphModule:
    """From `inputs` to `outputs`, of the calls in `inside` (None: whatever is needed)."""
    graph = Graph()
    copies = {node: graph.placeholder(node.name) for node in inputs}
    for node, copy in copies.items():
        copy.meta = dict(node.meta)
    for node in module.graph.nodes:
        wanted = node.op == "get_attr" or (node.op == "call_function" and (inside is None or node in inside))
        if wanted and node not in copies and all(value in copies for value in node.all_input_nodes):
            copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output(tuple(copies[node] for node in outputs))
    graph.eliminate_dead_code()
    return GraphModule(module, graph)

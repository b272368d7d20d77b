"""Delegates that passes cannot look into."""

from __future__ import annotations

from typing import Any

import torch
from executorch.exir.lowered_backend_module import LoweredBackendModule
from torch import nn
from torch._export.verifier import Verifier
from torch.export import ExportedProgram
from torch.export.graph_signature import (
    ExportGraphSignature,
    InputKind,
    OutputKind,
    OutputSpec,
    TensorArgument,
)
from torch.fx import Graph, Node


def make_opaque(module: nn.Module) -> None:
    """Put the same delegates, around programs of their inputs and outputs with nothing between them, into an edge program's
    module.

    To learn the shapes of what a delegate gives, PyTorch runs the program that it was made of: each pass behind it would go
    through the model's hundreds of operators again. Nothing else asks for that program from here on: what writes the .pte
    counts its outputs.
    """
    for name, child in list(module.named_children()):
        if isinstance(child, LoweredBackendModule) and _only_returns(child.original_module):
            setattr(module, name, _opaque(child))


def _only_returns(program: ExportedProgram) -> bool:
    """Whether a program writes no buffers of its own."""
    return all(each.kind is OutputKind.USER_OUTPUT for each in program.graph_signature.output_specs)


def _opaque(delegate: LoweredBackendModule) -> LoweredBackendModule:
    made = LoweredBackendModule(
        _without_inside(delegate.original_module),
        delegate.backend_id,
        delegate.processed_bytes,
        delegate.compile_specs,
        delegate.named_data_store_output,
    )
    made.meta = delegate.meta
    return made


def _without_inside(program: ExportedProgram) -> ExportedProgram:
    """A program with the inputs and outputs of another one, which gives what has not been computed."""
    signature = program.graph_signature
    inputs = [each for each in signature.input_specs if each.kind is InputKind.USER_INPUT]
    graph, names = Graph(), {each.arg.name for each in inputs}
    for node in program.graph.nodes:
        if node.op == "placeholder" and node.name in names:
            graph.node_copy(node)
    results: list[Node] = []
    returned: Any = program.graph.output_node().args[0]
    for given in returned:
        value = given.meta["val"]
        size, stride = list(value.shape), list(value.stride())
        result = graph.call_function(
            torch.ops.aten.empty_strided.default, (size, stride), {"dtype": value.dtype}
        )
        result.meta["val"] = value
        results.append(result)
    graph.output(type(returned)(results))
    outputs = [OutputSpec(OutputKind.USER_OUTPUT, TensorArgument(each.name), None) for each in results]
    return ExportedProgram(
        root={},
        graph=graph,
        graph_signature=ExportGraphSignature(inputs, outputs),
        state_dict={},
        range_constraints={},
        module_call_graph=program.module_call_graph,
        constants={},
        verifiers=[Verifier],
    )

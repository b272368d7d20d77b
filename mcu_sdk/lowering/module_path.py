"""Which module of the checkpoint a node of a graph comes from."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager

import torch
from torch import nn
from torch.fx import GraphModule, Node
from torch.fx.traceback import annotate, preserve_node_meta

_KEY = "mcu_module_path"

_WRAPPER = "model."
"""Where the model hangs in what is exported, a wrapper with a static cache."""


def module_path(node: Node) -> str:
    """The innermost module a node was traced in, as its path in the checkpoint; "" if unknown."""
    stack = node.meta.get("nn_module_stack") or {}
    paths = [entry[0] for entry in stack.values()]
    return _plain_path(paths[-1]) if paths else ""


def in_module(path: str) -> AbstractContextManager[None]:
    """What `traced` sees computed inside belongs to this module: for code that computes a graph's nodes one by one."""
    return annotate({_KEY: path})


def traced(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> GraphModule:
    """The graph that torch.export makes of a module, whose nodes know what `in_module` said."""
    with preserve_node_meta():
        program = torch.export.export(module, inputs, strict=False)
    graph: GraphModule = program.module(check_guards=False)
    for node in graph.graph.nodes:
        # Nodes share this dictionary, and in it ExecuTorch's quantizer keeps what it knows of a single one.
        path = node.meta.pop("custom", {}).get(_KEY, "")
        node.meta["nn_module_stack"] = {path: (_WRAPPER + path, "")} if path else {}
    return graph


def _plain_path(path: str) -> str:
    """Undo the exporter's spelling: L['self'].model.layers.0 and model.slice(None, 3, None)._modules['0'] alike."""
    path = re.sub(r"slice\(None, \d+, None\)\.?", "", path)
    path = re.sub(r"\._modules\['([^']+)'\]", r".\1", path)
    path = re.sub(r"L\['self'\]\.?", "", path)
    path = re.sub(r"\[['\"]?([^'\"\]]+)['\"]?\]", r".\1", path)
    return path.strip(".").removeprefix(_WRAPPER)

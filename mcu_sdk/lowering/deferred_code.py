"""Passes over graphs without the Python code that torch.fx writes for each graph that one of them leaves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch.fx import GraphModule
from torch.fx.graph import _PyTreeCodeGen

_WRITTEN = ("_code", "_lineno_map", "_prologue_start")
"""What a GraphModule has from its code being written."""


@contextmanager
def deferred_code() -> Iterator[None]:
    """Let a GraphModule write its code when that is asked for: when the module is called, or its text, or itself is saved.

    Lowering a decoder for an NPU leaves some 200 graphs of a thousand nodes, and calls none of them: a pass reads the graph.
    torch.fx has modules of this kind, for whoever makes them so (torch/fx/_lazy_graph_module.py); ExecuTorch does not.
    Modules that have no code yet at the end write it later, just so.
    """
    recompile = GraphModule.recompile

    def defer(module: GraphModule) -> _Code:
        codegen = module.graph._codegen
        if isinstance(codegen, _PyTreeCodeGen):
            module._in_spec, module._out_spec = codegen.pytree_info.in_spec, codegen.pytree_info.out_spec
        own: Any = type(module)  # a class of this module alone
        own.forward, own.__reduce__ = run, save
        for name in _WRITTEN:
            module.__dict__.pop(name, None)
            setattr(own, name, _Written(name, recompile))
        for child in module.children():
            if isinstance(child, GraphModule):
                child.recompile()
        return _Code(module, recompile)

    def run(module: GraphModule, *inputs: Any, **keywords: Any) -> Any:
        recompile(module)
        return module.forward(*inputs, **keywords)

    def save(module: GraphModule) -> Any:
        recompile(module)
        return super(type(module), module).__reduce__()

    GraphModule.recompile = defer  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        GraphModule.recompile = recompile  # type: ignore[method-assign]


class _Written:
    """An attribute that a module of deferred code does not have yet."""

    def __init__(self, name: str, recompile: Any) -> None:
        self._name, self._recompile = name, recompile

    def __get__(self, module: GraphModule | None, owner: type) -> Any:
        if module is None:
            return self
        self._recompile(module)
        return module.__dict__[self._name]


class _Code:
    """What `recompile` returns: the code, written when something of it is read."""

    def __init__(self, module: GraphModule, recompile: Any) -> None:
        self._module, self._recompile = module, recompile

    def __getattr__(self, name: str) -> Any:
        return getattr(self._recompile(self._module), name)

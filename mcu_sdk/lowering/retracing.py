"""ExecuTorch's passes, which trace the whole graph again each time, without asking for every shape anew.

A pass calls every operator of a graph on tensors without data to learn the shapes and dtypes of what comes out, and makes
a new graph of the calls. Lowering a decoder for an NPU is some 70 such passes over a thousand calls, nearly all of which
are what they were in the pass before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.fx import Interpreter, Node, Proxy
from torch.fx.immutable_collections import immutable_dict, immutable_list
from torch.utils import _pytree

_PLAIN = (type(None), bool, int, float, str)
_SHAPELESS = (torch.dtype, torch.device, torch.layout, torch.memory_format)


@contextmanager
def remembered_shapes() -> Iterator[Shapes]:
    """Let a call in a pass return the tensors without data that the same operator gave for the same arguments before.

    The arguments are the same where their tensors have the same shapes, strides and types. Two calls of one graph with the same
    arguments get tensors of their own, as without this. For one target: what ExecuTorch's TOSA operators give depends on it.
    """
    from executorch.exir import pass_base

    traced: Any = pass_base._ExportPassBase
    tracer: Any = pass_base.ExportPass.ExportTracer
    kept = traced.ExportInterpreter.run_node, tracer.create_arg, pass_base.pytree
    shapes = Shapes()

    def create_arg(self: Any, value: Any) -> Any:
        """As PyTorch's, which asks of each argument whether it is one of some twenty rare things first."""
        kind = type(value)
        if kind is Proxy:
            return value.node
        if kind in _PLAIN:
            return value
        if kind is tuple:
            return tuple([create_arg(self, each) for each in value])
        if kind is list or kind is immutable_list:
            return [create_arg(self, each) for each in value]
        return kept[1](self, value)

    traced.interpreter = property(_interpreter, shapes.watch)
    traced.ExportInterpreter.run_node, tracer.create_arg = _run_node, create_arg
    pass_base.pytree = _Pytree(pass_base.ProxyValue)
    try:
        yield shapes
    finally:
        traced.ExportInterpreter.run_node, tracer.create_arg, pass_base.pytree = kept
        del traced.interpreter


class Shapes:
    """What operators gave, by themselves and their arguments: one result for each call of a graph that is the same."""

    def __init__(self) -> None:
        self._results: dict[Any, list[Any]] = {}
        self._modes: list[Any] = []
        """Named by their addresses in keys: no other object may come to lie there."""

    def of(
        self,
        call: Callable[..., Any],
        target: Any,
        arguments: tuple[Any, ...],
        keywords: dict[str, Any],
        mode: Any,
        seen: Counter[Any],
    ) -> Any:
        """What `call(target, arguments, keywords)` gives in the mode of tensors without data; `seen` are the calls of one graph.
        Raises Unknown."""
        operator = _operator(target)
        key = torch.is_grad_enabled(), operator, _key(arguments), _key(keywords), id(mode)
        results = self._results.setdefault(key, [])
        number = seen[key]
        seen[key] += 1
        if number < len(results):
            return results[number]
        result = call(target, arguments, keywords)
        if number == len(results) and all(_is_shape(each) for each in _pytree.tree_leaves(result)):
            results.append(result)
            self._modes.append(mode)
        return result

    def watch(self, traced: Any, interpreter: Interpreter) -> None:
        """Sets a pass's `interpreter`: what its calls go through, another one for each graph."""
        if "call_function" not in vars(interpreter):
            watched: Any = interpreter
            call, seen = interpreter.call_function, Counter[Any]()

            def remembered(target: Any, arguments: Any, keywords: Any) -> Any:
                try:
                    return self.of(call, target, arguments, keywords, traced.fake_tensor_mode, seen)
                except Unknown:
                    return call(target, arguments, keywords)

            watched.call_function = remembered
        vars(traced)["interpreter"] = interpreter


class Unknown(Exception):
    """A call that cannot be told from others by its arguments alone."""


def _operator(target: Any) -> Any:
    """The operator, where it only computes, and gives memory of its own. Raises Unknown."""
    schema = getattr(target, "_schema", None)
    schema = getattr(schema, "schema", schema)  # of ExecuTorch's dialect
    if schema is None or schema.is_mutable or any(each.alias_info is not None for each in schema.returns):
        raise Unknown
    return target


def _key(value: Any) -> Any:
    """A hashable stand-in for an argument. Raises Unknown."""
    kind = type(value)
    if kind is FakeTensor:
        if not _is_shape(value):
            raise Unknown
        place = value.storage_offset(), value.layout, value.device, value.requires_grad
        return kind, tuple(value.shape), value.stride(), value.dtype, *place
    if kind in _PLAIN:
        return kind, value
    if kind in (tuple, list, immutable_list):
        return tuple([_key(each) for each in value])
    if isinstance(value, dict):
        return tuple([(name, _key(each)) for name, each in value.items()])
    if isinstance(value, _SHAPELESS):
        return value
    raise Unknown


def _is_shape(value: Any) -> bool:
    """Whether a result is a tensor without data, and says nothing of what its values are."""
    return type(value) is FakeTensor and value.constant is None and not value._has_symbolic_sizes_strides


def _interpreter(traced: Any) -> Any:
    return vars(traced)["interpreter"]


def _run_node(self: Any, node: Node) -> Any:
    """As ExecuTorch's, but the node's text, which one pass wants in its errors, is only made when it is read."""
    self.node, self.callback.node_debug_str = node, _Text(node)
    return Interpreter.run_node(self, node)


class _Text:
    """A node in words."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def __str__(self) -> str:
        return str(self._node.format_node())


class _Pytree:
    """torch.utils._pytree, with arguments of calls gone through at less cost."""

    def __init__(self, proxy_value: type) -> None:
        self._leaves = frozenset(
            (*_PLAIN, torch.dtype, torch.device, torch.layout, torch.memory_format, FakeTensor)
        )
        self._proxy_value = proxy_value

    def __getattr__(self, name: str) -> Any:
        return getattr(_pytree, name)

    def tree_map_only(self, wanted: Any, function: Callable[[Any], Any], tree: Any, *rest: Any) -> Any:
        """As torch.utils._pytree's."""
        if wanted is not self._proxy_value or rest:
            return _pytree.tree_map_only(wanted, function, tree, *rest)
        return self._map(function, tree)

    def _map(self, function: Callable[[Any], Any], tree: Any) -> Any:
        kind = type(tree)
        if kind is self._proxy_value:
            return function(tree)
        if kind in self._leaves:
            return tree
        if kind is tuple:
            return tuple([self._map(function, each) for each in tree])
        if kind is list or kind is immutable_list:
            return kind([self._map(function, each) for each in tree])
        if kind is dict or kind is immutable_dict:
            return kind({name: self._map(function, each) for name, each in tree.items()})
        return _pytree.tree_map_only(self._proxy_value, function, tree)

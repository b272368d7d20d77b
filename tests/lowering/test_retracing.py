"""Passes that learn no shape twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from executorch.exir.pass_base import ExportPass, _ExportPassBase
from torch.fx import GraphModule, Interpreter
from torch.fx.immutable_collections import immutable_list

from mcu_sdk.lowering import retracing
from mcu_sdk.lowering.retracing import remembered_shapes

aten = torch.ops.aten


class Net(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        first, second = torch.relu(x), torch.relu(x)
        return (*torch.split(first + second, [1, 2]), torch.cat([first, x], 1))


class Widened(ExportPass):  # type: ignore[misc]  # ExecuTorch carries no types
    """relu becomes a concatenation."""

    def call_operator(self, op: Any, args: Any, kwargs: Any, meta: Any) -> Any:
        if op is not aten.relu.default:
            return super().call_operator(op, args, kwargs, meta)
        return super().call_operator(aten.cat.default, ([args[0], args[0]], 1), {}, meta)


@pytest.fixture
def graph() -> GraphModule:
    module: GraphModule = torch.export.export(Net(), (torch.zeros(3, 2),)).graph_module
    return module


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The operators that passes ask for shapes, in order."""
    found: list[Any] = []
    call = Interpreter.call_function

    def watched(interpreter: Interpreter, target: Any, args: Any, kwargs: Any) -> Any:
        if not isinstance(interpreter, _ExportPassBase.ExportInterpreter):
            found.append(target)
        return call(interpreter, target, args, kwargs)

    monkeypatch.setattr(Interpreter, "call_function", watched)
    yield found


def _traced(graph: GraphModule, *passes: ExportPass) -> GraphModule:
    for each in passes:
        graph = each(graph).graph_module
    return graph


def _told(graph: GraphModule) -> list[Any]:
    """All there is of a graph, tensors as shape, strides and dtype."""
    return [
        (
            node.name,
            node.op,
            str(node.target),
            str(node.args),
            str(node.kwargs),
            sorted(node.meta),
            _shapes(node.meta),
        )
        for node in graph.graph.nodes
    ]


def _shapes(meta: dict[str, Any]) -> list[Any]:
    leaves = torch.utils._pytree.tree_leaves(meta.get("val"))
    return [(each.shape, each.stride(), each.dtype) for each in leaves if isinstance(each, torch.Tensor)]


def test_a_graph_that_stays_is_asked_for_once(graph: GraphModule, called: list[Any]) -> None:
    plain = _traced(graph, ExportPass(), ExportPass(), ExportPass())
    assert len(called) == 3 * len([n for n in graph.graph.nodes if n.op == "call_function"])
    called.clear()
    with remembered_shapes():
        found = _traced(graph, ExportPass(), ExportPass(), ExportPass())
    each_time = 3 * 3  # two getitems, which are no operators, and a split, which gives memory of others
    assert len(called) == len(plain.graph.nodes) - 2 - 3 + each_time
    assert _told(found) == _told(plain)


def test_what_reads_a_changed_call_is_asked_for_again(graph: GraphModule, called: list[Any]) -> None:
    plain = _traced(graph, ExportPass(), Widened(), ExportPass())
    with remembered_shapes():
        once = _traced(graph, ExportPass())
        called.clear()
        changed = _traced(once, Widened())
        assert called.count(aten.cat.default) == 2  # three, of which one reads what the one before did
        assert called.count(aten.add.Tensor) == 1
        assert _told(_traced(changed, ExportPass())) == _told(plain)


def test_calls_that_are_alike_have_tensors_of_their_own(graph: GraphModule) -> None:
    with remembered_shapes():
        found = _traced(graph, ExportPass(), ExportPass())
    first, second = (node.meta["val"] for node in found.graph.nodes if node.target is aten.relu.default)
    assert first is not second and first.shape == second.shape


def test_arguments_that_only_look_alike_are_told_apart() -> None:
    keys = [retracing._key(value) for value in (1, 1.0, True, "1", None, (1,), torch.int8, [1, [1]])]
    assert len(set(keys)) == len(keys)
    assert retracing._key([1]) == retracing._key(immutable_list([1]))
    with pytest.raises(retracing.Unknown):
        retracing._key(torch.zeros(1))


def test_what_changes_its_arguments_is_not_remembered() -> None:
    for target in (aten.add_.Tensor, len):
        with pytest.raises(retracing.Unknown):
            retracing._operator(target)
    assert retracing._operator(aten.add.Tensor) is aten.add.Tensor


def test_passes_are_as_they_were_afterwards(graph: GraphModule) -> None:
    from executorch.exir import pass_base

    names = ("run_node", "create_arg", "pytree")
    places = (_ExportPassBase.ExportInterpreter, ExportPass.ExportTracer, pass_base)
    before = [getattr(place, name) for place, name in zip(places, names, strict=True)]
    with remembered_shapes():
        made = ExportPass()
    with pytest.raises(ZeroDivisionError), remembered_shapes():
        raise ZeroDivisionError
    assert [getattr(place, name) for place, name in zip(places, names, strict=True)] == before
    assert not hasattr(_ExportPassBase, "interpreter")
    assert _told(_traced(graph, made)) == _told(_traced(graph, ExportPass()))

"""Graphs whose code is written when it is asked for."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator

import pytest
import torch
from torch.fx import Graph, GraphModule, symbolic_trace

from mcu_sdk.lowering.deferred_code import deferred_code


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Graph]]:
    """The graphs whose code is written, in order."""
    found: list[Graph] = []
    write = Graph.python_code

    def watched(graph: Graph, *arguments: object, **keywords: object) -> object:
        found.append(graph)
        return write(graph, *arguments, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr(Graph, "python_code", watched)
    yield found


def _traced() -> GraphModule:
    return symbolic_trace(lambda x: torch.relu(x) + 1)


def _doubled(module: GraphModule) -> GraphModule:
    """What a pass does: another result, and the code to be written again."""
    (returned,) = module.graph.output_node().args
    with module.graph.inserting_before(module.graph.output_node()):
        module.graph.output_node().args = (module.graph.call_function(torch.mul, (returned, 2)),)
    module.recompile()
    return module


X = torch.tensor([-1.0, 2.0])


def test_code_is_written_when_the_module_is_called(written: list[Graph]) -> None:
    with deferred_code():
        module = _traced()
        for _ in range(3):
            _doubled(module)
        assert not written
        assert torch.equal(module(X), torch.tensor([8.0, 24.0]))
        assert torch.equal(module(X), torch.tensor([8.0, 24.0]))
        assert written == [module.graph]


def test_a_module_that_has_run_runs_as_it_has_become() -> None:
    module = _traced()
    assert torch.equal(module(X), torch.tensor([1.0, 3.0]))
    with deferred_code():
        assert torch.equal(_doubled(module)(X), torch.tensor([2.0, 6.0]))


def test_a_module_without_code_outlives_the_context(written: list[Graph]) -> None:
    with deferred_code():
        called, read = _traced(), _traced()
    assert not written
    assert torch.equal(called(X), torch.tensor([1.0, 3.0]))
    assert "relu" in read.code
    assert len(written) == 2
    assert torch.equal(_doubled(read)(X), torch.tensor([2.0, 6.0]))


def test_copied_saved_and_printed_as_any_other() -> None:
    plain = _traced()
    with deferred_code():
        module = _traced()
        copied = copy.deepcopy(module)
        saved = pickle.loads(pickle.dumps(module))
        assert copied.code == saved.code == plain.code
        assert str(_traced()) == str(plain)
        assert module.recompile().src == plain.recompile().src
    for each in (module, copied, saved):
        assert torch.equal(each(X), plain(X))


def test_children_are_written_with_their_parent() -> None:
    inner = _traced()
    graph = Graph()
    graph.output(graph.call_module("inner", (graph.placeholder("x"),)))
    inner(X)
    with deferred_code():
        outer = GraphModule({"inner": inner}, graph)
        (returned,) = inner.graph.output_node().args
        inner.graph.output_node().args = (returned.args[0],)  # type: ignore[union-attr]
        outer.recompile()
        assert torch.equal(outer(X), torch.relu(X))


def test_the_modules_of_others_are_as_they_were() -> None:
    with deferred_code():
        _traced()
    recompile = GraphModule.recompile
    with pytest.raises(ZeroDivisionError), deferred_code():
        raise ZeroDivisionError
    assert GraphModule.recompile is recompile
    assert not hasattr(GraphModule, "_code")

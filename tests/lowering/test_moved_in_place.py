"""Views and permutations that move through a graph which stays."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from executorch.backends.transforms.propagate_view_copy_permute_pass import (
    PropagateViewCopyPermuteDownPass,
    PropagateViewCopyPermutePass,
    PropagateViewCopyPermuteUpPass,
)
from executorch.exir import EdgeCompileConfig, to_edge
from executorch.exir.pass_base import ExportPass
from torch.fx import GraphModule

from mcu_sdk.lowering.moved_in_place import moved_in_place
from mcu_sdk.lowering.retracing import remembered_shapes


class Net(torch.nn.Module):
    """Permutations and views around functions and a fork, which move several steps."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        turned = torch.sigmoid(torch.relu(x.permute(0, 2, 1)))
        back = torch.tanh(turned).permute(0, 2, 1)
        rows = torch.relu(turned.reshape(2, 12)).reshape(2, 4, 3)
        return torch.abs(back) + x, torch.neg(rows.permute(0, 2, 1)), torch.cat([x, back], 1).permute(2, 0, 1)


class Product(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.bmm(x, x.permute(0, 2, 1))


def graph(net: torch.nn.Module | None = None) -> GraphModule:
    config = EdgeCompileConfig(_check_ir_validity=False)
    program = to_edge(torch.export.export(net or Net(), (torch.zeros(2, 3, 4),)), compile_config=config)
    module: GraphModule = program.exported_program().graph_module
    return module


def told(module: GraphModule) -> list[Any]:
    leaves = torch.utils._pytree.tree_leaves
    return [
        (
            *(
                node.name,
                node.op,
                str(node.target),
                str(node.args),
                str(node.kwargs),
                [n.name for n in node.users],
            ),
            [(each.shape, each.stride(), each.dtype) for each in leaves(node.meta.get("val"))],
        )
        for node in module.graph.nodes
    ]


@pytest.mark.parametrize("kind", [PropagateViewCopyPermuteDownPass, PropagateViewCopyPermuteUpPass])
def test_the_same_graph_comes_out(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    traced: list[str] = []
    call = ExportPass.call

    def watched(self: ExportPass, module: GraphModule) -> Any:
        traced.append(type(self).__name__)
        return call(self, module)

    monkeypatch.setattr(ExportPass, "call", watched)
    plain = kind().call(graph())
    assert plain.modified and (before := traced.count(kind.__name__)) > 2
    traced.clear()
    with remembered_shapes() as shapes, moved_in_place(shapes):
        quick = kind().call(graph())
    assert quick.modified and traced.count(kind.__name__) == 1 < before
    assert told(quick.graph_module) == told(plain.graph_module)


def test_what_is_traced_otherwise_is_left_to_executorch() -> None:
    for net, stays in ((Net(), True), (Product(), False)):
        module = graph(net)
        with remembered_shapes() as shapes, moved_in_place(shapes):
            made = PropagateViewCopyPermuteUpPass()._retrace(module)
        assert (made is module) == stays
        assert [node.name for node in made.graph.nodes] == [node.name for node in module.graph.nodes]


def test_the_passes_are_as_they_were_afterwards() -> None:
    before = PropagateViewCopyPermutePass.call, PropagateViewCopyPermutePass._retrace
    with pytest.raises(ZeroDivisionError), remembered_shapes() as shapes, moved_in_place(shapes):
        raise ZeroDivisionError
    assert (PropagateViewCopyPermutePass.call, PropagateViewCopyPermutePass._retrace) == before

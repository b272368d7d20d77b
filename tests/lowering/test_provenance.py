"""Lowering without torch.fx's history of each node."""

from __future__ import annotations

import gc

import torch
from torch.fx import Interpreter, symbolic_trace, traceback

from mcu_sdk.lowering.provenance import without_provenance


def _depth(passes: int) -> int:
    """How many ancestors the first call's metadata names after so many passes."""
    graph = symbolic_trace(lambda x: torch.relu(x) + 1)
    node = next(node for node in graph.graph.nodes if node.op == "call_function")
    node.meta["kept"] = True
    found = 0
    for _ in range(passes):
        with traceback.preserve_node_meta(), traceback.set_current_meta(node):
            node.meta = dict(traceback.get_current_meta())
    sources = node.meta["from_node"]
    while sources:
        found, sources = found + 1, sources[0].from_node
    return found


def test_one_ancestor_instead_of_all() -> None:
    assert _depth(5) == 5
    with without_provenance():
        assert _depth(5) == 1
    assert _depth(5) == 5


def test_graphs_still_run() -> None:
    graph = symbolic_trace(lambda x: torch.relu(x) + 1)
    with without_provenance(), traceback.preserve_node_meta():
        assert torch.equal(Interpreter(graph).run(torch.tensor([-1.0, 2.0])), torch.tensor([1.0, 3.0]))


def test_what_lives_is_out_of_the_collectors_way_meanwhile() -> None:
    gc.unfreeze()
    with without_provenance():
        assert gc.get_freeze_count() > 0
    assert gc.get_freeze_count() == 0


def test_what_the_program_froze_itself_stays_frozen() -> None:
    gc.freeze()
    frozen = gc.get_freeze_count()
    with without_provenance():
        pass
    assert gc.get_freeze_count() == frozen

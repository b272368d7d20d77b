"""Lowering without the history that PyTorch keeps of every node."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch.fx import Node, traceback


class _Origin(traceback.NodeSource):
    """Where a node comes from, one pass back."""

    def __init__(self, node: Node | None, pass_name: str = "", action: Any = None) -> None:
        super().__init__(None, pass_name, action)
        if node is not None:
            self.node_info = self.NodeInfo(node.name, str(node.target), id(node.graph))


@contextmanager
def without_provenance() -> Iterator[None]:
    """Let passes over a graph keep only the node before: torch.fx copies the whole chain for every node of each pass.

    Lowering a decoder for an NPU runs some 130 passes; copying the chains was a quarter of its time. Nothing that
    decides about the program reads them. What lives already is also taken out of the garbage collector's way, after it
    has taken what is dead: the float model, say. A program that has frozen something itself is left to do so: there is
    no way to let go of ours alone.
    """
    kept = traceback.NodeSource
    traceback.NodeSource = _Origin  # type: ignore[misc]
    ours = gc.get_freeze_count() == 0
    gc.collect()
    if ours:
        gc.freeze()
    try:
        yield
    finally:
        if ours:
            gc.unfreeze()
        traceback.NodeSource = kept  # type: ignore[misc]

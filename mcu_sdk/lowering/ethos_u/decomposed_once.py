"""Lowering without tracing a program to decompose operators that it does not have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from executorch.exir.graph_module import contains_any_call_fn_target_op
from torch.export import ExportedProgram


@contextmanager
def decomposed_once() -> Iterator[None]:
    """Let a program be what it is where its operators have been decomposed in this context, and it has none of those asked for.

    `to_edge_transform_and_lower` decomposes three times, once to make the program functional, then what no partitioner wants
    whole, then what it has put aside meanwhile; each traces the whole graph again. For partitioners that do not look at
    single nodes ExecuTorch 1.5.1 leaves out the second by the same question; that for the Ethos-U does look.
    """
    decompose = ExportedProgram.run_decompositions
    made: list[ExportedProgram] = []

    def once(program: ExportedProgram, decomp_table: Any = None, **more: Any) -> ExportedProgram:
        known = decomp_table is not None and any(each is program for each in made)
        if known and not contains_any_call_fn_target_op(program.graph_module, decomp_table):
            return program
        made.append(decompose(program, decomp_table, **more))
        return made[-1]

    ExportedProgram.run_decompositions = once  # type: ignore[method-assign]
    try:
        yield
    finally:
        ExportedProgram.run_decompositions = decompose  # type: ignore[method-assign]

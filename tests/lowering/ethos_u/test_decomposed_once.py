"""Decomposing what is decomposed already."""

from __future__ import annotations

import pytest
import torch
from torch.export import ExportedProgram

from mcu_sdk.lowering.ethos_u.decomposed_once import decomposed_once

aten = torch.ops.aten


@pytest.fixture
def program() -> ExportedProgram:
    return torch.export.export(torch.nn.Hardswish(), (torch.zeros(2),))


def targets(program: ExportedProgram) -> list[object]:
    return [node.target for node in program.graph.nodes if node.op == "call_function"]


def test_a_program_without_the_operators_stays(program: ExportedProgram) -> None:
    table = torch.export.default_decompositions()
    with decomposed_once():
        functional = program.run_decompositions({})
        assert functional is not program, "it may not be functional yet"
        assert functional.run_decompositions({aten.silu.default: lambda x: x}) is functional
        spelt = functional.run_decompositions({aten.hardswish.default: table[aten.hardswish.default]})
        assert aten.hardswish.default in targets(functional)
        assert aten.hardswish.default not in targets(spelt) and aten.mul.Tensor in targets(spelt)
        assert spelt.run_decompositions() is not spelt, "PyTorch's own table was not asked for"
    assert functional.run_decompositions({}) is not functional
    spelt_again = program.run_decompositions({}).run_decompositions(table)
    assert targets(spelt_again) == targets(spelt)

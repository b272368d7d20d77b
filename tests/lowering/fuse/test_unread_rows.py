"""What nobody reads is not computed, and what is read has the same bits."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.fx import Node

import mcu_sdk.operators.reference  # noqa: F401  registers torch.ops.mcu
from mcu_sdk.lowering.fuse import fuse
from mcu_sdk.lowering.fuse.graph import aten, is_call, shape_of
from mcu_sdk.lowering.fuse.unread_rows import drop_unread_rows
from tests.lowering.test_sequence_s8 import LENGTH, WIDTH, Block, calls

mcu = torch.ops.mcu
ATTENTION = aten.scaled_dot_product_attention.default


class Classifier(Block):
    """The block, its norms behind the sums (BERT) or before them (ViT), and classes of one token."""

    def __init__(self, before: bool, read: str) -> None:
        super().__init__(spelt_out=False)
        self.before, self.read = before, read

    def forward(self, ids: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        x = self.words(ids) + self.places(torch.arange(LENGTH)[None])
        first = self.norms[0](x)
        x = x if self.before else first
        joined = self.attend(first, counts).transpose(1, 2).reshape(1, LENGTH, WIDTH)
        x = x + self.o(joined)
        normed = self.norms[1](x)
        x = x if self.before else normed
        x = self.norms[2](x + self.down(nn.functional.gelu(self.up(normed))))
        if self.read == "all":
            return self.head(x)
        if self.read == "two":
            classes = self.head(x)
            return classes[:, 0] + classes[:, 1]
        return self.head(x[:, 2] if self.read == "one" else x[:, -1:])


def fused(before: bool, read: str) -> tuple[nn.Module, torch.export.ExportedProgram]:
    torch.manual_seed(0)
    module = Classifier(before, read).eval()
    program = torch.export.export(module, calls()[0], strict=False).run_decompositions({})
    fuse(program, None, None)
    return module, program


def calls_of(program: torch.export.ExportedProgram, *targets: object) -> list[Node]:
    return [node for node in program.graph.nodes if is_call(node, *targets)]


@pytest.mark.parametrize("read", ["one", "last"])
@pytest.mark.parametrize("before", [False, True])
def test_one_row_is_computed_behind_the_last_keys_and_values(before: bool, read: str) -> None:
    module, program = fused(before, read)
    whole = program.module(check_guards=False)
    wanted = [whole(*call) for call in calls()]
    assert drop_unread_rows(program) > 8
    rows = [shape_of(node)[-2] for node in calls_of(program, aten.linear.default) if len(shape_of(node)) == 3]
    assert sorted(rows)[:4] == [1] * 4 and rows.count(LENGTH) == 2  # q, o, up, down (and the head); k, v
    (attention,) = calls_of(program, ATTENTION)
    assert shape_of(attention)[2] == 1
    assert [shape_of(value)[2] for value in attention.args[1:3] if isinstance(value, Node)] == [LENGTH] * 2
    assert [shape_of(norm)[1] for norm in calls_of(program, mcu.layer_norm.default)] == [LENGTH, 1, 1]
    narrow = program.module(check_guards=False)
    for call, expected in zip(calls(), wanted, strict=True):
        torch.testing.assert_close(narrow(*call), expected, rtol=0, atol=2e-6)  # PyTorch's own order of sums
        torch.testing.assert_close(expected, module(*call), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("read", ["all", "two"])
def test_what_is_read_otherwise_stays(read: str) -> None:
    _, program = fused(True, read)
    before = [(node.name, shape_of(node)) for node in program.graph.nodes]
    assert drop_unread_rows(program) == 0
    assert [(node.name, shape_of(node)) for node in program.graph.nodes] == before


class Moved(nn.Module):
    """A row behind views and turned axes, of a sum with a table of rows and one with a row for all."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 6)
        self.register_buffer("table", torch.randn(4, 6))
        self.register_buffer("row", torch.randn(6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.tanh(self.linear(x) + self.table) * self.row
        return y.view(1, 4, 2, 3).transpose(1, 2)[:, :, 3] * 2.0


def test_a_row_is_followed_through_moves_and_broadcasts() -> None:
    torch.manual_seed(1)
    module, x = Moved().eval(), torch.randn(1, 4, 6)
    program = torch.export.export(module, (x,), strict=False).run_decompositions({})
    assert drop_unread_rows(program) > 4
    assert [shape_of(node) for node in calls_of(program, aten.linear.default)] == [(1, 1, 6)]
    torch.testing.assert_close(program.module(check_guards=False)(x), module(x), rtol=0, atol=1e-6)


def test_a_softmax_over_the_rows_reads_all() -> None:
    class Normalized(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(6, 6)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.softmax(self.linear(x), 1)[:, 0]

    program = torch.export.export(Normalized(), (torch.randn(1, 4, 6),), strict=False).run_decompositions({})
    assert drop_unread_rows(program) == 0
    assert [shape_of(node) for node in calls_of(program, aten.linear.default)] == [(1, 4, 6)]

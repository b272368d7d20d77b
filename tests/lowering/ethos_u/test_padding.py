"""What hides a key on an NPU: one row beside the scores, no more than hides it, and 16 bits for what reads it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mcu_sdk.board.npu_target import default_target
from mcu_sdk.lowering.ethos_u import padding
from mcu_sdk.lowering.ethos_u.module import quantize_module
from mcu_sdk.lowering.guard import outputs_of

LENGTH, HEADS, SIZE = 12, 2, 8


class Attention(nn.Module):
    """As transformers' eager attention, over looked-up rows. `table`: what else is added to the scores."""

    def __init__(self, table: torch.Tensor | None = None, *, product: bool = False) -> None:
        super().__init__()
        self.rows = nn.Embedding(30, HEADS * SIZE)
        self.projections = nn.ModuleList(nn.Linear(HEADS * SIZE, HEADS * SIZE) for _ in range(3))
        self.table, self.product = table, product

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        rows = self.rows(ids)
        query, key, value = (
            layer(rows).view(1, LENGTH, HEADS, SIZE).transpose(1, 2) for layer in self.projections
        )
        hidden = (1.0 - mask[:, None, None].to(rows.dtype)) * torch.finfo(rows.dtype).min
        if self.table is not None:
            hidden = hidden + self.table
        scores = torch.matmul(query, key.transpose(2, 3)) * 0.5
        if self.product:
            shares = scores.softmax(-1) * mask[:, None, None].to(rows.dtype)
        else:
            shares = (scores + hidden).softmax(-1)
        mixed: torch.Tensor = torch.matmul(shares, value).transpose(1, 2).reshape(1, LENGTH, HEADS * SIZE)
        return mixed


def calls(count: int = 6) -> list[tuple[torch.Tensor, ...]]:
    generator = torch.Generator().manual_seed(0)
    found = []
    for number in range(count):
        length = LENGTH if number == 0 else int(torch.randint(3, LENGTH, (), generator=generator))
        mask = (torch.arange(LENGTH)[None] < length).long()
        found.append((torch.randint(0, 30, (1, LENGTH), generator=generator), mask))
    return found


def made(**settings: object) -> Attention:
    torch.manual_seed(0)
    return Attention(**settings).eval()


BIAS = torch.linspace(-2, 2, HEADS * LENGTH * LENGTH).reshape(1, HEADS, LENGTH, LENGTH)


@pytest.mark.parametrize("table", [None, BIAS], ids=["padding", "padding and a bias"])
def test_a_row_hides_what_the_mask_hides(table: torch.Tensor | None) -> None:
    module, given = made(table=table), calls()
    program = torch.export.export(module, given[0], strict=False)
    assert padding.add_rows(program) == 1
    graph = program.module(check_guards=False)
    rows = [node for node in graph.graph.nodes if node.name.startswith(padding.ROW)]
    assert len(rows) == 1 and tuple(rows[0].meta["val"].shape) == (1, 1, 1, LENGTH)
    for call in given:
        assert torch.allclose(graph(*call), module(*call), atol=1e-6)
    masked = padding.bound(graph, given)
    assert masked is not None and -60 < masked < -padding.NOTHING_LEFT
    assert min(float(value.min()) for value in graph.buffers()) >= masked
    for call in given:
        assert torch.allclose(graph(*call), module(*call), atol=1e-4)


def test_another_use_of_the_mask_stays() -> None:
    module, given = made(product=True), calls()
    program = torch.export.export(module, given[0], strict=False)
    assert padding.add_rows(program) == 0
    assert padding.bound(program.module(check_guards=False), given) is None


def test_attention_under_a_row_keeps_its_precision() -> None:
    """int8 for scores and what hides them would leave some 3 bits of the scores."""
    module, given = made(), calls()
    program, facts = quantize_module(module, given[0], given, default_target("ethos-u55-128"))
    widths = {
        str(node.args[5])
        for node in program.graph.nodes
        if node.op == "call_function" and "quantize_per_tensor" in str(node.target)
    }
    assert widths == {"torch.int8", "torch.int16"}
    assert facts["accuracy"]["relative_rms_error"] < 0.03  # 0.016 was measured
    short = given[1]
    other = (torch.where(short[1].bool(), short[0], (short[0] + 7) % 30), short[1])
    graph = program.module(check_guards=False)
    shown = short[1].bool()[0]
    (found,), (same,) = outputs_of(graph, short), outputs_of(graph, other)
    assert torch.equal(found[0, shown], same[0, shown])  # what fills a text up counts for nothing

"""Scores of query and distance, and of key and distance, however they are spelt, become one operator; others stay."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram, export

import mcu_sdk
from mcu_sdk.lowering.fuse import fuse
from mcu_sdk.lowering.fuse.graph import is_call
from mcu_sdk.planning.pte.read import read_pte
from mcu_sdk.project.interpret import Interpreter

LENGTH, HEADS, WIDTH, REACH = 7, 2, 8, 4


class Disentangled(nn.Module):
    """DeBERTa's attention; `of_keys` and `of_queries`: which parts it has. `odd`: another table in one place."""

    def __init__(self, of_keys: bool, of_queries: bool, odd: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.q, self.k, self.v, self.out = (nn.Linear(HEADS * WIDTH, HEADS * WIDTH) for _ in range(4))
        self.of_keys, self.of_queries = of_keys, of_queries
        self.table = nn.Parameter(torch.randn(HEADS, 2 * REACH, WIDTH))
        places = (torch.arange(LENGTH)[:, None] - torch.arange(LENGTH)).clamp(-REACH, REACH - 1) + REACH
        if odd:
            places[0, 1] = 0
        self.register_buffer("places", places)

    def heads(self, x: Tensor) -> Tensor:
        return x.view(1, LENGTH, HEADS, WIDTH).permute(0, 2, 1, 3).contiguous().view(HEADS, LENGTH, WIDTH)

    def forward(self, x: Tensor, counts: Tensor) -> Tensor:
        q, k, v = (self.heads(linear(x)) for linear in (self.q, self.k, self.v))
        scores = torch.bmm(q, k.transpose(1, 2) / 3.0)
        places = self.places.expand(HEADS, LENGTH, LENGTH)
        if self.of_keys:
            scores = scores + torch.gather(torch.bmm(q, self.table.transpose(1, 2)), 2, places) / 5.0
        if self.of_queries:
            pairs = torch.bmm(k, -self.table.transpose(1, 2))
            scores = scores + torch.gather(pairs, 2, places.mT).transpose(1, 2) / 7.0
        mask = counts[:, None, None, :] * counts[:, None, :, None]
        scores = scores[None].masked_fill(~mask.bool(), torch.finfo(torch.float32).min)
        mixed = torch.bmm(torch.softmax(scores, -1).view(HEADS, LENGTH, LENGTH), v)
        rows = mixed.view(1, HEADS, LENGTH, WIDTH).permute(0, 2, 1, 3).contiguous()
        result: Tensor = self.out(rows.view(1, LENGTH, -1))
        return result


class Shifted(nn.Module):
    """Transformer-XL's attention, as Conformers have it: constants beside the queries, of the keys and of the distances.
    `called`: by scaled_dot_product_attention."""

    def __init__(self, called: bool, odd: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.q, self.k, self.v, self.out = (nn.Linear(HEADS * WIDTH, HEADS * WIDTH) for _ in range(4))
        self.places = nn.Linear(HEADS * WIDTH, HEADS * WIDTH, bias=False)
        self.of_keys, self.of_places = (nn.Parameter(torch.randn(HEADS, WIDTH)) for _ in range(2))
        self.register_buffer("waves", torch.randn(1, 2 * LENGTH - 1, HEADS * WIDTH))
        self.register_buffer("more", torch.randn(LENGTH, LENGTH) if odd else torch.zeros(1))
        self.called = called

    def heads(self, x: Tensor) -> Tensor:
        return x.view(1, -1, HEADS, WIDTH).transpose(1, 2)

    def forward(self, x: Tensor, counts: Tensor) -> Tensor:
        q, k, v = (self.heads(linear(x)) for linear in (self.q, self.k, self.v))
        places = self.places(self.waves).view(1, -1, HEADS, WIDTH).permute(0, 2, 3, 1)
        pairs = torch.matmul(q + self.of_places[None, :, None], places)
        shape = pairs.shape
        pairs = nn.functional.pad(pairs, (1, 0)).view(1, HEADS, 2 * LENGTH, LENGTH)
        pairs = pairs[..., 1:, :].view(shape)[..., :LENGTH] * WIDTH**-0.5 + self.more
        q = q + self.of_keys[None, :, None]
        if self.called:
            mixed = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=pairs)
        else:
            mixed = torch.softmax(torch.matmul(q, k.mT) * WIDTH**-0.5 + pairs, -1) @ v
        result: Tensor = self.out(mixed.transpose(1, 2).reshape(1, LENGTH, -1))
        return result


def calls() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    shape = (1, LENGTH, HEADS * WIDTH)
    counts = [LENGTH, 3, 5, LENGTH, 1, 6]
    return [
        (torch.randn(shape, generator=generator), (torch.arange(LENGTH) < count)[None].long())
        for count in counts
    ]


def fused(module: nn.Module) -> ExportedProgram:
    """The fused program, which computes what the module computes."""
    with torch.no_grad():
        program = export(module, calls()[0]).run_decompositions({})
        fuse(program, None, None)
        for call in calls():
            torch.testing.assert_close(program.module()(*call), module(*call), rtol=1e-4, atol=1e-4)
    return program


def is_one(program: ExportedProgram) -> bool:
    target = torch.ops.mcu_fused.relative_attention.default
    return sum(is_call(node, target) for node in program.graph.nodes) == 1


@pytest.mark.parametrize(("of_keys", "of_queries"), [(True, True), (True, False), (False, True)])
def test_parts(of_keys: bool, of_queries: bool) -> None:
    assert is_one(fused(Disentangled(of_keys, of_queries)))


@pytest.mark.parametrize("called", [True, False])
def test_constants_beside_the_queries(called: bool) -> None:
    program = fused(Shifted(called))
    assert is_one(program)
    assert not any(
        is_call(node, torch.ops.aten.add.Tensor) for node in program.graph.nodes
    )  # in the linear's bias


def test_a_table_that_follows_no_distance_stays() -> None:
    assert not is_one(fused(Disentangled(True, True, odd=True)))
    assert not is_one(fused(Shifted(True, odd=True)))


@pytest.mark.parametrize("module", [Disentangled(True, True), Shifted(True)], ids=lambda m: type(m).__name__)
def test_it_is_int8_and_close_to_float(module: nn.Module) -> None:
    program = read_pte(mcu_sdk.compile_module(module, calls()[0], calibration=calls()).pte)
    counts = Counter(instruction.operator for instruction in program.instructions)
    assert counts["mcu::relative_attention_s8"] == 1
    assert not any(
        name in counts for name in ("aten::bmm", "aten::gather", "aten::_softmax", "aten::permute_copy")
    )
    interpreter = Interpreter(program)
    with torch.no_grad():
        wanted = torch.cat([module(*call) for call in calls()])
    found = torch.cat([interpreter.run(*call)[0] for call in calls()])
    assert float((found - wanted).norm() / wanted.norm()) < 0.06


@pytest.mark.slow
def test_at_run_time_scales_it_is_spelt_out() -> None:
    module = Disentangled(True, True)
    program = read_pte(mcu_sdk.compile_module(module, calls()[0], activations="dynamic").pte)
    assert "aten::gather" in {instruction.operator for instruction in program.instructions}
    with torch.no_grad():
        wanted = module(*calls()[1])
    found = Interpreter(program).run(*calls()[1])[0]
    assert float((found - wanted).norm() / wanted.norm()) < 0.06

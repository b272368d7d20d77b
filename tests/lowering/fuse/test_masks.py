"""Masks over a whole sequence are read by what they compute: padding, a table, both, or neither of these."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from mcu_sdk.lowering.fuse.attention import fuse_attention
from mcu_sdk.lowering.fuse.graph import args, aten, is_call
from mcu_sdk.lowering.fuse.masks import INVISIBLE, read_mask, simplify_masks

L = 6
Q = torch.randn(1, 2, L, 8, generator=torch.Generator().manual_seed(0))
LEAST = torch.finfo(torch.float32).min


def window(mask: torch.Tensor) -> torch.Tensor:
    near = (torch.arange(L)[:, None] - torch.arange(L)).abs() < 3
    return mask.bool()[:, None, None, :] & near


SPELLINGS: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], bool]] = {
    "bool": (lambda m: m.bool()[:, None, None, :].expand(1, 1, L, L), False),
    "added": (lambda m: (1.0 - m[:, None, None, :].float()) * LEAST, False),
    "infinite": (lambda m: torch.where(m[:, None, None, :] == 0, -torch.inf, 0.0), False),
    "window": (window, True),
    "alibi": (
        lambda m: (
            (1.0 - m[:, None, None, :].float()) * LEAST
            + torch.tensor([0.5, 0.25])[None, :, None, None]
            * -(torch.arange(L)[:, None] - torch.arange(L)).abs()
        ),
        True,
    ),
}


class Attention(nn.Module):
    def __init__(self, spelling: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.spelling = spelling

    def forward(self, q: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        first = nn.functional.scaled_dot_product_attention(q, q, q, self.spelling(mask))
        return nn.functional.scaled_dot_product_attention(first, q, q, self.spelling(mask))


def exported(spelling: Callable[[torch.Tensor], torch.Tensor]) -> torch.export.ExportedProgram:
    call = (Q, torch.ones(1, L, dtype=torch.int64))
    return torch.export.export(Attention(spelling), call, strict=False).run_decompositions({})


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_padding_mask_however_it_is_spelt(name: str) -> None:
    spelling, has_table = SPELLINGS[name]
    program = exported(spelling)
    simplify_masks(program)
    calls = [n for n in program.graph.nodes if is_call(n, aten.scaled_dot_product_attention.default)]
    assert len({args(call)[3] for call in calls}) == 1, "equal masks are computed once"
    read = read_mask(program, args(calls[0])[3], (L, L))
    assert read is not None and read.padding is not None and (read.table is not None) == has_table
    program.graph_module.recompile()
    for count in (1, 4, L):
        mask = (torch.arange(L) < count)[None].long()
        visible = spelling(mask) if spelling(mask).dtype == torch.bool else spelling(mask) > LEAST / 2
        seen = visible.any(-1).expand(1, 2, L)  # PyTorch has zeros for a query that sees no key
        found, wanted = program.module(check_guards=False)(Q, mask), Attention(spelling)(Q, mask)
        torch.testing.assert_close(found[seen], wanted[seen])


def test_what_no_input_decides_is_a_constant_or_goes() -> None:
    program = exported(lambda m: torch.ones(1, 1, L, L, dtype=torch.bool))
    simplify_masks(program)
    call = next(n for n in program.graph.nodes if is_call(n, aten.scaled_dot_product_attention.default))
    assert args(call)[3] is None
    program = exported(lambda m: torch.ones(1, 1, L, L, dtype=torch.bool).tril())
    call = next(n for n in program.graph.nodes if is_call(n, aten.scaled_dot_product_attention.default))
    read = read_mask(program, args(call)[3], (L, L))
    assert read is not None and read.padding is None and read.table is not None
    assert torch.equal(read.table[0] == INVISIBLE, ~torch.ones(L, L).tril().bool())


@pytest.mark.parametrize(
    "spelling",
    [
        lambda m: m.bool()[:, None, :, None].expand(1, 1, L, L),  # queries, not keys
        lambda m: m.float()[:, None, None, :] * 2.0,  # a preference
        lambda m: (m.cumsum(-1) % 2).bool()[:, None, None, :].expand(1, 1, L, L),
    ],
)
def test_a_mask_that_does_something_else_stays(spelling: Callable[[torch.Tensor], torch.Tensor]) -> None:
    program = exported(spelling)
    call = next(n for n in program.graph.nodes if is_call(n, aten.scaled_dot_product_attention.default))
    before = args(call)[3]
    simplify_masks(program)
    assert args(call)[3] is before


class Filled(nn.Module):
    """Attention spelt out, whose scores are filled where the mask says so, with `value`: XLM's."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, q: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        scores = torch.matmul(q / 8**0.5, q.transpose(2, 3))
        scores = scores.masked_fill((mask == 0).view(1, 1, 1, L).expand_as(scores), self.value)
        return torch.matmul(torch.softmax(scores, -1), q)


@pytest.mark.parametrize(("value", "is_fused"), [(LEAST, True), (-torch.inf, True), (-1.0, False)])
def test_scores_that_are_filled(value: float, is_fused: bool) -> None:
    """A value that leaves something of a key is no mask."""
    module, ones = Filled(value), torch.ones(1, L, dtype=torch.int64)
    program = torch.export.export(module, (Q, ones), strict=False).run_decompositions({})
    assert fuse_attention(program) == is_fused
    program.graph_module.recompile()
    for count in (1, 4, L):
        mask = (torch.arange(L) < count)[None].long()
        torch.testing.assert_close(program.module(check_guards=False)(Q, mask), module(Q, mask))

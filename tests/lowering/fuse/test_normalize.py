"""The plainer form of a step keeps what it computes."""

from __future__ import annotations

import torch

from mcu_sdk.lowering.fuse.graph import aten
from mcu_sdk.lowering.fuse.normalize import normalize


class _Filled(torch.nn.Module):
    """Gemma 3's words for images, read as padding."""

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        known = ids.clone()
        known[ids == 7] = 0
        return known + 1


def test_a_number_put_where_a_mask_says_is_a_choice_for_each_element() -> None:
    ids = torch.tensor([[3, 7, 9, 7]])
    program = torch.export.export(_Filled(), (ids,)).run_decompositions({})
    assert any(node.target == aten.index_put.default for node in program.graph.nodes)
    normalize(program)
    assert not any(node.target == aten.index_put.default for node in program.graph.nodes)
    assert torch.equal(program.module()(ids), torch.tensor([[4, 1, 10, 1]]))


class _Spelt(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        softplus = torch.nn.functional.softplus(9 * x)
        limited = x.clamp(min=x[0]), x.clamp(x[0], x[1].abs())
        return torch.log1p(x.exp()), softplus, *limited, *x.max(-1), *x.max(0, keepdim=True)


def test_logarithms_and_extrema_are_spelt_out() -> None:
    x = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    program = torch.export.export(_Spelt(), (x,)).run_decompositions({})
    wanted = program.module()(x)
    normalize(program)
    left = {node.target for node in program.graph.nodes}
    assert not left & {aten.log1p.default, aten.softplus.default, aten.max.dim, aten.clamp.Tensor}
    torch.testing.assert_close(program.module()(x), wanted, rtol=1e-6, atol=2e-7)


class _Counted(torch.nn.Module):
    """How many tokens are masked, as ESM wants to know."""

    def forward(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        masked = ids == 7
        return masked.sum(-1), masked.sum()


def test_booleans_are_counted_as_integers() -> None:
    ids = torch.tensor([[3, 7, 9, 7], [1, 2, 3, 4]])
    program = torch.export.export(_Counted(), (ids,)).run_decompositions({})
    normalize(program)
    sums = [node for node in program.graph.nodes if str(node.target).startswith("aten.sum")]
    assert [node.args[0].meta["val"].dtype for node in sums] == [torch.int64] * 2  # type: ignore[union-attr]
    rows, whole = program.module()(ids)
    assert rows.tolist() == [2, 0] and int(whole) == 2


class _Hidden(torch.nn.Module):
    """Shares as SEW-D takes them, whose masks nothing decides where there is no padding."""

    def __init__(self, hidden: bool) -> None:
        super().__init__()
        self.hidden = hidden

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mask = torch.ones(x.shape[-1])
        mask[-1] = float(not self.hidden)
        shares = torch.softmax(x.masked_fill(mask == 0, torch.tensor(-1e9)), -1)
        return shares.masked_fill(mask == 0, 0.0)


def test_masks_that_hide_nothing_are_dropped() -> None:
    x = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
    fills = {aten.masked_fill.Scalar, aten.masked_fill.Tensor}
    for hidden in (False, True):
        program = torch.export.export(_Hidden(hidden), (x,)).run_decompositions({})
        wanted = program.module()(x)
        normalize(program)
        found = [node for node in program.graph.nodes if node.target in fills]
        assert len(found) == (2 if hidden else 0)
        torch.testing.assert_close(program.module()(x), wanted, rtol=0, atol=0)

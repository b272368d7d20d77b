"""Pools of rows are means and greatest values of windows, the last one too where it ends early; others stay pools."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.export import export
from torch.nn.functional import avg_pool2d, max_pool2d

from mcu_sdk.lowering.fuse import fuse
from mcu_sdk.lowering.fuse.channels_last import POOLS
from mcu_sdk.lowering.fuse.graph import is_call


class Pool(nn.Module):
    def __init__(self, pool: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(x)


def pools_left(pool: Callable[[Tensor], Tensor], *shape: int) -> int:
    """How many pools a fused module has, which computes what the module computes."""
    module, x = Pool(pool), torch.randn(shape, generator=torch.Generator().manual_seed(0))
    program = export(module, (x,)).run_decompositions({})
    fuse(program, None, None)
    torch.testing.assert_close(program.module()(x), module(x), rtol=1e-6, atol=1e-6)
    return sum(is_call(node, *POOLS) for node in program.graph.nodes)


@pytest.mark.parametrize(("length", "rounds_up"), [(1, True), (6, False), (6, True), (7, False), (7, True)])
@pytest.mark.parametrize("pool", [avg_pool2d, max_pool2d])
def test_rows(pool: Callable[..., Tensor], length: int, rounds_up: bool) -> None:
    assert not pools_left(lambda x: pool(x[:, None], (2, 1), (2, 1), ceil_mode=rounds_up)[:, 0], 1, length, 5)


def test_columns() -> None:
    assert not pools_left(lambda x: avg_pool2d(x, (1, 3), ceil_mode=True), 1, 1, 2, 7)


def test_images_and_windows_that_overlap_stay() -> None:
    assert pools_left(lambda x: avg_pool2d(x, (2, 1)), 1, 3, 4, 4) == 1
    assert pools_left(lambda x: max_pool2d(x, (2, 1), (1, 1)), 1, 1, 4, 4) == 1
    assert pools_left(lambda x: avg_pool2d(x, 2), 1, 1, 4, 4) == 1

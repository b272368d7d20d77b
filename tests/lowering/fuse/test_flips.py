"""Channels that are turned around before a convolution: its weights are turned; other flips stay."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.export import export

from mcu_sdk.lowering.fuse.flips import turn_weights
from mcu_sdk.lowering.fuse.graph import tidy


class Turned(nn.Module):
    def __init__(self, axis: int, groups: int, both: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.axis, self.both = nn.Conv2d(3, 6, 3, groups=groups), axis, both

    def forward(self, image: Tensor) -> Tensor:
        turned = image.flip(self.axis)
        result: Tensor = self.conv(nn.functional.pad(turned, (0, 1, 0, 1)))
        return result + turned.sum() if self.both else result


@pytest.mark.parametrize(
    ("axis", "groups", "both", "count"),
    [(1, 1, False, 1), (-3, 1, False, 1), (2, 1, False, 0), (1, 3, False, 0), (1, 1, True, 0)],
)
def test_turned(axis: int, groups: int, both: bool, count: int) -> None:
    module, image = Turned(axis, groups, both).eval(), torch.randn(1, 3, 8, 8)
    program = export(module, (image,), strict=False).run_decompositions({})
    assert turn_weights(program) == count
    tidy(program)
    assert sum("flip" in str(node.target) for node in program.graph.nodes) == 1 - count
    torch.testing.assert_close(program.module()(image), module(image))

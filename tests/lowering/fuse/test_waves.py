"""A sound's first convolution before a norm over all of it: a quiet sound loses no more than a loud one."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mcu_sdk.lowering.fuse import fuse
from mcu_sdk.lowering.fuse.graph import aten, is_call
from mcu_sdk.lowering.quantize import quantize

mcu = torch.ops.mcu
CHANNELS = 8


class Hearing(nn.Module):
    """As Moonshine begins: samples float32[1, N] -> float32[1, T', C]."""

    def __init__(self, window: int, step: int, groups: int = 1, bias: bool = False) -> None:
        super().__init__()
        self.hears = nn.Conv1d(1, CHANNELS, window, step, bias=bias)
        self.norm = nn.GroupNorm(groups, CHANNELS)
        self.next = nn.Conv1d(CHANNELS, CHANNELS, 3, 2)
        for parameter in self.parameters():
            parameter.data = 0.5 * torch.randn_like(parameter)

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        heard = self.norm(torch.tanh(self.hears(samples[:, None])))
        return torch.nn.functional.gelu(self.next(heard)).transpose(1, 2)


def sounds(count: int) -> list[torch.Tensor]:
    """From as loud as can be down to a hundredth of it."""
    generator = torch.Generator().manual_seed(1)
    return [0.3 * torch.randn(1, count, generator=generator) / 10**power for power in (0, 1, 2)]


def fused(module: nn.Module, count: int) -> torch.export.ExportedProgram:
    program = torch.export.export(module.eval(), (sounds(count)[0],), strict=False).run_decompositions({})
    fuse(program, None, None)
    return program


@pytest.mark.parametrize(
    ("window", "step", "count", "bias"),
    [(7, 4, 200, False), (8, 4, 203, True), (3, 5, 97, False), (5, 5, 100, True)],
    ids=["overlapping", "two blocks", "gaps", "side by side"],
)
@torch.no_grad()
def test_windows_are_rows_of_a_linear(window: int, step: int, count: int, bias: bool) -> None:
    torch.manual_seed(0)
    module = Hearing(window, step, bias=bias)
    program = fused(module, count)
    convolutions = [node for node in program.graph.nodes if is_call(node, aten.conv2d.default)]
    assert len(convolutions) == 1  # the second
    for sound in sounds(count):
        torch.testing.assert_close(program.module()(sound), module(sound), rtol=2e-5, atol=2e-5)


@torch.no_grad()
def test_a_norm_of_single_channels_is_left_alone() -> None:
    program = fused(Hearing(7, 4, groups=CHANNELS), 200)
    assert sum(is_call(node, aten.conv2d.default) for node in program.graph.nodes) == 2


@torch.no_grad()
def test_quiet_sounds_lose_as_little_as_loud_ones() -> None:
    """A hundredth of the loudest had three levels of int8: it lost 0.3 of its result, and now 0.03."""
    torch.manual_seed(0)
    module, given = Hearing(7, 4), sounds(200)
    program = fused(module, 200)

    def calibrate(prepared: torch.fx.GraphModule) -> None:
        for sound in given:
            prepared(sound)

    quantized = quantize(program, "static", calibrate, requantize=True)
    targets = [node.target for node in quantized.graph.nodes]
    assert mcu.linear_s8.default in targets and mcu.quantize_rows.default in targets
    for sound in given:
        wanted, found = module(sound), quantized.module(check_guards=False)(sound)
        assert float((found - wanted).norm() / wanted.norm()) < 0.06

"""What `generate` would refuse in the end is refused at once, by name."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import mcu_sdk
from mcu_sdk.errors import ModelError
from mcu_sdk.options import Activations


class Mixed(nn.Module):
    """What FNet has in the place of attention."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.fft.fftn(x, dim=(1, 2)).real


class Turned(nn.Module):
    """Rotary embedding as Llama 4 and DeepSeek-V2 spell it: each pair a complex number."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        turns = torch.polar(torch.ones(2), x[0, 0, :2])
        return torch.view_as_real(torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2)) * turns).flatten(-2)


@pytest.mark.parametrize(
    ("module", "shape", "activations", "said"),
    [
        (nn.ConvTranspose2d(3, 4, 2, dilation=2), (1, 3, 4, 4), "static", "a transposed convolution"),
        (nn.Conv2d(3, 4, 3), (2, 3, 6, 6), "static", "one image at a time"),
        (nn.Conv3d(3, 4, 1), (1, 3, 2, 2, 2), "static", "over three axes"),
        (nn.Conv2d(3, 4, 3), (1, 3, 6, 6), "dynamic", 'activations="static"'),
        (nn.Upsample(scale_factor=2, mode="bilinear"), (1, 3, 4, 4), "static", "a bilinear change of size"),
        (Mixed(), (1, 4, 8), "static", "a Fourier transform"),
        (Turned(), (1, 4, 4), "static", "complex ones are computed (aten.polar.default gives [2])"),
    ],
)
def test_refused_by_name(
    module: nn.Module, shape: tuple[int, ...], activations: Activations, said: str, monkeypatch: Any
) -> None:
    def no_lowering(*arguments: Any) -> None:
        raise AssertionError("lowered before it was refused")

    monkeypatch.setattr("mcu_sdk.lowering.quantize.quantize", no_lowering)
    with pytest.raises(ModelError) as refused:
        mcu_sdk.compile_module(module, torch.randn(shape), activations=activations)
    assert said in str(refused.value)

"""The float weights that a quantized program does not read are freed."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from mcu_sdk.lowering.quantize import drop_weights

MAPS = Path("/proc/self/maps")


@pytest.mark.skipif(not MAPS.exists(), reason="Linux's list of what a process maps")
def test_what_is_read_gets_memory_of_its_own_and_the_file_goes(tmp_path: Path) -> None:
    torch.manual_seed(1)
    norm, linear = nn.LayerNorm(8), nn.Linear(8, 64)
    model = nn.Sequential(norm, linear)
    nn.init.normal_(norm.weight)
    wanted = {name: value.clone() for name, value in norm.state_dict().items()}
    path = tmp_path / "weights.safetensors"
    save_file(model.state_dict(), path)
    model.load_state_dict(load_file(path), assign=True)
    program = torch.export.export(nn.Sequential(norm), (torch.randn(2, 8),))
    assert str(path) in MAPS.read_text()

    drop_weights(model, program)

    gc.collect()
    assert str(path) not in MAPS.read_text()
    assert linear.weight.numel() == linear.bias.numel() == 0
    for name, value in program.state_dict.items():
        assert torch.equal(value, wanted[name.removeprefix("0.")]), name

"""Every NPU that a board can have: an encoder and a decoder become one delegate each, compiled for that NPU."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import mcu_sdk
from mcu_sdk.board.npu_target import ACCELERATORS
from mcu_sdk.generation import generate
from mcu_sdk.options import CompileOptions, GenerateRequest
from mcu_sdk.planning.pte.read import read_pte
from mcu_sdk.project.npu_details import read_details
from mcu_sdk.project.opened import open_project
from tests.checkpoints import make_checkpoint

CACHE_LENGTH = 12
OF_EACH_KIND = ("ethos-u55-32", "ethos-u55-256", "ethos-u65-512", "ethos-u85-128", "ethos-u85-2048")
"""The decoder's others are for `make matrix`; the encoder is compiled for all."""


def board_of(accelerator: str) -> str:
    return "corstone-320" if "u85" in accelerator else "corstone-300"


def encoder(accelerator: str, folder: Path) -> GenerateRequest:
    """A convolution, a norm and a linear, given as a .pte of the Python API."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv1d(4, 8, 3), nn.ReLU(), nn.LayerNorm(6), nn.Linear(6, 5), nn.Softmax(-1))
    calls = [torch.randn(1, 4, 8) for _ in range(4)]
    board = board_of(accelerator)
    path = folder / "encoder.pte"
    mcu_sdk.compile_module(module, calls[0], calibration=calls, board=board, target=accelerator, output=path)
    return GenerateRequest(
        board, CompileOptions(), pte=path, target=accelerator, output=folder / "project", use_cache=False
    )


def decoder(accelerator: str, folder: Path) -> GenerateRequest:
    """A Llama of one layer with random weights: what differs between NPUs is in each layer alike."""
    return GenerateRequest(
        board_of(accelerator),
        CompileOptions(CACHE_LENGTH),
        model=str(make_checkpoint("llama-gqa-untied", folder, num_hidden_layers=1)),
        target=accelerator,
        output=folder / "project",
        use_cache=False,
    )


def check(request: GenerateRequest) -> None:
    """One delegate, of the NPU that was asked for; nothing of the model but its border left to the processor."""
    project = open_project(generate(request).project)
    pte = read_pte((project.folder / "model/model.pte").read_bytes())
    assert [delegate.accelerator for delegate in pte.delegates] == [request.target]
    details = read_details(project.folder / "model")
    assert details is not None and details.left == () and details.operations > 0
    (summary,) = details.estimates
    assert summary.cycles > 0 and summary.macs > 0 and summary.layers
    assert summary.sram_bytes + summary.dram_bytes > 0


@pytest.mark.slow
@pytest.mark.parametrize("accelerator", ACCELERATORS)
def test_encoder_is_generated(accelerator: str, tmp_path: Path) -> None:
    check(encoder(accelerator, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize(
    "accelerator",
    [pytest.param(name, marks=[] if name in OF_EACH_KIND else [pytest.mark.matrix]) for name in ACCELERATORS],
)
def test_decoder_is_generated(accelerator: str, tmp_path: Path) -> None:
    check(decoder(accelerator, tmp_path))

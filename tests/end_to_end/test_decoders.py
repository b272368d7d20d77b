"""Decoders with soft caps, biases by distance, turned pairs and counted positions: a Cortex-M55, a Cortex-M4 and this
computer compute the same bits, close to what transformers computes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mcu_sdk.board.board import load_board
from mcu_sdk.generation import generate
from mcu_sdk.lowering.accuracy import measure
from mcu_sdk.lowering.guard import checkpoint_logits
from mcu_sdk.options import CompileOptions, GenerateRequest
from mcu_sdk.project.build import build
from mcu_sdk.project.host_library import HostModel
from mcu_sdk.targets import host, qemu
from mcu_sdk.targets.protocol import Request
from tests.decoders import MODELS, save_small_decoder, small_decoder

CACHE = 40
PROMPT = (3, 5, 7)
SCALES = ("calibrated", "dynamic")
CASES = [
    pytest.param(
        name,
        scales,
        id=f"{name}-{scales}",
        marks=[pytest.mark.slow, *([] if (number + turn) % len(SCALES) == 0 else [pytest.mark.matrix])],
    )
    for number, name in enumerate(MODELS)
    for turn, scales in enumerate(SCALES)
]
"""Every other model with calibrated scales, the rest with those found at run time; the other halves are for `make matrix`."""


@pytest.mark.parametrize(("name", "scales"), CASES)
def test_every_target_computes_the_same(name: str, scales: str, tmp_path: Path) -> None:
    folder = str(save_small_decoder(name, tmp_path))
    options = CompileOptions(CACHE, "dynamic", scales)  # type: ignore[arg-type]
    asked = Request(ids=PROMPT, tokens=CACHE - len(PROMPT) + 1, past_end=True)
    digests = set()
    for board in ("corstone-300", "mps2-an386"):
        made = generate(GenerateRequest(board, options, model=folder, output=tmp_path / board))
        assert made.facts["left_in_float"] == []
        on_host = build(made.project, "host")
        digests.add(host.run(on_host.program, asked).digest)
        digests.add(qemu.run(load_board(board), build(made.project, "release").program, asked).digest)
    assert len(digests) == 1

    assert on_host.library is not None
    tokens = torch.arange(CACHE) % 40
    found = torch.from_numpy(HostModel(on_host.library).tokens(tokens.tolist()).copy())
    wanted = checkpoint_logits(small_decoder(name), tokens[None])[0]
    assert measure(found, wanted, logits=True).relative_rms_error < 0.15

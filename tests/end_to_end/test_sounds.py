"""Models of sound with their front end: cores with Helium, with DSP and the host compute the same bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import ASTFeatureExtractor, Wav2Vec2FeatureExtractor, WhisperFeatureExtractor

from mcu_sdk.board.board import load_board
from mcu_sdk.generation import generate
from mcu_sdk.options import CompileOptions, GenerateRequest
from mcu_sdk.project.build import build
from mcu_sdk.targets import host, qemu
from mcu_sdk.targets.protocol import Request
from tests.checkpoints import encoder_length, make_encoder

BOARDS = ("corstone-300", "mps2-an386", "mps2-an505")
"""A Cortex-M55, M4 and M33."""

FRONTS = {
    "ast": (ASTFeatureExtractor(max_length=20, num_mel_bins=12), {}, "mcu::log_mel"),
    "ast-stream": (ASTFeatureExtractor(max_length=20, num_mel_bins=12), {}, "mcu::log_mel"),
    "whisper": (
        WhisperFeatureExtractor(feature_size=8, chunk_length=1, hop_length=200),
        {"max_source_positions": 40},
        "mcu::log_mel",
    ),
    "wav2vec2": (Wav2Vec2FeatureExtractor(), {}, "mcu::normalize_wave"),
    "hubert": (Wav2Vec2FeatureExtractor(do_normalize=False), {}, "mcu::normalize_wave"),
}


@pytest.mark.slow
@pytest.mark.parametrize("family", FRONTS)
def test_fronts(family: str, tmp_path: Path) -> None:
    extractor, changes, operator = FRONTS[family]
    given: dict[str, Any] = dict(changes)
    name, _, streams = family.partition("-")
    checkpoint = make_encoder(name, tmp_path / "checkpoint", **given)
    extractor.save_pretrained(checkpoint)
    options = CompileOptions(encoder_length(name), stream=7 if streams else None)
    made = {
        board: generate(GenerateRequest(board, options, model=str(checkpoint), output=tmp_path / board))
        for board in ("host", *BOARDS)
    }
    assert operator in {planned.instruction.operator for planned in made["host"].plan.calls}
    assert made["host"].facts["sounds"]["front"] == "device"
    request = Request(steps=3, seed=1)
    expected = host.run(build(made["host"].project, "host").program, request).digest
    for board in BOARDS:
        program = build(made[board].project, "release").program
        assert qemu.run(load_board(board), program, request, timeout=300).digest == expected, board

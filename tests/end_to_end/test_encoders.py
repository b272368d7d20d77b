"""Encoders of each family, tiny and with random weights: cores with Helium, with DSP and the host compute the same bits, and
what they compute is close to transformers'."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcu_sdk.board.board import load_board
from mcu_sdk.generation import generate
from mcu_sdk.options import CompileOptions, GenerateRequest
from mcu_sdk.project.accuracy import accuracy_of
from mcu_sdk.project.build import build
from mcu_sdk.targets import host, qemu
from mcu_sdk.targets.protocol import Request
from tests.checkpoints import ENCODERS, encoder_length, make_encoder

BOARDS = ("corstone-300", "mps2-an386", "mps2-an505")
"""A Cortex-M55, M4 and M33."""

ATTENTION = {"mcu::sequence_attention_s8", "mcu::relative_attention_s8", "mcu::gated_attention_s8"}

GATED = ("patchtsmixer",)
"""Which have gates by a softmax where others have attention."""

WITHOUT_ATTENTION = (
    "convnext", "efficientnet", "mobilenet-v1", "mobilenet-v2", "patchtsmixer-mix-channel", "poolformer", "regnet",
    "resnet", *GATED,
)  # fmt: skip

LARGEST_ERROR = 0.25
"""RMS of what quantization changes, as a share of the outputs', in models with random weights; 0.13 was measured."""


def same_bits(family: str, folder: Path, boards: tuple[str, ...]) -> None:
    checkpoint = make_encoder(family, folder / "checkpoint")
    options = CompileOptions(encoder_length(family))
    made = {
        board: generate(GenerateRequest(board, options, model=str(checkpoint), output=folder / board))
        for board in ("host", *boards)
    }
    accuracy = accuracy_of(made["host"].facts)
    assert accuracy is not None and accuracy.relative_rms_error < LARGEST_ERROR
    operators = {planned.instruction.operator for planned in made["host"].plan.calls}
    assert bool(operators & ATTENTION) == (family not in WITHOUT_ATTENTION)
    assert ("mcu::softmax_gate_s8_" in operators) == (family in GATED)
    assert not operators & {"aten::bmm", "aten::_softmax", "aten::convolution"}
    request = Request(steps=3, seed=1)
    expected = host.run(build(made["host"].project, "host").program, request).digest
    for board in boards:
        program = build(made[board].project, "release").program
        assert qemu.run(load_board(board), program, request, timeout=300).digest == expected, board


@pytest.mark.slow
@pytest.mark.parametrize("family", ENCODERS)
def test_families(family: str, tmp_path: Path) -> None:
    """On one of the cores, each in turn; on all of them is the matrix."""
    same_bits(family, tmp_path, (BOARDS[ENCODERS.index(family) % len(BOARDS)],))


@pytest.mark.slow
@pytest.mark.matrix
@pytest.mark.parametrize("family", ENCODERS)
def test_families_on_every_core(family: str, tmp_path: Path) -> None:
    same_bits(family, tmp_path, BOARDS)


@pytest.mark.slow
def test_a_bert(tmp_path: Path) -> None:
    same_bits("bert", tmp_path, BOARDS[:1])


@pytest.mark.slow
def test_a_network_of_convolutions(tmp_path: Path) -> None:
    same_bits("resnet", tmp_path, BOARDS[:1])

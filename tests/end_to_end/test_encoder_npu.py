"""Encoders on a simulated Ethos-U85 beside the simulated Cortex-M55, the host and the TOSA reference model: one answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcu_sdk.generation import generate
from mcu_sdk.options import CompileOptions, GenerateRequest
from mcu_sdk.project.build import build
from mcu_sdk.project.opened import open_project
from mcu_sdk.project.runners import run_on
from mcu_sdk.targets.protocol import Request
from tests.checkpoints import encoder_length, make_encoder
from tests.npu.exchanges import QEMU_U85, delegate_calls, different_from_tosa, record


@pytest.mark.slow
@pytest.mark.parametrize("family", ["bert", "vit"])
def test_a_u85_computes_what_the_reference_model_does(family: str, tmp_path: Path) -> None:
    board, target = QEMU_U85
    checkpoint = make_encoder(family, tmp_path / "checkpoint")
    options = CompileOptions(encoder_length(family))
    wanted = GenerateRequest(
        board, options, model=str(checkpoint), target=target, output=tmp_path / "firmware", use_cache=False
    )
    project = open_project(generate(wanted).project)
    assert len(delegate_calls(project)) == 1
    asked = Request(steps=3, seed=1)
    recorded = record(project, asked)
    assert len(recorded.exchanges) == 3
    assert len({outputs[0] for _, outputs in recorded.exchanges}) == 3  # no constant
    assert different_from_tosa(project, recorded) == []
    on_host = run_on("host", project, build(project.folder, "host").program, asked)
    assert on_host.digest == recorded.transcript.digest

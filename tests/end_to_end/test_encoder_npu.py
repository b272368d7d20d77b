"""Encoders on a simulated Ethos-U beside the simulated Cortex-M55, the host and the TOSA reference model: one answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcu_sdk import run_texts, verify
from mcu_sdk.evaluate_dataset import evaluate_dataset
from mcu_sdk.generation import generate
from mcu_sdk.options import CompileOptions, GenerateRequest
from mcu_sdk.planning.pte.read import read_pte
from mcu_sdk.project.build import build
from mcu_sdk.project.npu_details import read_details
from mcu_sdk.project.opened import Project, open_project
from mcu_sdk.project.runners import run_on
from mcu_sdk.quality import DatasetScore
from mcu_sdk.targets.protocol import Request
from tests.checkpoints import encoder_length, make_encoder
from tests.npu.exchanges import QEMU_U85, delegate_calls, different_from_tosa, record
from tests.text_checkpoints import make_text_encoder


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


@pytest.mark.slow
def test_an_npu_reads_texts(tmp_path: Path) -> None:
    """Of any length: what fills a short one up does not count, on the device as in transformers."""
    checkpoint = make_text_encoder("bert", tmp_path / "checkpoint")
    request = GenerateRequest(
        "corstone-300",
        CompileOptions(encoder_length("bert")),
        model=str(checkpoint),
        target="ethos-u55-128",
        output=tmp_path / "firmware",
        use_cache=False,
    )
    made = generate(request)
    project = open_project(made.project)
    assert project.takes_texts
    attended(project)
    assert made.facts["accuracy"]["relative_rms_error"] < 0.1
    texts = ["the lamp", ("is the light on", "off"), "the lamp is very good and not bad " * 3]
    answers = run_texts(project.folder, texts, simulator="host").answers
    assert [len(answer.transcript.prompt_ids) for answer in answers] == [4, 8, 16] and answers[
        2
    ].dropped == 10
    for text in texts[:2]:
        pair = text if isinstance(text, tuple) else (text, None)
        verdict = verify(project.folder, text=pair[0], text_pair=pair[1]).verdict
        assert verdict.ok, verdict.summary
        assert len(verdict.checks) == 4
    table = tmp_path / "table.csv"
    table.write_text("text,label\nthe lamp is good,yes\nwhat is not on,no\n")
    score = evaluate_dataset(str(project.folder), table, CompileOptions())
    assert isinstance(score, DatasetScore) and score.rows == 2 and score.agreement is not None


@pytest.mark.slow
def test_a_u55_and_the_processor_beside_it_compute_what_the_host_does(tmp_path: Path) -> None:
    """Attention on the processor, several delegates a step."""
    request = GenerateRequest(
        "corstone-300",
        CompileOptions(),
        model=str(make_encoder("vit", tmp_path / "checkpoint")),
        target="ethos-u55-128",
        output=tmp_path / "firmware",
        use_cache=False,
    )
    project = open_project(generate(request).project)
    attended(project)
    verdict = verify(project.folder, steps=3, seed=1).verdict
    assert verdict.ok, verdict.summary
    assert len(verdict.checks) >= 2  # QEMU = host, host = PyTorch with the TOSA reference model


def attended(project: Project) -> None:
    """Attention is the processor's, and between any two of them something is the NPU's, with what Vela says of it."""
    pte = read_pte((project.folder / "model/model.pte").read_bytes())
    layers = sum(i.operator == "mcu::sequence_attention_s8" for i in pte.instructions)
    assert layers > 0 and len(delegate_calls(project)) >= 2 * layers + 1
    details = read_details(project.folder / "model")
    assert details is not None and len(details.estimates) == len(delegate_calls(project))
    assert all(summary.cycles > 0 for summary in details.estimates)

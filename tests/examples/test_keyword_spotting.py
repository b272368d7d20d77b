"""The example that spots keywords: its committed model fits the boards that it names, and hears silence where there is none."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from safetensors.numpy import load_file

from mcu_sdk.api import run_inputs
from mcu_sdk.generation import generate
from mcu_sdk.model.sound_processor import sound_facts
from mcu_sdk.options import CompileOptions, GenerateRequest
from mcu_sdk.project.build import build
from mcu_sdk.project.opened import open_project
from mcu_sdk.project.tensors import borders_of, prepare

EXAMPLE = Path(__file__).resolve().parent.parent.parent / "examples" / "keyword_spotting"
MODEL = EXAMPLE / "model"


@pytest.fixture
def measure(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(EXAMPLE))
    for name in ("measure", "speech"):
        sys.modules.pop(name, None)
    return importlib.import_module("measure")


def test_the_committed_model() -> None:
    weights = load_file(MODEL / "model.safetensors")
    assert sum(array.size for array in weights.values()) <= 60_000
    config = json.loads((MODEL / "config.json").read_text())
    facts = sound_facts(MODEL, (1, config["max_length"], config["num_mel_bins"]))
    assert (facts["rate"], facts["samples"]) == (16_000, 15_920)
    assert [config["id2label"][str(number)] for number in (0, 9, 11)] == ["yes", "go", "silence"]


def test_a_word_is_heard_once(measure: ModuleType) -> None:
    """When its share has been high for some steps, and again only after a pause; what is no word never."""
    detector = measure.Detector()
    sure = {name: 9.0 * (np.array(measure.LABELS) == name) for name in ("yes", "no", "unknown")}
    heard = [detector.step(sure["yes"]) for _ in range(measure.STEPS + 2)]
    assert heard == [None] * (measure.STEPS - 1) + [0, None, None]
    assert {detector.step(sure["unknown"]) for _ in range(20)} == {None}
    assert [detector.step(sure["no"]) for _ in range(measure.STEPS)][-1] == 1


def test_no_voice_is_on_both_sides(measure: ModuleType) -> None:
    speech = sys.modules["speech"]
    assert not {*speech.TRAINING_VOICES} & {*speech.HELD_OUT_VOICES}
    assert not {*speech.TRAINING_SENTENCES} & {*speech.HELD_OUT_SENTENCES}
    said = " ".join((*speech.TRAINING_SENTENCES, *speech.HELD_OUT_SENTENCES, *speech.HELD_OUT_WORDS)).split()
    assert not {*said} & {*speech.WORDS}


@pytest.mark.slow
@pytest.mark.parametrize("stream", [None, 10])
def test_it_fits_its_boards(stream: int | None, tmp_path: Path) -> None:
    """Linked for both; on a Cortex-M4 in QEMU a second of nothing is silence."""
    for board in ("nrf52840-dk", "b-l475e-iot01a", "mps2-an386"):
        options = CompileOptions(stream=stream)
        made = generate(GenerateRequest(board, options, model=str(MODEL), output=tmp_path / board))
        built = build(made.project)
        assert built.sizes is not None and built.sizes.ram < 128 * 1024
    opened = open_project(tmp_path / "mps2-an386")
    borders = borders_of(opened)
    steps = 1 if stream is None else 98 // stream + 1
    silence = {border.name: np.zeros((steps, *border.shape), border.dtype) for border in borders.inputs}
    if stream is None:
        silence["sample_count"] += 15_920
    ran = run_inputs(opened, borders, prepare(borders.inputs, silence))
    assert int(ran.outputs["logits"][-1].argmax()) == 11

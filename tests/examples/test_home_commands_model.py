"""examples/home_commands: the model that comes along is as good as its README says, on this computer and in a simulator."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from mcu_sdk import cli, verify
from mcu_sdk.evaluate_dataset import SpanScore, evaluate_dataset
from mcu_sdk.generation import generate
from mcu_sdk.options import CompileOptions, GenerateRequest
from mcu_sdk.project.build import build
from tests.examples.home_commands import EXAMPLE, HANDWRITTEN, MODEL, load

Capture = pytest.CaptureFixture[str]
OPTIONS = CompileOptions(calibration_text=EXAMPLE / "calibration.txt")

SAID = {
    "set the bedroom lamp to thirty percent": "set_level; room=bedroom; device=lamp; level=thirty percent",
    "Turn the lights on in the kitchen.": "turn_on; device=lights; room=kitchen",
    "wake me up at six thirty": "set_alarm; time=six thirty",
}


def test_the_committed_model() -> None:
    """It is of the grammar's default split: what is held out there, it has not seen."""
    made = load("grammar").Grammar()
    facts = json.loads((MODEL / "training.json").read_text())
    assert facts["split"] == load("grammar").SPLIT_SEED
    config = json.loads((MODEL / "config.json").read_text())
    assert tuple(config["id2label"][str(number)] for number in range(len(made.labels))) == made.labels
    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    assert tokenizer.get_vocab() == load("tokenizer").make_tokenizer(made).get_vocab()
    weights = load_file(MODEL / "model.safetensors")
    assert {str(array.dtype) for array in weights.values()} == {"float16"}
    assert sum(path.stat().st_size for path in MODEL.iterdir()) < 2_000_000


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For a Cortex-M55."""
    folder = tmp_path_factory.mktemp("home") / "home"
    return generate(GenerateRequest("corstone-300", OPTIONS, model=str(MODEL), output=folder)).project


@pytest.mark.slow
def test_held_out_and_handwritten(project: Path, tmp_path: Path) -> None:
    """int8 in the device's own C++, at most half a point below the float checkpoint."""
    table = tmp_path / "held_out.csv"
    made = load("grammar")
    made.write_table(table, made.Grammar().sentences(2000, 1, held_out=True))
    score, by_hand = (evaluate_dataset(str(project), each, CompileOptions()) for each in (table, HANDWRITTEN))
    assert isinstance(score, SpanScore) and score.checkpoint is not None
    assert score.checkpoint.exact >= 0.97 and score.firmware.exact >= score.checkpoint.exact - 0.005
    assert isinstance(by_hand, SpanScore) and by_hand.firmware.exact >= 0.78


@pytest.mark.slow
def test_three_sentences_in_a_simulator(project: Path, tmp_path: Path, capsys: Capture) -> None:
    """And the same bits on this computer."""
    file = tmp_path / "said.csv"
    with file.open("w", newline="") as opened:
        csv.writer(opened).writerows([["text"], *([text] for text in SAID)])
    for simulator in ("qemu", "host"):
        assert cli.run(["run", str(project), "--csv", str(file), "--simulator", simulator]) == 0
        rows = csv.DictReader(capsys.readouterr().out.splitlines())
        assert [row["label"] for row in rows] == list(SAID.values())
    assert verify(project, text=next(iter(SAID))).verdict.ok


@pytest.mark.slow
@pytest.mark.parametrize("board", ["nrf52840-dk", "b-l475e-iot01a"])
def test_it_fits_its_boards(board: str, tmp_path: Path) -> None:
    made = generate(GenerateRequest(board, OPTIONS, model=str(MODEL), output=tmp_path / "p"))
    built = build(made.project)
    assert built.sizes is not None and built.sizes.ram < 128 * 1024

"""`run` and `evaluate --dataset` of a token classifier: words, spans, the text's own label, and datasets that do not match."""

from __future__ import annotations

import csv
import io
import json
import random
from pathlib import Path

import numpy as np
import pytest

from mcu_sdk import cli
from mcu_sdk.generation import generate
from mcu_sdk.options import CompileOptions, GenerateRequest
from mcu_sdk.project.host_library import HostModel
from tests.text_checkpoints import WORDS, make_text_encoder

Capture = pytest.CaptureFixture[str]
LABELS = ("O", "B-room", "I-room", "B-device", "I-device", "text:on", "text:off")
LENGTH = 16

pytestmark = pytest.mark.slow
"""What they are made of is held without a project in tests/project/test_token_labels.py."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With random weights; of 16 tokens."""
    folder = tmp_path_factory.mktemp("spans")
    checkpoint = make_text_encoder(
        "bert",
        folder / "checkpoint",
        architecture="BertForTokenClassification",
        id2label=dict(enumerate(LABELS)),
        num_hidden_layers=1,
        initializer_range=0.4,
    )
    request = GenerateRequest("host", CompileOptions(LENGTH), model=str(checkpoint), output=folder / "p")
    return generate(request).project


@pytest.fixture(scope="module")
def texts() -> list[str]:
    rng = random.Random(4)
    return [" ".join(rng.choices([*WORDS, "lampon"], k=rng.randrange(1, 20))) for _ in range(10)]


def table(path: Path, *rows: tuple[str, str]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


def told_by_run(project: Path, texts: list[str], folder: Path, capsys: Capture) -> list[str]:
    """What `run --csv` puts in the column label."""
    file = folder / "texts.csv"
    file.write_text("text\n" + "\n".join(texts) + "\n")
    assert cli.run(["run", str(project), "--csv", str(file)]) == 0
    return [row["label"] for row in csv.DictReader(io.StringIO(capsys.readouterr().out))]


def test_what_run_tells_is_what_evaluate_reads(
    project: Path, texts: list[str], tmp_path: Path, capsys: Capture
) -> None:
    """All of it right, with the firmware's own answers; less with one of them changed."""
    told = told_by_run(project, texts, tmp_path, capsys)
    assert len({label.split(";")[0] for label in told}) == 2 and any("=" in label for label in told)
    file = table(tmp_path / "right.csv", *zip(texts, told, strict=True))
    assert cli.run(["evaluate", str(project), "--dataset", str(file), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["firmware"] == {"exact": 1.0, "text_label": 1.0, "f1": 1.0}
    assert found["rows"] == 10 and found["cut"] == sum(len(text.split()) > LENGTH - 2 for text in texts) > 0
    assert found["checkpoint"]["exact"] == found["agreement"]
    other = "off" if told[0].startswith("on") else "on"
    table(
        file,
        (texts[0], other + told[0][len(told[0].split(";")[0]) :]),
        *zip(texts[1:], told[1:], strict=True),
    )
    assert cli.run(["evaluate", str(project), "--dataset", str(file)]) == 0
    out = capsys.readouterr().out
    line = next(line for line in out.splitlines() if line.startswith("firmware"))
    assert line.split("exact match")[1].split() == [
        "90.00",
        "%",
        "the",
        "text's",
        "label",
        "90.00",
        "%",
        "F1",
        "of",
        "spans",
        "100.00",
        "%",
    ]


def test_a_word_has_its_first_pieces_label(project: Path, capsys: Capture) -> None:
    """And the text the best of its own labels, at [CLS]."""
    text = "the lampon is red"
    assert cli.run(["run", str(project), "--text", text, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    own, *words = told["labels"]
    assert [label["text"] for label in words] == text.split()
    assert [label["position"] for label in words] == [1, 2, 5, 6]  # lampon: lamp ##o ##n
    model = HostModel.of(project)
    model.read(text)
    (logits,) = model.run_read()
    assert own["name"] == LABELS[5 + int(logits[0, 0, 5:].argmax())].removeprefix("text:")
    assert [label["name"] for label in words] == [
        LABELS[int(np.argmax(logits[0, label["position"], :5]))] for label in words
    ]
    assert all(span["text"] in text and span["name"] in ("room", "device") for span in told["spans"])
    assert cli.run(["run", str(project), "--text", text]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"label  {own['name']} 0.") and ("\nspans  " in out) == bool(told["spans"])


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (("the lamp", "dim; device=lamp"), "line 3: one of the text's labels was expected first, not 'dim'"),
        (
            ("the lamp", "on; thing=lamp"),
            "line 3: the model has no label 'thing'; its labels are room, device",
        ),
        (("the lamp", "on; device=light"), "line 3: 'light', which is to be 'device', is not in the text"),
        (("the lamp", "on; lamp"), "was expected, as room=kitchen, not 'lamp'"),
        (("the lamp", ""), "line 3: one of the text's labels was expected first, not ''"),
    ],
)
def test_a_dataset_that_does_not_match(
    row: tuple[str, str], words: str, project: Path, tmp_path: Path, capsys: Capture
) -> None:
    file = table(tmp_path / "wrong.csv", ("the lamp is on", "on; device=lamp"), row)
    assert cli.run(["evaluate", str(project), "--dataset", str(file)]) == 2
    out, err = capsys.readouterr()
    assert words in err and "The column label has what is right of a text" in err and not out


def test_without_labels_outputs_are_compared(
    project: Path, texts: list[str], tmp_path: Path, capsys: Capture
) -> None:
    file = tmp_path / "texts.csv"
    file.write_text("text\n" + "\n".join(texts) + "\n")
    assert cli.run(["evaluate", str(project), "--dataset", str(file), "--json"]) == 0
    assert 0.9 < json.loads(capsys.readouterr().out)["least_cosine"] < 1

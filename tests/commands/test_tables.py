"""`run --csv` and `evaluate --dataset`: a label for each row, and how many of them are right."""

from __future__ import annotations

import csv
import io
import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from mcu_sdk import cli
from mcu_sdk.evaluate_dataset import evaluate_dataset, quality
from mcu_sdk.options import CompileOptions
from mcu_sdk.project.host_library import HostModel
from tests.commands.conftest import TEXT_LENGTH
from tests.text_checkpoints import WORDS, make_text_encoder, without_tokenizer

Capture = pytest.CaptureFixture[str]
NAMES = ("no", "yes", "may be")
OPTIONS = CompileOptions(TEXT_LENGTH)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    rng = random.Random(3)
    return [" ".join(rng.choices(WORDS, k=rng.randrange(1, 25))) for _ in range(12)]


@pytest.fixture(scope="module")
def chosen(text_classifier: Path, texts: list[str]) -> list[int]:
    """The labels that the firmware's code gives them."""
    model = HostModel.of(text_classifier)
    found = []
    for text in texts:
        model.read(text)
        found.append(int(model.run_read()[0].argmax()))
    return found


def table(path: Path, texts: list[str], labels: list[str]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *zip(texts, labels, strict=True)])
    return path


def test_each_text_gets_a_label(
    text_classifier: Path, texts: list[str], chosen: list[int], tmp_path: Path, capsys: Capture
) -> None:
    file = tmp_path / "texts.csv"
    file.write_text("text\n" + "\n".join(texts) + "\n")
    assert cli.run(["run", str(text_classifier), "--csv", str(file)]) == 0
    found = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["label"] for row in found] == [NAMES[number] for number in chosen]
    assert [row["line"] for row in found] == [str(number + 2) for number in range(len(texts))]
    assert sum(int(row["dropped"]) for row in found) == sum(max(len(text.split()) - 14, 0) for text in texts)
    assert cli.run(["run", str(text_classifier), "--csv", str(file), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["labels"][0]["name"] for row in rows] == [row["label"] for row in found]


def test_rows_of_numbers(tensor_project: Path, tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "rows.csv"
    values = np.random.default_rng(1).standard_normal((3, 8)).astype(np.float32)
    file.write_text("".join(",".join(map(repr, row.tolist())) + ",1\n" for row in values))
    assert cli.run(["run", str(tensor_project), "--csv", str(file), "--simulator", "host", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    model = HostModel.of(tensor_project)
    model.reset()
    for row, x in zip(rows, values, strict=True):
        outputs = model.run([x.reshape(1, 8), np.array([1])])
        assert np.array_equal(np.float32(row["outputs"]["output_0"]), outputs[0])
    assert cli.run(["run", str(tensor_project), "--csv", str(file), "--simulator", "host"]) == 0
    assert capsys.readouterr().out.startswith("line,output_0[0],output_0[1],")
    file.write_text("1,2\n")
    assert cli.run(["run", str(tensor_project), "--csv", str(file)]) == 2
    assert "reads 9 numbers a row" in capsys.readouterr().err


def test_accuracy_is_of_the_firmwares_own_code(
    text_classifier: Path, texts: list[str], chosen: list[int], tmp_path: Path, capsys: Capture
) -> None:
    table(tmp_path / "test.csv", texts, [NAMES[number] for number in chosen])
    assert cli.run(["evaluate", str(text_classifier), "--dataset", str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["firmware"] == {"accuracy": 1.0, "macro_f1": 1.0} and told["rows"] == len(texts)
    assert told["checkpoint"]["accuracy"] == told["agreement"] >= 0.75
    assert told["cut"] == sum(len(text.split()) > 14 for text in texts)
    numbers = [str((number + (place == 0)) % 3) for place, number in enumerate(chosen)]
    assert (
        cli.run(
            ["evaluate", str(text_classifier), "--dataset", str(table(tmp_path / "n.csv", texts, numbers))]
        )
        == 0
    )
    out = capsys.readouterr().out
    assert f"firmware, int8                   accuracy {100 * 11 / 12:6.2f} %" in out


@pytest.mark.slow
def test_a_checkpoint_is_what_its_project_is(
    text_checkpoint: Path, text_classifier: Path, texts: list[str], tmp_path: Path
) -> None:
    file = table(tmp_path / "test.csv", texts, ["yes"] * len(texts))
    ours, theirs = (
        evaluate_dataset(str(place), file, OPTIONS) for place in (text_checkpoint, text_classifier)
    )
    assert ours == theirs


def test_macro_f1() -> None:
    """Over what is right somewhere or chosen somewhere; 0 for a label that was never right."""
    found = quality([0, 0, 1, 1, 2], [0, 1, 1, 1, 3])
    assert found.accuracy == 3 / 5
    assert found.macro_f1 == pytest.approx((2 / 3 + 4 / 5 + 0 + 0) / 4)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["{project}", "--dataset", "{empty}"], 2, "it has none"),
        (["{project}", "--dataset", "{wrong}"], 2, "line 2: the model has no label 'perhaps'"),
        (["{project}", "--dataset", "{table}", "--begin", "0.5"], 2, "--begin and --all are for a text"),
        (
            ["{project}", "--dataset", "{table}", "--max-cache-len", "8"],
            2,
            "--max-cache-len is for a checkpoint",
        ),
        (["{project}", "--dataset", "{table}", "--model", "x"], 2, "both name a model"),
        (["{tensors}", "--dataset", "{table}"], 2, "takes tensors, not texts"),
        (["{checkpoint}", "--dataset", "{table}", "--target", "ethos-u55-128"], 2, "which has no NPU"),
        (["{bare}", "--dataset", "{table}"], 2, "no tokenizer.json"),
        (["{twice}", "--dataset", "{table}"], 2, "has 'yes' twice"),
        (["{checkpoint}", "--dataset", "{table}", "--weights", "int4"], 2, "--weights is for"),
        (["--dataset", "{table}"], 2, "--dataset is for encoders of texts and "),
        ([], 2, "A text to measure on was expected, or --dataset"),
    ],
)
def test_what_cannot_be_measured(
    arguments: list[str],
    code: int,
    words: str,
    text_classifier: Path,
    text_checkpoint: Path,
    tensor_project: Path,
    tmp_path: Path,
    capsys: Capture,
) -> None:
    (tmp_path / "empty").mkdir()
    shutil.copytree(text_classifier, tmp_path / "twice", ignore=shutil.ignore_patterns("build"))
    report = tmp_path / "twice" / "model" / "report.json"
    facts = json.loads(report.read_text())
    facts["labels"]["names"] = ["yes", "yes", "may be"]
    report.write_text(json.dumps(facts))
    places = {
        "twice": tmp_path / "twice",
        "project": text_classifier,
        "checkpoint": text_checkpoint,
        "tensors": tensor_project,
        "empty": tmp_path / "empty",
        "table": table(tmp_path / "good.csv", ["the lamp"], ["yes"]),
        "wrong": table(tmp_path / "wrong.csv", ["the lamp"], ["perhaps"]),
        "bare": without_tokenizer(text_checkpoint, tmp_path / "bare"),
    }
    assert cli.run(["evaluate", *(each.format(**places) for each in arguments)]) == code
    out, err = capsys.readouterr()
    assert words in err and not out


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["BertModel", "BertForMaskedLM"])
def test_other_encoders_outputs_are_compared_with_float(
    architecture: str, texts: list[str], tmp_path: Path, capsys: Capture
) -> None:
    checkpoint = make_text_encoder("bert", tmp_path / "checkpoint", architecture=architecture)
    file = tmp_path / "texts.csv"
    file.write_text("text\n" + "\n".join(texts) + "\n")
    command = ["evaluate", str(checkpoint), "--dataset", str(file), "--max-cache-len", "16", "--json"]
    assert cli.run(command) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["rows"] == len(texts) and 0.98 < told["least_cosine"] <= told["mean_cosine"] < 1

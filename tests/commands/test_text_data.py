"""`run` and `verify` with texts for encoders: each task, in a simulator and on this computer."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mcu_sdk import cli, run, run_texts, verify
from mcu_sdk.board.board import load_board
from mcu_sdk.generation import generate
from mcu_sdk.model.text_encoder import TextEncoder
from mcu_sdk.options import CompileOptions, GenerateRequest
from mcu_sdk.planning.pte.read import read_pte
from mcu_sdk.project.committed import ANSWERS
from mcu_sdk.project.host_library import HostModel
from mcu_sdk.project.render import render_project
from mcu_sdk.regeneration import regenerate
from tests.commands.conftest import TEXT_LENGTH
from tests.project.conftest import make_inputs
from tests.project.test_testing import behind_a_port
from tests.text_checkpoints import make_text_encoder, vocabulary_of, without_tokenizer

Capture = pytest.CaptureFixture[str]


def made(checkpoint: Path, folder: Path, board: str = "host", **options: object) -> Path:
    request = GenerateRequest(
        board, CompileOptions(TEXT_LENGTH), model=str(checkpoint), output=folder, **options
    )
    return generate(request).project


LONG = "the lamp is very good and not bad " * 30


@pytest.mark.parametrize("simulator", ["qemu", "host"])
def test_a_text_gets_a_label(text_classifier: Path, simulator: str, capsys: Capture) -> None:
    arguments = [
        "run",
        str(text_classifier),
        "--text",
        "The lamp",
        "--text-pair",
        "is on",
        "--simulator",
        simulator,
    ]
    assert cli.run([*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    model = HostModel.of(text_classifier)
    read = model.read("The lamp", "is on")
    (logits,) = model.run_read()
    assert told["prompt_ids"] == list(read.ids) and told["dropped"] == read.dropped == 0
    assert np.array_equal(np.float32(told["outputs"][0]["values"]), logits)
    shares = np.exp(logits[0].astype(float)) / np.exp(logits[0].astype(float)).sum()
    assert told["labels"] == [
        {
            "name": ("no", "yes", "may be")[logits.argmax()],
            "score": pytest.approx(shares.max()),
            "position": None,
        }
    ]
    assert told["run"]["text"] == f"{told['labels'][0]['name']} {shares.max():.3f}"
    assert cli.run(arguments) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"label  {told['labels'][0]['name']} ") and "tokens  7\n" in out


def test_the_outputs_are_those_of_arrays(text_classifier: Path, tmp_path: Path) -> None:
    text = run(text_classifier, text="the light is off", simulator="host")
    encoder = TextEncoder(text_classifier / "model" / "tokenizer.json", TEXT_LENGTH, 400)
    ids = encoder.encode("the light is off").ids
    arrays = {
        name: np.zeros((1, TEXT_LENGTH), np.int64)
        for name in ("input_ids", "attention_mask", "token_type_ids")
    }
    arrays["input_ids"][0, : len(ids)], arrays["attention_mask"][0, : len(ids)] = ids, 1
    same = run(text_classifier, inputs=arrays, simulator="host")
    assert np.array_equal(text.outputs["logits"], same.outputs["logits"])
    assert text.answer is not None and text.transcript.digest == same.transcript.digest
    file = tmp_path / "logits.npy"
    command = [
        "run",
        str(text_classifier),
        "--text",
        "the light is off",
        "--output",
        str(file),
        "--simulator",
        "host",
    ]
    assert cli.run(command) == 0 and np.array_equal(np.load(file), text.outputs["logits"])


def test_a_long_text_is_cut_and_it_is_said(text_classifier: Path, capsys: Capture) -> None:
    """Also one that is longer than the firmware's line."""
    for count in (3, 30):
        text = "the lamp is very good and not bad " * count
        assert cli.run(["run", str(text_classifier), "--text", text, "--simulator", "qemu"]) == 0
        cut = 8 * count + 2 - TEXT_LENGTH
        assert f"tokens  16; {cut} more were cut off" in capsys.readouterr().out
    answers = run_texts(text_classifier, [LONG, ("the", LONG), "", (LONG, "")], simulator="host").answers
    assert [len(answer.transcript.prompt_ids) for answer in answers] == [16, 16, 2, 16]
    assert answers[0].dropped == 8 * 30 + 2 - TEXT_LENGTH and answers[2].dropped == 0


def test_verify_compares_tokens_and_outputs(text_classifier: Path, capsys: Capture) -> None:
    command = ["verify", str(text_classifier), "--text", LONG, "--text-pair", "is the lamp good?", "--json"]
    assert cli.run(command) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] and [check["name"] for check in told["checks"]] == [
        "device = host, bit for bit",
        "device's tokens = the tokenizers library's",
        "host = PyTorch, within a bound",
        "PyTorch = the checkpoint, within",
    ]


def test_another_tokenizer_is_noticed(text_classifier: Path, tmp_path: Path, capsys: Capture) -> None:
    """The firmware has the old one's tables."""
    project = tmp_path / "p"
    shutil.copytree(text_classifier, project)
    path = project / "model" / "tokenizer.json"
    path.write_text(path.read_text().replace('"lamp":', '"pmal":'))
    verdict = verify(project, text="the lamp", with_python=False).verdict
    assert not verdict.ok and "tokens = the tokenizers" in verdict.summary
    assert cli.run(["run", str(project), "--text", "the lamp", "--simulator", "host"]) == 7
    assert "the tokenizers library as" in capsys.readouterr().err


@pytest.mark.slow
def test_texts_have_known_answers(text_classifier: Path, capsys: Capture) -> None:
    """On a simulator and on a board at a serial port; a text that is read as other tokens is noticed."""
    update = ["-q", "test", str(text_classifier), "--update"]
    assert cli.run([*update, "--text", "The lamp", "--text-pair", "is on"]) == 0
    assert cli.run([*update, "--text", LONG]) == 0
    path = text_classifier / ANSWERS
    content = json.loads(path.read_text())
    requests = [answer["request"] for answer in content["answers"]]
    assert requests[0] == {"read": "The lamp", "pair": "is on"} and len(requests) == 2
    elf = text_classifier / "build/release/firmware.elf"
    command = load_board("corstone-300").simulator["qemu"].command
    with behind_a_port([part.replace("{elf}", str(elf)) for part in command]) as port:
        assert cli.run(["-q", "test", str(text_classifier), "--port", port]) == 0
        assert cli.run(["-q", "run", str(text_classifier), "--port", port, "--text", "The lamp"]) == 0
        assert cli.run(["-q", "verify", str(text_classifier), "--port", port, "--text", "The lamp"]) == 0
    content["answers"][0]["request"]["read"] = "The light"
    path.write_text(json.dumps(content))
    capsys.readouterr()
    assert cli.run(["-q", "test", str(text_classifier), "--json"]) == 7
    rows = json.loads(capsys.readouterr().out)["tests"]
    assert rows[0]["name"] == "answer 1: text The light and is on, read"
    assert rows[0]["status"] == "failed" and "tokens" in rows[0]["detail"]
    content["answers"][0]["request"]["more"] = 1
    path.write_text(json.dumps(content))
    assert cli.run(["-q", "test", str(text_classifier)]) == 2
    shutil.rmtree(path.parent)
    assert cli.run([*update, "--text", "x", "--steps", "3"]) == 2
    assert "exclude each other" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--text-pair", "x"], "--text-pair goes beside --text"),
        (["--text", "x", "--prompt", "y"], "--prompt and --text exclude each other"),
        (["--text", "x", "--steps", "3"], "--steps and --text exclude each other"),
        (["--text", "x", "--input", "x.npy"], "--input and --text exclude each other"),
        (["--text", "x", "--seed", "3"], "--seed is for made-up inputs; --text gives others"),
        (["--text", "x", "--tokens", "3"], "--tokens is for language models"),
        (["--text", "x", "--profile"], "--profile and --text exclude each other"),
        (["--text", "x", "--output", "nothing=y.npy"], "nothing named 'nothing'"),
        (["--prompt", "x"], "--text gives it a text"),
    ],
)
def test_what_does_not_go_together(
    text_classifier: Path, arguments: list[str], words: str, capsys: Capture
) -> None:
    assert cli.run(["run", str(text_classifier), *arguments]) == 2
    assert words in capsys.readouterr().err


def test_models_that_take_no_texts(
    tensor_project: Path, text_checkpoint: Path, tmp_path: Path, capsys: Capture
) -> None:
    decoder = render_project(make_inputs("host"), tmp_path / "decoder")
    silent = made(without_tokenizer(text_checkpoint, tmp_path / "silent"), tmp_path / "p")
    for project, words in (
        (tensor_project, "takes tensors, not texts. "),
        (silent, "as there is no tokenizer.json"),
        (decoder, "is a language model; --text is for encoders"),
    ):
        for verb in ("run", "verify"):
            assert cli.run([verb, str(project), "--text", "x"]) == 2
            assert words in capsys.readouterr().err


@pytest.mark.slow
def test_a_tokenizer_that_the_device_cannot_follow(text_checkpoint: Path, tmp_path: Path) -> None:
    """The reason is told, and the firmware takes tensors."""
    copy = tmp_path / "checkpoint"
    shutil.copytree(text_checkpoint, copy)
    content = json.loads((copy / "tokenizer.json").read_text())
    content["pre_tokenizer"] = {"type": "UnicodeScripts"}
    (copy / "tokenizer.json").write_text(json.dumps(content))
    request = GenerateRequest("host", CompileOptions(TEXT_LENGTH), model=str(copy), output=tmp_path / "p")
    facts = generate(request).facts
    assert "UnicodeScripts has no counterpart" in facts["tokenizer"]
    assert not (tmp_path / "p" / "model" / "tokenizer.json").exists()


@pytest.mark.slow
def test_a_project_is_made_again_and_profiled(text_classifier: Path, tmp_path: Path, capsys: Capture) -> None:
    """From its own .pte and tokenizer.json, too."""
    project = tmp_path / "p"
    shutil.copytree(text_classifier, project, ignore=shutil.ignore_patterns("build"))
    before = {path: path.read_bytes() for path in sorted(project.rglob("*")) if path.is_file()}
    regenerate(project)
    assert before == {path: path.read_bytes() for path in sorted(project.rglob("*")) if path.is_file()}
    assert cli.run(["run", str(project), "--profile", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)
    assert (
        "text_inputs_fill"
        in (project / "build" / "profiled" / "sdk" / "runtime" / "text_inputs.h").read_text()
    )
    names = {"input_ids", "attention_mask", "token_type_ids"}
    assert len(read_pte((project / "model" / "model.pte").read_bytes()).inputs) == len(names)


HEADS = {
    "BertForTokenClassification": ("the red lamp is on", None),
    "BertForQuestionAnswering": ("where is the lamp?", "the lamp is in the kitchen and off"),
    "BertForMaskedLM": ("the lamp [MASK] in the [MASK]", None),
    "BertModel": ("the lamp", None),
}


@pytest.mark.slow
@pytest.mark.parametrize("architecture", HEADS)
def test_heads(architecture: str, tmp_path: Path, capsys: Capture) -> None:
    """On a Cortex-M55 and on the host the same answer."""
    ends = {"id2label": {0: "start", 1: "end"}} if "Question" in architecture else {}
    checkpoint = make_text_encoder("bert", tmp_path, architecture=architecture, **ends)
    project = made(checkpoint, tmp_path / "p", "corstone-300")
    text, pair = HEADS[architecture]
    command = ["run", str(project), "--text", text, *(["--text-pair", pair] if pair else []), "--json"]
    told = []
    for simulator in ("qemu", "host"):
        assert cli.run([*command, "--simulator", simulator]) == 0
        told.append(json.loads(capsys.readouterr().out))
    assert told[0]["labels"] == told[1]["labels"] and told[0]["outputs"] == told[1]["outputs"]
    labels = told[0]["labels"]
    if architecture == "BertForTokenClassification":
        assert [label["text"] for label in labels] == text.split()
    elif architecture == "BertForQuestionAnswering":
        assert len(labels) == 1 and labels[0]["name"] in str(pair)
    elif architecture == "BertForMaskedLM":
        ids = list(vocabulary_of(checkpoint))
        assert [label["position"] for label in labels] == [3] * 5 + [6] * 5 and labels[0]["name"]
        assert told[0]["outputs"] == [] and len(ids) < 100
    else:
        assert labels == [] and {output["name"] for output in told[0]["outputs"]} >= {"last_hidden_state"}
    assert verify(project, text=text, text_pair=pair).verdict.ok

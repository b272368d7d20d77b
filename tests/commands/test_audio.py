"""`run` and `verify` with a sound file: prepared as the checkpoint says, on the device, or refused in words."""

from __future__ import annotations

import json
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import ASTFeatureExtractor

from mcu_sdk import cli
from mcu_sdk.errors import UsageError
from mcu_sdk.evaluate_files import SOUNDS, find_files
from mcu_sdk.generation import generate
from mcu_sdk.options import CompileOptions, GenerateRequest
from tests.checkpoints import make_encoder

Capture = pytest.CaptureFixture[str]
SAMPLES = 400 + 160 * 19
NAMES = {0: "yes", 1: "no", 2: "up", 3: "down"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of a fifth of a second, on this computer."""
    folder = tmp_path_factory.mktemp("sounds")
    checkpoint = make_encoder("ast", folder / "checkpoint", id2label=NAMES)
    ASTFeatureExtractor(max_length=20, num_mel_bins=12).save_pretrained(checkpoint)
    return generate(
        GenerateRequest("host", CompileOptions(), model=str(checkpoint), output=folder / "p")
    ).project


def write(path: Path, count: int = SAMPLES, **said: Any) -> Path:
    """Noise; `said`: other parameters than those of a file that goes."""
    parameters = {"nchannels": 1, "sampwidth": 2, "framerate": 16_000, **said}
    samples = np.random.default_rng(0).normal(0, 3000, count * parameters["nchannels"]).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setparams((*parameters.values(), 0, "NONE", ""))
        file.writeframes(samples.tobytes())
    return path


def told(command: list[str], capsys: Capture) -> tuple[Any, str]:
    assert cli.run([*command, "--json"]) == 0
    captured = capsys.readouterr()
    return json.loads(captured.out), captured.err


def test_a_sound_gets_a_label(project: Path, tmp_path: Path, capsys: Capture) -> None:
    report, said = told(["run", str(project), "--audio", str(write(tmp_path / "x.wav"))], capsys)
    (output,) = report["outputs"]
    best = int(np.argmax(output["values"]))
    assert output["labels"][0]["name"] == NAMES[best] and "sound" not in said


def test_other_lengths_are_said(project: Path, tmp_path: Path, capsys: Capture) -> None:
    """Of a longer sound the end is left out; a shorter one is filled up as transformers does, and is no sound of zeros."""
    run = ["run", str(project), "--audio"]
    whole, _ = told([*run, str(write(tmp_path / "x.wav"))], capsys)
    long, said = told([*run, str(write(tmp_path / "long.wav", SAMPLES + 800))], capsys)
    assert long["outputs"] == whole["outputs"] and "the last 0.05 s were cut off" in said
    short, said = told([*run, str(write(tmp_path / "short.wav", SAMPLES - 1600))], capsys)
    assert short["outputs"] != whole["outputs"] and "0.10 s of the model's input were left empty" in said


@pytest.mark.slow
def test_verify_takes_a_sound(project: Path, tmp_path: Path, capsys: Capture) -> None:
    command = ["verify", str(project), "--audio", str(write(tmp_path / "x.wav", 2000))]
    report, _ = told(command, capsys)
    assert report["ok"] and any("PyTorch = the checkpoint" in check["name"] for check in report["checks"])
    assert cli.run([*command, "--steps", "1"]) == 2
    assert "--audio" in capsys.readouterr().err


def test_sounds_that_do_not_go(project: Path, tmp_path: Path, capsys: Capture) -> None:
    def refusal(file: Path) -> str:
        assert cli.run(["run", str(project), "--audio", str(file)]) == 2
        return " ".join(capsys.readouterr().err.split())

    assert "No such file" in refusal(tmp_path / "missing.wav")
    assert "has no samples" in refusal(write(tmp_path / "empty.wav", 0))
    assert "2 channels" in refusal(write(tmp_path / "stereo.wav", nchannels=2))
    assert "8,000 samples a second" in refusal(write(tmp_path / "slow.wav", framerate=8000))
    assert "samples of 8 bits" in refusal(write(tmp_path / "coarse.wav", sampwidth=1))
    (tmp_path / "text.wav").write_text("no sound")
    assert "cannot be read as a .wav" in refusal(tmp_path / "text.wav")
    compressed = bytearray(write(tmp_path / "x.wav").read_bytes())
    compressed[20:22] = (2).to_bytes(2, "little")  # ADPCM
    (tmp_path / "compressed.wav").write_bytes(compressed)
    assert "cannot be read as a .wav" in refusal(tmp_path / "compressed.wav")
    (tmp_path / "cut.wav").write_bytes(bytes(write(tmp_path / "x.wav").read_bytes()[:30]))
    assert "cannot be read as a .wav" in refusal(tmp_path / "cut.wav")
    (tmp_path / "half.wav").write_bytes(bytes(write(tmp_path / "x.wav").read_bytes()[:1044]))
    assert "500 are there" in refusal(tmp_path / "half.wav")


def test_what_would_not_be_measured_is_refused(tmp_path: Path) -> None:
    (tmp_path / "yes").mkdir()
    (tmp_path / "yes" / ".hidden").touch()
    found = write(tmp_path / "yes" / "LOUD.WAV")
    assert find_files(tmp_path, SOUNDS) == {"yes": [found]}
    (tmp_path / "beside.wav").touch()
    with pytest.raises(UsageError, match=r"beside\.wav' lies in no label's folder"):
        find_files(tmp_path, SOUNDS)
    (tmp_path / "yes" / "b.flac").touch()
    with pytest.raises(UsageError, match=r"b\.flac' is none"):
        find_files(tmp_path, SOUNDS)


@pytest.mark.slow
def test_a_model_without_sounds(tmp_path: Path, capsys: Capture) -> None:
    """Whose checkpoint does not say how sounds are prepared, so that it takes features."""
    checkpoint = make_encoder("ast", tmp_path / "checkpoint")
    made = generate(GenerateRequest("host", CompileOptions(), model=str(checkpoint), output=tmp_path / "p"))
    assert cli.run(["run", str(made.project), "--audio", str(write(tmp_path / "x.wav"))]) == 2
    assert "has no preprocessor_config.json" in " ".join(capsys.readouterr().err.split())


@pytest.mark.slow
def test_a_folder_of_sounds(project: Path, tmp_path: Path, capsys: Capture) -> None:
    """`evaluate --dataset`: as many right as `run --audio` says, and what is no label refused."""
    for number, name in enumerate(("yes", "no", "no")):
        (tmp_path / "d" / name).mkdir(parents=True, exist_ok=True)
        write(tmp_path / "d" / name / f"{number}.wav", SAMPLES - 300 * number)
    right = 0
    for file in (tmp_path / "d").rglob("*.wav"):
        report, _ = told(["run", str(project), "--audio", str(file)], capsys)
        right += report["outputs"][0]["labels"][0]["name"] == file.parent.name
    command = ["evaluate", str(project), "--dataset", str(tmp_path / "d")]
    score, _ = told(command, capsys)
    assert (score["rows"], score["cut"], score["unit"]) == (3, 0, "sounds")
    assert score["firmware"]["accuracy"] == pytest.approx(right / 3) and score["checkpoint"] is not None
    (tmp_path / "d" / "maybe").mkdir()
    assert cli.run(command) == 2
    assert "no label 'maybe'" in " ".join(capsys.readouterr().err.split())
    (tmp_path / "empty").mkdir()
    assert cli.run([*command[:-1], str(tmp_path / "empty")]) == 2
    assert "has no sounds" in " ".join(capsys.readouterr().err.split())


@pytest.mark.slow
def test_a_stream(tmp_path: Path, capsys: Capture) -> None:
    """A label for each step of a sound of any length; what was heard before counts."""
    checkpoint = make_encoder("ast", tmp_path / "checkpoint", id2label=NAMES)
    ASTFeatureExtractor(max_length=20, num_mel_bins=12).save_pretrained(checkpoint)
    options = CompileOptions(stream=5)
    made = generate(GenerateRequest("host", options, model=str(checkpoint), output=tmp_path / "p"))
    file = write(tmp_path / "x.wav", 7 * 800 - 100)
    report, _ = told(["run", str(made.project), "--audio", str(file)], capsys)
    (output,) = report["outputs"]
    assert output["shape"] == [7, 1, 4] and len(output["labels"]) == 7
    assert [label["position"] for label in output["labels"]] == list(range(7))
    assert cli.run(["run", str(made.project), "--audio", str(file)]) == 0
    assert "0.35 s" in capsys.readouterr().out
    verified, _ = told(["verify", str(made.project), "--audio", str(file)], capsys)
    assert verified["ok"]
    assert cli.run(["evaluate", str(made.project), "--dataset", str(tmp_path)]) == 2
    assert "without --stream" in " ".join(capsys.readouterr().err.split())

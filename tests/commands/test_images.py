"""`run` and `verify` with an image file: prepared as the checkpoint says, or refused in words."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import transformers
from PIL import Image

from mcu_sdk import cli
from mcu_sdk.generation import generate
from mcu_sdk.options import CompileOptions, GenerateRequest
from mcu_sdk.project.host_library import HostModel
from tests.checkpoints import make_encoder

Capture = pytest.CaptureFixture[str]
SAID = {
    "image_processor_type": "ViTImageProcessor",
    "size": {"height": 16, "width": 16},
    "image_mean": [0.4, 0.5, 0.6],
    "image_std": [0.2, 0.3, 0.4],
}
NAMES = {0: "cat", 1: "dog", 2: "owl", 3: "newt"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of images of 16 x 16, for a Cortex-M4."""
    folder = tmp_path_factory.mktemp("images")
    checkpoint = make_encoder("vit", folder / "checkpoint", id2label=NAMES)
    (checkpoint / "preprocessor_config.json").write_text(json.dumps(SAID))
    return generate(
        GenerateRequest("mps2-an386", CompileOptions(), model=str(checkpoint), output=folder / "p")
    ).project


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """40 x 23 pixels, with transparency, which is left out."""
    pixels = np.random.default_rng(0).integers(0, 256, (23, 40, 4)).astype(np.uint8)
    Image.fromarray(pixels, "RGBA").save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


def refusal(project: Path, file: Path, capsys: Capture) -> str:
    assert cli.run(["run", str(project), "--image", str(file)]) == 2
    return " ".join(capsys.readouterr().err.split())


def test_an_image_gets_a_label(project: Path, picture: Path, tmp_path: Path, capsys: Capture) -> None:
    """The scores of what transformers' own class makes of the image."""
    theirs = transformers.ViTImageProcessorPil(
        **{k: v for k, v in SAID.items() if k != "image_processor_type"}
    )
    pixels = np.stack(theirs(Image.open(picture).convert("RGB"))["pixel_values"])
    (logits,) = HostModel.of(project).run([pixels.astype(np.float32)])
    shares = np.exp(logits[0].astype(float)) / np.exp(logits[0].astype(float)).sum()
    file = tmp_path / "logits.npy"
    command = ["run", str(project), "--image", str(picture)]
    assert cli.run([*command, "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)["outputs"]
    assert np.array_equal(np.float32(told["values"]), logits)
    name = NAMES[int(logits.argmax())]
    assert told["labels"] == [{"name": name, "score": pytest.approx(shares.max()), "position": None}]
    assert cli.run([*command, "--output", str(file)]) == 0
    assert f"label  {name} {shares.max():.4g}" in capsys.readouterr().out
    assert np.array_equal(np.load(file), logits)


@pytest.mark.slow
def test_verify_takes_an_image(project: Path, picture: Path, capsys: Capture) -> None:
    command = ["verify", str(project), "--image", str(picture)]
    assert cli.run([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] and any("PyTorch = the checkpoint" in check["name"] for check in told["checks"])
    assert cli.run([*command, "--steps", "1"]) == 2
    assert "--image" in capsys.readouterr().err


def test_images_that_are_none(project: Path, picture: Path, tmp_path: Path, capsys: Capture) -> None:
    assert "cannot be read" in refusal(project, tmp_path / "missing.png", capsys)
    (tmp_path / "text.png").write_text("no image")
    assert "cannot be read" in refusal(project, tmp_path / "text.png", capsys)
    (tmp_path / "cut.png").write_bytes(picture.read_bytes()[:1500])
    assert "cannot be read" in refusal(project, tmp_path / "cut.png", capsys)
    deep = Image.fromarray(np.full((9, 9), 40_000, np.uint16))
    deep.save(tmp_path / "deep.png")
    assert "more than 8 bits" in refusal(project, tmp_path / "deep.png", capsys)
    frames = [Image.new("L", (4, 4), color) for color in (0, 200)]
    frames[0].save(tmp_path / "two.gif", save_all=True, append_images=frames[1:])
    assert "has 2 images" in refusal(project, tmp_path / "two.gif", capsys)


def test_gray_and_palettes_become_three_channels(project: Path, tmp_path: Path) -> None:
    gray = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    for mode in ("1", "L", "P", "CMYK"):
        gray.convert(mode).save(tmp_path / f"{mode}.tiff")
        assert cli.run(["run", str(project), "--image", str(tmp_path / f"{mode}.tiff"), "--json"]) == 0


def test_what_is_not_known_of_a_model_is_said(
    project: Path, picture: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = project / "model" / "report.json"
    before = report.read_text()
    facts = json.loads(before)
    try:
        for images, words in (
            (None, "no image processor is known"),
            ({"refused": "do_pad is True"}, "do_pad is True"),
            ({"resize": 3}, "was changed"),
            ({**facts["images"], "resize": None}, "becomes 3 x 23 x 40"),
            ({**facts["images"], "mean": [1.0, 2.0]}, "2 values of image_mean"),
        ):
            report.write_text(json.dumps({**facts, "images": images}))
            assert words in refusal(project, picture, capsys)
    finally:
        report.write_text(before)
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert cli.run(["run", str(project), "--image", str(picture)]) == 4
    assert "mcu-sdk[vision]" in capsys.readouterr().err


def test_a_folder_of_images(project: Path, tmp_path: Path, capsys: Capture) -> None:
    """`evaluate --dataset`: as many right as `run --image` says, beside the float checkpoint."""
    dataset, right = tmp_path / "d", 0
    for number, name in enumerate(("cat", "owl", "owl")):
        (dataset / name).mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (20, 30, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(dataset / name / f"{number}.png")
    (dataset / "cat" / ".hidden").touch()
    for file in dataset.rglob("*.png"):
        assert cli.run(["run", str(project), "--image", str(file), "--json"]) == 0
        (output,) = json.loads(capsys.readouterr().out)["outputs"]
        right += output["labels"][0]["name"] == file.parent.name
    command = ["evaluate", str(project), "--dataset", str(dataset)]
    assert cli.run([*command, "--json"]) == 0
    score = json.loads(capsys.readouterr().out)
    assert (score["rows"], score["cut"], score["unit"]) == (3, 0, "images")
    assert score["firmware"]["accuracy"] == pytest.approx(right / 3)
    assert score["checkpoint"] is not None and 0 <= score["agreement"] <= 1


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: (folder / "wolf").mkdir(), "no label 'wolf'"),
        (lambda folder: (folder / "cat" / "a.txt").write_text("none"), "a.txt' is none"),
        (lambda folder: (folder / "a.png").touch(), "a.png' lies in no label's folder"),
        (lambda folder: (folder / "cat" / "b.png").write_text("none"), "cannot be read as an image"),
        (lambda folder: (folder / "cat").rmdir(), "has no images"),
        (lambda folder: None, "No folder of a label has any"),
    ],
)
def test_folders_that_are_none(
    make: Callable[[Path], object], said: str, project: Path, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "d" / "cat").mkdir(parents=True)
    make(tmp_path / "d")
    assert cli.run(["evaluate", str(project), "--dataset", str(tmp_path / "d")]) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_a_checkpoint_that_says_nothing_of_images_is_refused_before_it_is_compiled(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcu_sdk.evaluate_dataset._generate", None)
    checkpoint = make_encoder("vit", tmp_path / "checkpoint", id2label=NAMES)
    assert cli.run(["evaluate", str(checkpoint), "--dataset", str(tmp_path)]) == 2
    assert "wants its images is not known" in " ".join(capsys.readouterr().err.split())

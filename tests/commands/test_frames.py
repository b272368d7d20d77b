"""`generate --frame`: a camera's frames in, of which the firmware makes the model's images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mcu_sdk import cli, run, verify
from mcu_sdk.errors import UsageError
from mcu_sdk.generation import generate
from mcu_sdk.options import CompileOptions, GenerateRequest
from tests.checkpoints import make_encoder

Capture = pytest.CaptureFixture[str]
WIDTH, HEIGHT = 40, 23


def with_processor(name: str, folder: Path, **said: object) -> Path:
    """An image model that says how images are prepared."""
    checkpoint = make_encoder(name, folder)
    side = json.loads((checkpoint / "config.json").read_text())["image_size"]
    file = {
        "image_processor_type": "ViTImageProcessor",
        "size": {"height": side, "width": side},
        "image_mean": [0.4, 0.5, 0.6],
        "image_std": [0.2, 0.3, 0.4],
        **said,
    }
    (checkpoint / "preprocessor_config.json").write_text(json.dumps(file))
    return checkpoint


def made(checkpoint: Path, folder: Path, board: str = "host") -> Path:
    options = CompileOptions(frame=f"{WIDTH}x{HEIGHT}")
    return generate(GenerateRequest(board, options, model=str(checkpoint), output=folder)).project


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_processor("mobilenet-v1", tmp_path_factory.mktemp("frames"))


@pytest.fixture(scope="module")
def project(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(checkpoint, tmp_path_factory.mktemp("project") / "p")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


@pytest.mark.slow
def test_a_frame_gets_a_label(project: Path, picture: Path, capsys: Capture) -> None:
    """And the checkpoint, given what its own image processor makes of it, agrees."""
    assert cli.run(["verify", str(project), "--image", str(picture), "--json"]) == 0
    checks = json.loads(capsys.readouterr().out)["checks"]
    assert [check["ok"] for check in checks] == [True] * 3
    assert checks[2]["name"] == "PyTorch = the checkpoint, within"
    by_array = run(project, inputs=np.asarray(Image.open(picture))[None])
    assert np.array_equal(run(project, image=picture).outputs["logits"], by_array.outputs["logits"])
    with pytest.raises(UsageError, match="exclude each other"):
        run(project, image=picture, inputs=np.asarray(Image.open(picture))[None])
    with pytest.raises(UsageError, match=r"nothing\.png"):
        run(project, image=picture.with_name("nothing.png"))
    assert cli.run(["run", str(project), "--image", str(picture), "--json"]) == 0
    (output,) = json.loads(capsys.readouterr().out)["outputs"]
    assert np.array_equal(np.float32(output["values"]), by_array.outputs["logits"]) and output["labels"]


@pytest.mark.slow
def test_scales_are_folded_into_the_frame(project: Path) -> None:
    """No float image: its table of values is int8 already."""
    plan = (project / "model" / "plan.cpp").read_text()
    assert "    mcu_resize_frame_s8(" in plan and "mcu_resize_frame_f32(" not in plan


@pytest.mark.slow
def test_blue_first(picture: Path, tmp_path: Path) -> None:
    """The first weights are turned around, and not the image."""
    processor = {"image_processor_type": "MobileViTImageProcessor", "do_center_crop": False}
    turned = made(with_processor("mobilenet-v1", tmp_path / "checkpoint", **processor), tmp_path / "p")
    plan = (turned / "model" / "plan.cpp").read_text()
    assert "    mcu_resize_frame_s8(" in plan and "flip" not in plan
    assert verify(turned, image=picture, simulator="host").verdict.ok


@pytest.mark.slow
def test_a_frame_of_another_size_is_refused(project: Path, picture: Path, capsys: Capture) -> None:
    Image.open(picture).resize((WIDTH, HEIGHT + 1)).save(picture)
    assert cli.run(["run", str(project), "--image", str(picture)]) == 2
    assert f"--frame {WIDTH}x{HEIGHT + 1}" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("size", ["40", "40x", "0x20", "40x23x3", "40 x 23", "-40x23", "99999x1"])
def test_what_is_no_size(size: str, tmp_path: Path, capsys: Capture) -> None:
    command = [
        "generate",
        "--board=host",
        f"--model={tmp_path}",
        f"--frame={size}",
        f"--out={tmp_path / 'p'}",
    ]
    assert cli.run(command) == 2
    assert "--frame is WIDTHxHEIGHT" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("said", "code", "words"),
    [
        ({"size": {"shortest_edge": 32}, "image_processor_type": "BitImageProcessor", "do_center_crop": False}, 3,
         "Take another --frame"),
        ({"do_pad": True}, 2, "do_pad is True"),
    ],
)  # fmt: skip
def test_models_that_take_no_such_frames(
    said: dict[str, object], code: int, words: str, tmp_path: Path, capsys: Capture
) -> None:
    checkpoint = with_processor("mobilenet-v1", tmp_path / "checkpoint", **said)
    output = tmp_path / "p"
    command = ["generate", "--board=host", f"--model={checkpoint}", "--frame=40x23", f"--out={output}"]
    assert cli.run(command) == code
    assert words in " ".join(capsys.readouterr().err.split()) and not output.exists()


def test_a_model_of_texts_takes_no_frames(text_checkpoint: Path, tmp_path: Path, capsys: Capture) -> None:
    command = [
        "generate",
        "--board=host",
        f"--model={text_checkpoint}",
        "--frame=40x23",
        f"--out={tmp_path / 'p'}",
    ]
    assert cli.run(command) == 2
    assert "takes input_ids" in " ".join(capsys.readouterr().err.split())


@pytest.mark.slow
@pytest.mark.parametrize("board", ["corstone-300", "mps2-an386", "mps2-an505"])
@pytest.mark.parametrize("name", ["vit", "mobilenet-v1"])
def test_devices_make_the_same_of_a_frame(name: str, board: str, picture: Path, tmp_path: Path) -> None:
    checkpoint = with_processor(name, tmp_path / "checkpoint", resample=3, do_rescale=True)
    project = made(checkpoint, tmp_path / "p", board)
    verdict = verify(project, inputs=np.asarray(Image.open(picture))[None]).verdict
    assert verdict.ok, verdict.summary

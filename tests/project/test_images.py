"""Image files as they are opened: turned, in the model's channels, or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mcu_sdk.errors import UsageError
from mcu_sdk.project.images import _open

ORIENTATION = 0x0112
QUARTER_TO_THE_RIGHT = 6


def test_a_photograph_is_turned_as_it_says(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 5, 3)).astype(np.uint8)
    image = Image.fromarray(pixels)
    exif = image.getexif()
    exif[ORIENTATION] = QUARTER_TO_THE_RIGHT
    image.save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(np.asarray(_open(tmp_path / "turned.png", 3)), np.rot90(pixels, -1))


def test_a_model_of_one_channel_gets_gray(tmp_path: Path) -> None:
    Image.new("RGB", (2, 2), (255, 0, 0)).save(tmp_path / "red.png")
    gray = _open(tmp_path / "red.png", 1)
    assert gray.mode == "L" and gray.getpixel((0, 0)) == 76


def test_an_image_that_would_fill_the_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("L", (40, 40)).save(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(UsageError, match="cannot be read as an image"):
        _open(tmp_path / "large.png", 1)


def test_a_folder_is_no_image(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Is a directory"):
        _open(tmp_path, 3)

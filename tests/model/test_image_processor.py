"""preprocessor_config.json becomes plain data, which prepares images as transformers' own classes do, to the bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers
from PIL import Image

from mcu_sdk.errors import UsageError
from mcu_sdk.model.image_processor import PROCESSORS, image_facts
from mcu_sdk.project.images import Preprocessing

SIZES = [(20, 31), (64, 40), (7, 7), (256, 300)]


def _write(folder: Path, **said: Any) -> Path:
    (folder / "preprocessor_config.json").write_text(json.dumps(said))
    return folder


def _theirs(name: str, said: dict[str, Any]) -> Any:
    """transformers' class for Pillow, with what the file says."""
    kind = getattr(transformers, f"{name}Pil")
    return kind(**said)


def _compare(name: str, said: dict[str, Any], folder: Path) -> None:
    facts = json.loads(json.dumps(image_facts(_write(folder, image_processor_type=name, **said))))
    ours, theirs = Preprocessing.of({"images": facts}, "it"), _theirs(name, said)
    rng = np.random.default_rng(len(name))
    for height, width in SIZES:
        image = Image.fromarray(rng.integers(0, 256, (height, width, 3)).astype(np.uint8))
        expected = np.asarray(theirs(image)["pixel_values"][0], np.float32)
        found = ours.apply(image)
        assert found.dtype == np.float32 and found.shape == expected.shape
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", PROCESSORS)
def test_defaults_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    _compare(name, {}, tmp_path)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "ViTImageProcessor",
            {"size": 32, "resample": 3, "image_mean": [0.1, 0.2, 0.3], "image_std": [1, 2, 3]},
        ),
        ("ViTImageProcessor", {"size": {"height": 24, "width": 40}, "do_normalize": False}),
        ("ViTImageProcessor", {"do_resize": False, "do_rescale": False}),
        ("DeiTImageProcessor", {"size": {"shortest_edge": 30}, "crop_size": {"height": 33, "width": 28}}),
        ("BitImageProcessor", {"size": 17, "crop_size": 16, "resample": 0, "rescale_factor": 0.01}),
        ("CLIPImageProcessor", {"do_center_crop": False, "size": {"shortest_edge": 9}}),
        ("MobileViTImageProcessor", {"size": 18, "crop_size": 16, "do_flip_channel_order": False}),
        ("ConvNextImageProcessor", {"size": {"shortest_edge": 32}, "crop_pct": 0.875}),
        ("ConvNextImageProcessor", {"size": {"shortest_edge": 33}}),
    ],
)
def test_what_is_said_is_done(name: str, said: dict[str, Any], tmp_path: Path) -> None:
    _compare(name, said, tmp_path)


@pytest.mark.parametrize(
    ("said", "names"),
    [
        ({"image_processor_type": "LevitImageProcessor"}, "LevitImageProcessor"),
        ({}, "None"),
        ({"do_pad": True}, "do_pad"),
        ({"size_divisor": 32}, "size_divisor"),
        ({"size": {"shortest_edge": 3, "longest_edge": 9}}, "size is"),
        ({"size": {"height": 0, "width": 3}}, "size is"),
        ({"crop_size": "large", "do_center_crop": True}, "crop_size"),
        ({"resample": 6}, "resample"),
        ({"resample": True}, "resample"),
        ({"image_mean": "gray"}, "image_mean"),
        ({"do_resize": 1}, "do_resize"),
        ({"crop_pct": 0.9}, "crop_pct"),
        ({"image_processor_type": "MobileViTImageProcessor", "do_normalize": True}, "do_normalize"),
        ({"image_processor_type": "ConvNextImageProcessor", "size": 32, "crop_pct": 0.0}, "crop_pct"),
        (
            {"image_processor_type": "ConvNextImageProcessor", "size": {"height": 2, "width": 2}},
            "shortest edge",
        ),
    ],
)
def test_what_nothing_does_is_refused_by_name(said: dict[str, Any], names: str, tmp_path: Path) -> None:
    kind = {} if not said else {"image_processor_type": "ViTImageProcessor"}
    facts = image_facts(_write(tmp_path, **{**kind, **said}))
    assert names in facts["refused"]
    with pytest.raises(UsageError, match="not known") as refused:
        Preprocessing.of({"images": facts}, "it")
    assert facts["refused"] in refused.value.message


def test_without_a_file_or_with_another_one_nothing_is_known(tmp_path: Path) -> None:
    assert "no preprocessor_config.json" in image_facts(tmp_path)["refused"]
    (tmp_path / "preprocessor_config.json").write_text("[]")
    assert "list" in image_facts(tmp_path)["refused"]


def test_keys_without_effect_on_an_image_are_borne(tmp_path: Path) -> None:
    said = {"feature_extractor_type": "ViTFeatureExtractor", "data_format": "channels_first", "do_pad": False}
    facts = image_facts(_write(tmp_path, **said, do_reduce_labels=False, processor_class=None, size=8))
    assert facts["resize"] == {"height": 8, "width": 8} and facts["mean"] == [0.5, 0.5, 0.5]

"""Which checkpoint `--model` means."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path

import pytest

from mcu_sdk.errors import ModelError
from mcu_sdk.model.load import find_checkpoint
from mcu_sdk.model.stored import read_stored


def test_the_bundled_models_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large, small = (find_checkpoint(name) for name in ("bundled", "bundled-small"))
    assert large == find_checkpoint(None)
    for checkpoint in (large, small):
        training = json.loads((checkpoint.folder / "training.json").read_text())
        shapes = read_stored(checkpoint.folder, checkpoint.name).tensors.values()
        assert sum(prod(tensor.shape) for tensor in shapes) == training["parameters"]
    assert (large.folder / "tokenizer.json").read_bytes() == (small.folder / "tokenizer.json").read_bytes()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bundled-small").mkdir()  # a folder of the user's goes first
    with pytest.raises(ModelError):
        find_checkpoint("bundled-small")

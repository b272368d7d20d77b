"""Which file says where a text starts and ends, as transformers' generate() has it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mcu_sdk.errors import ModelError
from mcu_sdk.lowering.metadata import llm_metadata
from mcu_sdk.model.load import find_checkpoint, load_model
from mcu_sdk.model.special_tokens import read_special_tokens, token_notes, vocabulary_of

Generation = dict[str, Any] | None

CASES = [
    ({"bos_token_id": 1, "eos_token_id": 2}, None, (1, [2])),
    ({}, {"bos_token_id": 3, "eos_token_id": [4, 5]}, (3, [4, 5])),
    ({"bos_token_id": 1, "eos_token_id": 2}, {"bos_token_id": 3, "eos_token_id": [4, 5]}, (3, [4, 5])),
    ({"bos_token_id": 1, "eos_token_id": 2}, {"eos_token_id": 4}, (None, [4])),
    ({"bos_token_id": 1, "eos_token_id": 2}, {}, (None, [])),
    ({"eos_token_id": [2, 3]}, None, (None, [2, 3])),
    ({}, {"eos_token_id": [2, 4000]}, (None, [2])),
]


@pytest.fixture(scope="module")
def folder(checkpoint: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    import shutil

    copy = tmp_path_factory.mktemp("special") / "model"
    shutil.copytree(checkpoint("llama-odd"), copy)
    return copy


def written(folder: Path, config: dict[str, Any], generation: Generation) -> Path:
    settings = json.loads((folder / "config.json").read_text())
    settings.update({"bos_token_id": None, "eos_token_id": None, **config})
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "generation_config.json").unlink(missing_ok=True)
    if generation is not None:
        (folder / "generation_config.json").write_text(json.dumps(generation))
    return folder


@pytest.mark.parametrize(("config", "generation", "expected"), CASES)
def test_the_firmware_stops_where_transformers_stops(
    config: dict[str, Any], generation: Generation, expected: tuple[int | None, list[int]], folder: Path
) -> None:
    """Against transformers' own choice on the same folder."""
    model: Any = load_model(find_checkpoint(str(written(folder, config, generation))))
    metadata = llm_metadata(model, 16)
    theirs = model.generation_config.eos_token_id
    theirs = theirs if isinstance(theirs, list) else [] if theirs is None else [theirs]
    vocabulary = model.config.vocab_size
    assert metadata.get("get_eos_ids", []) == [i for i in theirs if i < vocabulary] == expected[1]
    assert metadata.get("get_bos_id") == model.generation_config.bos_token_id == expected[0]


@pytest.mark.slow
def test_stop_tokens_reach_the_firmware(folder: Path, tmp_path: Path) -> None:
    from mcu_sdk import cli

    model = written(folder, {}, {"bos_token_id": 3, "eos_token_id": [4, 5]})
    command = ["--quiet", "generate", "--board=host", f"--model={model}", "--max-cache-len=16"]
    assert cli.run([*command, f"--output={tmp_path / 'out'}"]) == 0
    header = (tmp_path / "out" / "model" / "model.h").read_text()
    assert "kBosId = 3;" in header and "kEosCount = 2;" in header
    manifest = json.loads((tmp_path / "out" / "model" / "report.json").read_text())
    assert "notes" in manifest


def test_notes(tmp_path: Path) -> None:
    config = {"vocab_size": 100, "eos_token_id": 7}
    assert token_notes(tmp_path, config) == []
    generation = {
        "eos_token_id": [100],
        "num_beams": 5,
        "suppress_tokens": [5],
        "repetition_penalty": 1.1,
        "top_p": 1.0,
    }
    (tmp_path / "generation_config.json").write_text(json.dumps(generation))
    beyond, dropped, unused = token_notes(tmp_path, config)
    assert "stop token 100" in beyond and "beyond the 100 ids" in beyond
    assert "stop token 7" in dropped
    assert (
        "num_beams of" in unused
        and "suppress_tokens" not in unused
        and "repetition_penalty" not in unused
        and "top_p" not in unused
    )


@pytest.mark.parametrize("value", ["2", 2.5, True, [1, "2"], {"a": 1}, [[1]]])
def test_ids_that_are_none(value: object, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"eos_token_id in config\.json"):
        read_special_tokens(tmp_path, {"eos_token_id": value})


def test_the_vocabulary() -> None:
    assert vocabulary_of({"vocab_size": 5}) == vocabulary_of({"text_config": {"vocab_size": 5}}) == 5
    for config in ({}, {"vocab_size": True}, {"vocab_size": "5"}, {"vocab_size": -1}, {"text_config": 3}):
        assert vocabulary_of(config) is None

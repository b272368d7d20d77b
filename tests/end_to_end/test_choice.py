"""`generate --board X` and nothing else, on a board that holds neither the bundled model's weights nor its cache."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mcu_sdk import cli, resources
from mcu_sdk.project.manifest import read_manifest
from tests.test_regeneration import files_of

FLASH, RAM = "512K", "128K"


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """mps2-an386 with less: code and weights in 512 KB, everything else in 128 KB."""
    folder = tmp_path / "small-board"
    shutil.copytree(resources.boards() / "mps2-an386", folder)
    file = folder / "board.toml"
    text = file.read_text(encoding="utf-8")
    text = text.replace('size = "4M"', f'size = "{FLASH}"', 1).replace('size = "4M"', f'size = "{RAM}"', 1)
    for both in ('["ssram1", "psram"]', '["ssram23", "psram"]'):
        text = text.replace(both, both.replace(', "psram"', ""))
    file.write_text(text, encoding="utf-8")
    return folder


@pytest.mark.slow
def test_the_smaller_model_with_the_cache_that_fits(
    board: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = tmp_path / "firmware"
    assert cli.run(["generate", "--board", str(board), "--output", str(project), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["chosen"] == "the bundled model 'bundled-small', --max-cache-len 256"
    manifest = read_manifest(project)
    assert manifest.inputs["model"].name == "bundled-small" and manifest.options["max_cache_len"] == 256

    before = files_of(project)
    assert cli.run(["regenerate", str(project), "--json"]) == 0
    assert files_of(project) == before
    assert json.loads(capsys.readouterr().out)["chosen"] == ""

    assert cli.run(["verify", str(project), "--prompt", "ROMEO:", "--tokens", "20", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "ok"

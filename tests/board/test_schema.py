"""The JSON schema of board.toml: the file is the model's, packaged boards keep to it, misspellings do not."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import jsonschema
import pytest

from mcu_sdk import cli, resources
from mcu_sdk.board.schema import FILE, board_schema, schema_text

ROOT = Path(__file__).parents[2]


def test_the_file_is_the_models(capsys: pytest.CaptureFixture[str]) -> None:
    """Written by `mcu-sdk boards schema > boards/board.schema.json`."""
    assert (resources.boards() / FILE).read_text() == schema_text()
    assert cli.run(["boards", "schema"]) == 0
    assert json.loads(capsys.readouterr().out) == board_schema()


def test_editors_find_it() -> None:
    (rule,) = tomllib.loads((ROOT / ".taplo.toml").read_text())["rule"]
    assert (ROOT / rule["schema"]["path"]).samefile(resources.boards() / FILE)
    assert list(ROOT.glob(rule["include"][0]))


def errors(text: str) -> list[str]:
    validator = jsonschema.Draft202012Validator(board_schema())
    return [error.message for error in validator.iter_errors(tomllib.loads(text))]


@pytest.mark.parametrize("file", sorted(resources.boards().glob("*/board.toml")), ids=lambda f: f.parent.name)
def test_packaged_boards_keep_to_it(file: Path) -> None:
    assert errors(file.read_text()) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("stack_bytes", "stack_byte"),
        ('kind = "rom"', 'kind = "flash"'),
        ("[uart]", "[serial]"),
        ('size = "', 'size = "x'),
        ("interrupts = ", "interrupts = -"),
    ],
)
def test_what_reading_refuses_it_refuses(before: str, after: str) -> None:
    text = (resources.boards() / "nrf52840-dk" / "board.toml").read_text()
    assert before in text
    assert errors(text.replace(before, after, 1))

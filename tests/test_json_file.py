"""A JSON file of whatever origin gives its object, or a line that says what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcu_sdk.json_file import JsonFileError, object_or_nothing, read_object


def test_an_object_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": [1, "\u00e9"]}', encoding="utf-8")
    assert read_object(path) == object_or_nothing(path) == {"a": [1, "\u00e9"]}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "could not be read"),
        (b"", "could not be read"),
        (b'{"a": 1', "could not be read"),
        (b'{"a": "\xff"}', "could not be read"),
        (b"\xff\xfe{\x00}\x00", "could not be read"),
        (b"[" * 100_000, "could not be read"),
        (b"[1]", "holds a list"),
        (b"null", "holds a NoneType"),
        (b'"text"', "holds a str"),
    ],
)
def test_anything_else_is_told_in_a_line(content: bytes | None, why: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(JsonFileError, match=why) as caught:
        read_object(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300
    assert object_or_nothing(path) == {}


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(JsonFileError, match="could not be read"):
        read_object(tmp_path)

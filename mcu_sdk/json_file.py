"""JSON files that hold an object, of whatever origin: what is wrong with one is told in a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mcu_sdk.text import one_line


class JsonFileError(ValueError):
    """Why a file gives no JSON object."""


def read_object(path: Path) -> dict[str, Any]:
    """The object in a file. Raises JsonFileError for one that cannot be read, is no JSON in UTF-8, or holds another value."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise JsonFileError(f"it could not be read: {one_line(str(error))[:200]}") from error
    if not isinstance(content, dict):
        raise JsonFileError(f"it holds a {type(content).__name__}")
    return content


def object_or_nothing(path: Path) -> dict[str, Any]:
    """The object in a file; an empty one where there is none: for what is told if it is known."""
    try:
        return read_object(path)
    except JsonFileError:
        return {}

"""A checkpoint's JSON files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mcu_sdk.errors import ModelError
from mcu_sdk.json_file import JsonFileError, read_object

SAVE_AGAIN = "Save the checkpoint again."


def json_object(path: Path, hint: str = SAVE_AGAIN) -> dict[str, Any]:
    """The object in a JSON file of a checkpoint. Raises ModelError."""
    try:
        return read_object(path)
    except JsonFileError as error:
        raise ModelError(f"{path} should hold a JSON object; {error}.", hint=hint) from error

"""mcu-sdk.json: what a generated project was made from. No absolute paths, no times: two runs write the same bytes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any

from mcu_sdk import __version__
from mcu_sdk.errors import UsageError

FILE = "mcu-sdk.json"
_FORMAT = 1
_PACKAGES = ("executorch", "torch", "transformers", "ethos-u-vela")

Option = str | int | float | bool | None


@dataclass(frozen=True)
class Manifest:
    """The content of mcu-sdk.json. `inputs` maps a role ("model.pte", "board.toml") to the SHA-256 of its bytes."""

    name: str
    board: str
    inputs: dict[str, str]
    options: dict[str, Option]
    versions: dict[str, str]


def make_manifest(
    name: str, board: str, inputs: Mapping[str, bytes], options: Mapping[str, Option]
) -> Manifest:
    """Hash the inputs and note the versions. Absolute paths among the options are cut down to their last part."""
    return Manifest(
        name=name,
        board=board,
        inputs={role: sha256(data).hexdigest() for role, data in sorted(inputs.items())},
        options={key: _portable(value) for key, value in sorted(options.items())},
        versions={"mcu-sdk": __version__, **_installed()},
    )


def _portable(value: Option) -> Option:
    return Path(value).name if isinstance(value, str) and os.path.isabs(value) else value


def _installed() -> dict[str, str]:
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def to_json(manifest: Manifest) -> str:
    """The file's text."""
    return json.dumps({"format": _FORMAT, **vars(manifest)}, indent=2, ensure_ascii=True) + "\n"


def read_manifest(project: Path) -> Manifest:
    """The manifest of a generated project. Raises UsageError if the folder is none, or of an unknown format."""
    file = project / FILE
    try:
        content: Any = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{str(project)!r} is not a project that mcu-sdk generated: {FILE} cannot be read ({error}).",
            hint="Name the folder that `mcu-sdk generate` wrote.",
        ) from error
    if not isinstance(content, dict) or content.pop("format", None) != _FORMAT:
        raise UsageError(f"{file} is not of format {_FORMAT}.", hint="Generate the project again.")
    try:
        return Manifest(**content)
    except TypeError as error:
        raise UsageError(
            f"{file} has other keys than expected: {error}.", hint="Generate the project again."
        ) from error

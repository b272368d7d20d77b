"""What a project is made from, told by content: the same inputs, wherever they lie, are the same project."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from mcu_sdk import resources
from mcu_sdk.board.board import BOARD_SOURCE, Board
from mcu_sdk.errors import UsageError
from mcu_sdk.model.load import Checkpoint
from mcu_sdk.model.tokenizer import read_text, tokenizer_file
from mcu_sdk.options import GenerateRequest
from mcu_sdk.project.manifest import Input, digest

BUNDLED = "bundled"
"""The name of the checkpoint that comes with mcu-sdk."""


@dataclass(frozen=True)
class Inputs:
    """What was found, by option, and the absolute paths of what lies in a folder of the user's."""

    found: dict[str, Input]
    places: dict[str, Path]

    def expect(self, expected: Mapping[str, Input]) -> Inputs:
        """These inputs by the names that they were expected under.

        Raises UsageError for one that is not what was expected: another content, another packaged board.
        """
        for role, wanted in expected.items():
            found = self.found.get(role)
            if found is None or _identity(found) != _identity(wanted):
                raise UsageError(
                    f"The project was generated from {_told(role, wanted)}; found is "
                    f"{_told(role, found) if found else 'none'}.",
                    hint="Put back what it was, or generate anew over the same folder (generate --output ...): app/ stays.",
                )
        return Inputs({**self.found, **expected}, self.places)


def _identity(entry: Input) -> tuple[str, str]:
    return ("packaged", entry.name) if entry.kind == "packaged" else ("", entry.sha256)


def _told(role: str, entry: Input) -> str:
    content = f" with the SHA-256 {entry.sha256[:16]}..." if entry.sha256 else " of mcu-sdk"
    return f"the {role.replace('_', ' ')} {entry.name!r}{content}"


def identify(request: GenerateRequest, board: Board, checkpoint: Checkpoint | None) -> Inputs:
    """Hash what the request names. `checkpoint`: of --model; None with --pte.

    Raises TextError for a text that cannot be read.
    """
    if request.compile_options.calibration_text is not None:
        read_text(request.compile_options.calibration_text, "to calibrate on")
    found = {"board": _board(board)}
    places: dict[str, Path] = {}
    if found["board"].kind == "folder" and board.folder is not None:
        places["board"] = board.folder
    if checkpoint is not None:
        found["model"] = _checkpoint(request.model, checkpoint)
        if found["model"].kind in ("folder", "file"):
            places["model"] = Path(str(request.model))
    files = {
        "pte": request.pte,
        "tokenizer": tokenizer_file(request.tokenizer) if request.tokenizer is not None else None,
        "calibration_text": request.compile_options.calibration_text,
        "grammar": request.grammar,
        "json_schema": request.json_schema,
    }
    for role, path in files.items():
        if path is not None:
            found[role] = Input("file", path.name, digest(path.read_bytes()))
    if files["calibration_text"] is not None:  # the others have a copy in the project
        places["calibration_text"] = files["calibration_text"]
    return Inputs(found, {role: Path(os.path.abspath(path)) for role, path in places.items()})


def _board(board: Board) -> Input:
    folder = board.folder
    if folder is None or folder.resolve().parent == resources.boards().resolve():
        return Input("packaged", board.name)
    content = sha256()
    own = {name: path for name, path in board.sources.items() if name != BOARD_SOURCE}
    for path in (folder / "board.toml", folder / BOARD_SOURCE, *(own[name] for name in sorted(own))):
        if path.is_file():
            content.update(sha256(path.read_bytes()).digest())
    return Input("folder", folder.resolve().name, content.hexdigest())


def _checkpoint(model: str | None, checkpoint: Checkpoint) -> Input:
    if model is None:
        return Input("packaged", BUNDLED)
    if os.path.isdir(model):
        return Input("folder", Path(model).resolve().name, checkpoint.fingerprint())
    if not os.path.exists(model) and model in resources.bundled_models():
        return Input("packaged", model)
    if os.path.isfile(model):
        with Path(model).open("rb") as file:
            return Input("file", Path(model).name, hashlib.file_digest(file, "sha256").hexdigest())
    return Input("hub", model, checkpoint.fingerprint())

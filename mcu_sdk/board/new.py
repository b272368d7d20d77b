"""A board's folder to begin from: a copy of another board's, under a new name (docs/adding-a-board.md)."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

from mcu_sdk import resources
from mcu_sdk.board.board import NAME_PATTERN, board_names, load_board
from mcu_sdk.board.schema import FILE, schema_text
from mcu_sdk.errors import BoardError, UsageError
from mcu_sdk.folders import made

_DRIVERS = "platform/cortex_m"


def new_board(name: str, source: str, folder: Path) -> Path:
    """Copy the files of the board `source` (a name, or a folder's path) to `folder`, with the UART's driver and the
    schema of board.toml beside them, and `name` in board.toml; its comments stay. Returns the folder.

    Raises UsageError for a name that cannot be one or is a packaged board's, or a folder that is not empty, and
    BoardError for a source that does not exist, or is this computer.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        raise UsageError(
            f"A board's name has a-z, 0-9, - and _, begins with a letter or a digit, and has at most 48 characters; "
            f"{name!r} was given.",
            hint="For example: mcu-sdk boards new my-board --from nrf52840-dk",
        )
    if name in board_names():
        raise UsageError(
            f"{name} comes with mcu-sdk: --board {name} would mean that one.", hint="Take another name."
        )
    board = load_board(source)
    if board.is_host or board.folder is None or board.uart is None:
        raise BoardError(
            f"{board.name} is no board with memories of its own.", hint="Begin from another one."
        )
    folder = Path(os.path.abspath(folder))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{str(folder)!r} is there and not empty.", hint="Name another folder with --out.")
    text = _renamed((board.folder / "board.toml").read_text(encoding="utf-8"), name)
    try:
        with (
            made(folder.parent),
            tempfile.TemporaryDirectory(prefix=f".{name}.", dir=folder.parent) as staging,
        ):
            copy = Path(staging) / "board"
            copy.mkdir()
            for file in sorted(board.folder.iterdir()):
                if file.is_file():
                    shutil.copyfile(file, copy / file.name)
            driver = f"uart_{board.uart.driver}.cpp"
            if not (copy / driver).exists():
                shutil.copyfile(resources.firmware() / _DRIVERS / driver, copy / driver)
            (copy / FILE).write_text(schema_text(), encoding="utf-8")
            (copy / "board.toml").write_text(text, encoding="utf-8")
            load_board(copy)
            if folder.exists():
                folder.rmdir()
            os.rename(copy, folder)
    except OSError as error:
        raise UsageError(
            f"{str(folder)!r} cannot be written: {error.strerror or error}.",
            hint="Name another folder with --out.",
        ) from error
    return folder


def _renamed(text: str, name: str) -> str:
    """A board.toml with another name, and the line by which editors find its schema."""
    text = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#:schema"))
    head = re.split(r"^\s*\[", text, maxsplit=1, flags=re.MULTILINE)[0]
    changed, count = re.subn(
        r"^name\s*=\s*(\"[^\"]*\"|'[^']*')", f'name = "{name}"', head, count=1, flags=re.MULTILINE
    )
    if not count:
        raise BoardError(
            "The board.toml to begin from has no line `name = ...`.", hint="Begin from another one."
        )
    return f"#:schema ./{FILE}\n{changed}{text[len(head) :]}"

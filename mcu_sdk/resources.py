"""Where the files that travel with the package are: templates/, boards/, firmware/.

In a checkout they are beside `mcu_sdk/`; in a wheel they are inside it.
"""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def _folder(name: str) -> Path:
    installed = PACKAGE / name
    return installed if installed.is_dir() else PACKAGE.parent / name


def templates() -> Path:
    """The Jinja templates, laid out as the generated project."""
    return _folder("templates")


def firmware() -> Path:
    """The C++ sources that are copied into generated projects."""
    return _folder("firmware")


def boards() -> Path:
    """One folder for each board."""
    return _folder("boards")


def bundled_model() -> Path:
    """The checkpoint that is used when the user names none."""
    return bundled_models()["bundled"]


def bundled_models() -> dict[str, Path]:
    """The checkpoints of the package by the names that `--model` knows them by, the largest first."""
    return {"bundled": PACKAGE / "model" / "bundled", "bundled-small": PACKAGE / "model" / "bundled_small"}

"""Whether a project may be written to a folder, and could be built there."""

from __future__ import annotations

import os
import re
from pathlib import Path

from mcu_sdk.errors import UsageError
from mcu_sdk.project import manifest
from mcu_sdk.project.edited import KEPT

UNBUILDABLE = re.compile(r'["\\;|$\[\]\x00-\x1f\x7f]')
"""What CMake, Ninja or GCC trip over in the path of a folder to build in; `;` even sends CMake to other folders. Of what no
terminal shows some builds and some does not, by their versions: none of it is taken."""


def check_path(path: str, hint: str) -> None:
    """Raise UsageError for the path of a folder that could not be built in."""
    found = UNBUILDABLE.search(path)
    if found:
        raise UsageError(
            f"CMake and Ninja cannot build in a folder whose path has the character {found[0]!a}: {path!a}.",
            hint=hint,
        )


def check_output(destination: Path) -> None:
    """Raises UsageError for a folder that must not be touched, cannot be made, or could not be built in."""
    path = os.path.abspath(destination)
    check_path(path, "Name another --output.")
    try:
        check_destination(destination)
        _check_writable(Path(path))
    except OSError as error:  # a name that is too long, a folder that may not be read
        raise UsageError(
            f"The project cannot be written to {path!a}: {error.strerror or error}.",
            hint="Name another --output.",
        ) from error


def _check_writable(path: Path) -> None:
    """Raises OSError if the folder cannot be made, before anything slow is done for it."""
    nearest = next(above for above in (path, *path.parents) if above.exists())
    if not nearest.is_dir():
        raise NotADirectoryError(f"{nearest} is no folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise PermissionError(f"no right to write in {nearest}")


def check_kept_app(destination: Path, *, language_model: bool) -> None:
    """Raises UsageError for a project whose app/, which stays, was written for the other kind of model."""
    if not (destination / manifest.FILE).is_file() or not (destination / KEPT).is_dir():
        return
    try:
        was = manifest.read_manifest(destination).model.is_language_model
    except UsageError:  # of another version of mcu-sdk: what app/ was made for is not known
        return
    if was != language_model:
        kinds = {True: "a language model", False: "a model of tensors"}
        raise UsageError(
            f"{str(destination / KEPT)!r} stays as it is, and was written for {kinds[was]}; the new one is "
            f"{kinds[language_model]}.",
            hint="Name another --output, or remove the folder.",
        )


def check_format(destination: Path, wanted: str) -> None:
    """Raises UsageError for a project of the other format: "firmware" or "library"."""
    try:
        was = manifest.read_manifest(destination).options.get("format", "firmware")
    except UsageError:  # none is there, or one of another version of mcu-sdk
        return
    if was != wanted:
        raise UsageError(
            f"{str(destination)!r} is a project of the format {was}; the new one would be a {wanted}.",
            hint="Name another --output, or remove the folder.",
        )


def check_destination(destination: Path) -> bool:
    """Whether `destination` is a project already. Raises UsageError if it is something that must not be touched."""
    if (destination / manifest.FILE).is_file():
        return True
    if destination.is_symlink() or destination.exists():
        if not destination.is_dir():
            raise UsageError(f"{str(destination)!r} exists and is no folder.", hint="Name another --output.")
        if any(destination.iterdir()):
            raise UsageError(
                f"{str(destination)!r} exists and is not a project that mcu-sdk generated (it has no {manifest.FILE}).",
                hint="Name another --output, or remove the folder.",
            )
    return False

"""Generated files that their project's owner changed: noticed, and never overwritten in silence.

The manifest keeps the SHA-256 of every file that was generated; app/, which is the owner's from the start, is not among
them. When a project is made again,

    a file that the build reads and that was changed   stops it (UsageError), or is set aside with --force
    any other file that was changed or deleted         stays as it is: a README, CI files, an editor's settings
    a file that the owner added beside generated ones  stays
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from mcu_sdk.errors import UsageError
from mcu_sdk.project import manifest

KEPT = "app"
"""The folder that is written once and then belongs to the user."""

BUILT = ("CMakeLists.txt", "CMakePresets.json", "cmake", "harness", "include", "model", "sdk")
"""What of a project its build reads. All else can be changed without a difference to the firmware."""

LOCAL = ".mcu-sdk"
ASIDE = f"{LOCAL}/edited"
"""Where changed files go that --force replaces; Git ignores it."""

_SHOWN = 6


def hashes(folder: Path) -> dict[str, str]:
    """The SHA-256 of every generated file in a project that was just written, by its path."""
    return {
        name: manifest.digest((folder / name).read_bytes())
        for name in sorted(_files(folder, [entry.name for entry in folder.iterdir()]))
        if name.partition("/")[0] not in (KEPT, LOCAL) and name != manifest.FILE
    }


def recorded(project: Path) -> Mapping[str, str]:
    """The hashes in the project's manifest; none for a folder without, or of another version of mcu-sdk."""
    if not (project / manifest.FILE).is_file():
        return {}
    try:
        files = manifest.read_manifest(project).files
    except UsageError:
        return {}
    return {name: text for name, text in files.items() if _is_inside(name)}


def edited(project: Path, files: Mapping[str, str] | None = None) -> list[str]:
    """The generated files that are not what was generated, those that are missing left out."""
    files = recorded(project) if files is None else files
    return [
        name
        for name, expected in files.items()
        if _is_there(project / name) and _digest(project / name) != expected
    ]


def edited_sources(project: Path, files: Mapping[str, str] | None = None) -> list[str]:
    """Those of `edited` that the build reads."""
    return [name for name in edited(project, files) if is_built(name)]


def is_built(name: str) -> bool:
    """Whether the build reads the file of this path."""
    return name.partition("/")[0] in BUILT


def check_edited(project: Path, *, force: bool) -> list[str]:
    """What making the project again does to changed files, a sentence each.

    Raises UsageError if it would replace one, unless `force`.
    """
    files = recorded(project)
    found = edited(project, files)
    replaced = [name for name in found if is_built(name)]
    stays = [name for name in found if not is_built(name)]
    if replaced and not force:
        one = len(replaced) == 1
        raise UsageError(
            f"{said(replaced)} in {str(project)!r} {'was' if one else 'were'} changed since {'it was' if one else 'they were'} "
            "generated, and would be overwritten.",
            hint=f"What is yours belongs in {KEPT}/. --force overwrites; what was changed goes into {ASIDE}/.",
        )
    notes = [f"{name} was changed and stays as it is" for name in stays]
    return notes + [f"{name} was changed; it lies in {ASIDE}/ now" for name in replaced]


def said(names: Sequence[str]) -> str:
    """A few of the names, and how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def merge(staging: Path, project: Path) -> None:
    """Put into `staging`, which is to replace the generated parts of `project`, what stays of those.

    What is replaced although it was changed is copied to ASIDE first.
    """
    files = recorded(project)
    if not files:
        return  # nobody knows what was generated
    if (project / ASIDE).is_dir():
        shutil.copytree(project / ASIDE, staging / ASIDE, symlinks=True)
    for name in edited(project, files):
        if is_built(name):
            _copy(project / name, staging / ASIDE / name)
        elif (staging / name).is_file():
            _copy(project / name, staging / name)
    for name in files:
        if not is_built(name) and not _is_there(project / name):
            (staging / name).unlink(missing_ok=True)
    folders = [
        entry.name for entry in staging.iterdir() if entry.is_dir() and entry.name not in (KEPT, LOCAL)
    ]
    for name in _files(project, folders):
        if name in files:
            continue
        if _is_free(staging, name):
            _copy(project / name, staging / name)
        elif _digest(project / name) != _digest(staging / name):
            _copy(project / name, staging / ASIDE / name)


def _is_inside(name: str) -> bool:
    """Whether a path from a manifest stays in the project's folder."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def _is_there(path: Path) -> bool:
    """Whether there is a file, or a link to whatever it may be."""
    return path.is_file() or path.is_symlink()


def _is_free(folder: Path, name: str) -> bool:
    """Whether a file of this path can be put into the folder without replacing anything."""
    path = folder / name
    above = [parent for parent in path.parents if parent.is_relative_to(folder)]
    return not path.exists() and all(parent.is_dir() or not parent.exists() for parent in above)


def _files(folder: Path, entries: Sequence[str]) -> Iterator[str]:
    """The paths of all files in these entries of a folder."""
    for entry in entries:
        path = folder / entry
        found = path.rglob("*") if path.is_dir() else [path]
        files = (file for file in found if file.is_file() or file.is_symlink())
        yield from (file.relative_to(folder).as_posix() for file in files)


def _digest(path: Path) -> str:
    try:
        return manifest.digest(path.read_bytes())
    except OSError:  # not to be read: it is not what was generated, in any case
        return ""


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target, follow_symlinks=False)

"""Swapping the generated part of a project for one that was made anew, wholly or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from mcu_sdk.project import ci, manifest
from mcu_sdk.project.edited import KEPT, merge

LISTS = "CMakeLists.txt"


def replace_generated(staging: Path, project: Path, old: Path) -> None:
    """Swap the generated entries of an existing project, the manifest last; app/ stays if it is there, and what is for
    CI, as its owner left it: changed, or removed."""
    old.mkdir()
    for name in ci.TEMPLATES:
        top = staging / name.removesuffix(".j2").split("/")[0]
        shutil.rmtree(top) if top.is_dir() else top.unlink(missing_ok=True)
    if (project / KEPT).exists() and (staging / KEPT).exists():
        _keep_app(staging / KEPT, project / KEPT)
    merge(staging, project)
    _keep_times(staging, project)
    entries = sorted(staging.iterdir(), key=lambda entry: (entry.name == manifest.FILE, entry.name))
    try:
        for entry in entries:
            target = project / entry.name
            if target.is_symlink() or target.exists():
                os.rename(target, old / entry.name)
            os.rename(entry, target)
    except BaseException:
        _put_back(entries, project, old)
        raise


def _keep_app(staging: Path, app: Path) -> None:
    """Leave app/ as it is; a project from before app/CMakeLists.txt gets one, without which it cannot be built."""
    if not (app / LISTS).exists():
        shutil.copyfile(staging / LISTS, app / LISTS)
    shutil.rmtree(staging)


def _put_back(entries: Sequence[Path], project: Path, old: Path) -> None:
    """Undo a swap that was not finished: what is new returns to `entries`, what was there to `project`."""
    for entry in entries:
        target, before = project / entry.name, old / entry.name
        if target.exists() and not entry.exists():
            os.rename(target, entry)
        if before.is_symlink() or before.exists():
            os.rename(before, target)


def _keep_times(staging: Path, project: Path) -> None:
    """Give files that did not change their old times, so that a build sees that there is nothing to do."""
    for file in staging.rglob("*"):
        before = project / file.relative_to(staging)
        if file.is_file() and before.is_file() and before.read_bytes() == file.read_bytes():
            times = before.stat()
            os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))

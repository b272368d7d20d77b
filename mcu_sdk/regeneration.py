"""A project made again from its manifest: in its own place, or as a profiled twin in its build folder."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from mcu_sdk.errors import UsageError
from mcu_sdk.generation import Generated, generate
from mcu_sdk.options import GenerateRequest
from mcu_sdk.planning.plan import Plan
from mcu_sdk.project.manifest import read_manifest
from mcu_sdk.project.opened import Project

FOLDER = "build/profiled"
"""Where in a project its twin lies."""

_USERS_OWN = ("app", "model/tokenizer.cpp")


def regenerate(project: Path, *, use_cache: bool = True) -> Generated:
    """Generate again into `project`, from what its manifest says. Its own model.pte serves where the model was a file.

    Raises UsageError for a folder that is no project of ours, and what `generate` raises.
    """
    manifest = read_manifest(project)
    asked = GenerateRequest.from_manifest({"board": manifest.board, **manifest.options})
    return generate(
        replace(
            asked,
            pte=project / "model" / "model.pte" if asked.pte is not None else None,
            output=project,
            name=manifest.name,
            use_cache=use_cache,
        )
    )


def make_profiled(project: Project) -> tuple[Path, Plan]:
    """Generate the project's twin from its own model.pte, and its app/; (folder, plan).

    Raises UsageError for a board that cannot count instructions, and what `generate` raises.
    """
    board = project.board
    if board.counter is None:
        raise UsageError(
            f"A profile counts instructions; the board {board.name} has no counter.",
            hint="Generate the project for corstone-300.",
        )
    twin = project.folder / FOLDER
    request = GenerateRequest(
        board=str(project.manifest.options.get("board") or board.name),
        pte=project.folder / "model" / "model.pte",
        output=twin,
        name=project.manifest.name,
        profile=True,
    )
    generated = generate(request)
    for name in _USERS_OWN:
        source, copy = project.folder / name, twin / name
        if source.is_dir():
            shutil.copytree(source, copy, dirs_exist_ok=True)
        elif source.is_file():
            shutil.copy2(source, copy)
    return twin, generated.plan

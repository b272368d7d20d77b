"""A project made again from its manifest: in its own place, or as a profiled twin in its build folder."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mcu_sdk.errors import UsageError
from mcu_sdk.generated import Generated
from mcu_sdk.generation import generate
from mcu_sdk.inputs import BUNDLED
from mcu_sdk.options import GenerateRequest
from mcu_sdk.planning.plan import Plan
from mcu_sdk.project.edited import KEPT
from mcu_sdk.project.manifest import GRAMMARS, TOKENIZER, Input, Manifest, digest, read_manifest, read_places
from mcu_sdk.project.opened import Project
from mcu_sdk.project.render import MODEL_FILE

FOLDER = "build/profiled"
"""Where in a project its twin lies."""


def regenerate(
    project: Path,
    *,
    places: Mapping[str, str] | None = None,
    use_cache: bool = True,
    force: bool = False,
) -> Generated:
    """Generate again into `project`, from what its manifest says.

    `places`: where inputs lie now, by option ("model", "board", "calibration_text", "tokenizer", "grammar", "json_schema"), if not where they lay.
    With `force` generated files that were changed are replaced. Raises UsageError for a folder that is no project of
    ours, for an input that is gone or is another than it was, and what `generate` raises.
    """
    manifest = read_manifest(project)
    named = dict(places or {})
    for role in named.keys() - manifest.inputs.keys():
        raise UsageError(
            f"{_flag(role)} was given; the project was generated without it.",
            hint=f"Leave {_flag(role)} out.",
        )
    found = {role: _place(project, manifest, role, named) for role in manifest.inputs}
    request = GenerateRequest.from_manifest(
        manifest.options, {role: place for role, place in found.items() if place is not None}
    )
    request = replace(request, output=project, use_cache=use_cache, force=force)
    return generate(replace(request, expected=manifest.inputs))


def _place(project: Path, manifest: Manifest, role: str, named: Mapping[str, str]) -> str | Path | None:
    """Where an input is to be read: where the user says, in the project itself, where it lay; None for the bundled model
    that nothing names.

    Raises UsageError if it is not there.
    """
    entry = manifest.inputs[role]
    kind = Path if role in ("pte", "tokenizer", "calibration_text", *GRAMMARS) else str
    if role in named:
        return kind(named[role])
    if entry.kind == "packaged":
        return None if role == "model" and entry.name == BUNDLED else entry.name
    kept = {"pte": MODEL_FILE, "tokenizer": f"model/{TOKENIZER}"}
    own = (kept | {option: f"model/{name}" for option, name in GRAMMARS.items()}).get(role)
    if own is not None and (project / own).is_file():
        return project / own
    if entry.kind == "hub":
        return entry.name
    place = read_places(project).get(role)
    if place is None or not place.exists():
        where = f"it is no longer at {place}" if place is not None else "where it lies is not known here"
        raise UsageError(
            f"The project was generated from the {role.replace('_', ' ')} {entry.name!r}; {where}.",
            hint=f"Name its place: mcu-sdk regenerate {project} {_flag(role)} PLACE.",
        )
    return kind(place)


def _flag(role: str) -> str:
    return "--" + role.replace("_", "-")


def make_profiled(project: Project) -> tuple[Path, Plan]:
    """Generate the project's twin from its own model.pte and tokenizer, and its app/; (folder, plan).

    Raises UsageError for a board that cannot count instructions, for files of the project that are not those that were
    generated, and what `generate` raises.
    """
    board, manifest = project.board, project.manifest
    if manifest.options.get("runtime") == "executorch":
        raise UsageError(
            "A profile is of a plan's calls; ExecuTorch's own runtime runs this project's model.",
            hint="Generate it with --runtime plan.",
        )
    if not board.counts_instructions:
        raise UsageError(
            f"A profile counts instructions; the board {board.name} has no counter of them.",
            hint="Generate the project for corstone-300.",
        )
    model = project.folder / MODEL_FILE
    tokenizer = project.folder / "model" / TOKENIZER if manifest.model.tokenizer else None
    grammars = {
        option: project.folder / "model" / name
        for option, name in GRAMMARS.items()
        if option in manifest.inputs
    }
    expected_grammars = [(path, manifest.inputs[option].sha256) for option, path in grammars.items()]
    for path, expected in (
        (model, manifest.model.sha256),
        (tokenizer, manifest.model.tokenizer),
        *expected_grammars,
    ):
        if path is not None and (not path.is_file() or digest(path.read_bytes()) != expected):
            raise UsageError(
                f"{path} is not the file that was generated.",
                hint="Run `mcu-sdk regenerate` on the project first.",
            )
    twin = project.folder / FOLDER
    packaged = manifest.inputs.get("board", Input("packaged", board.name)).kind == "packaged"
    kept = {key: value for key, value in manifest.options.items() if key in ("optimize", "name")}
    places: dict[str, object] = {
        "board": board.name if packaged else str(board.folder),
        "pte": model,
        "tokenizer": tokenizer,
        **grammars,
    }
    request = GenerateRequest.from_manifest(kept, {role: place for role, place in places.items() if place})
    generated = generate(replace(request, output=twin, profile=True, force=True))
    if (project.folder / KEPT).is_dir():
        shutil.copytree(project.folder / KEPT, twin / KEPT, dirs_exist_ok=True)
    return twin, generated.plan

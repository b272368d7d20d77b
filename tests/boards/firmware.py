"""Firmware for boards in little time: a tiny model, and objects that boards with the same core share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mcu_sdk.board.board import Board
from mcu_sdk.board.toolchain import LINKER
from mcu_sdk.project import flags
from mcu_sdk.project.project_inputs import ProjectInputs
from mcu_sdk.project.render import write_files
from mcu_sdk.project.trial import Trial, _key
from tests.project.conftest import make_inputs

Patches = Mapping[str, tuple[str, str]]
"""For each source: a text in it, and what takes its place."""


def scalar(board: Board) -> Board:
    """The board as unicorn can run it: with the core of an image without Helium where it has one.

    Its start-up and drivers are compiled from the same lines, by the same compiler, for a Cortex-M33."""
    if not board.core.helium:
        return board
    flags = ("-mcpu=cortex-m33", "-mthumb", "-mfloat-abi=hard")
    core = board.core.model_copy(update={"cpu": "cortex-m33", "helium": False, "flags": flags})
    return board.model_copy(update={"core": core})


class Workshop:
    """Compiles and links firmware as a project's CMake files do (mcu_sdk/project/trial.py); `folder` keeps the objects."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._objects = folder / "objects"
        self._objects.mkdir(parents=True, exist_ok=True)
        self._made = 0
        self.objects: dict[str, Path] = {}
        """Of the last firmware: each source's."""

    def tiny(self, board: Board, patches: Patches | None = None) -> Path:
        """The ELF of the tiny model for a board; under one name for all of them, so that only the platform differs."""
        return self.link(make_inputs(board.model_copy(update={"name": "board"})), patches)

    def link(self, inputs: ProjectInputs, patches: Patches | None = None) -> Path:
        """The ELF of a project that was never written anywhere else."""
        self._made += 1
        project = self._folder / f"project{self._made}"
        write_files(inputs, project)
        for name, (before, after) in (patches or {}).items():
            text = (project / name).read_text()
            assert text.count(before) == 1, f"{before!r} is {text.count(before)} times in {name}"
            (project / name).write_text(text.replace(before, after))
        tools = inputs.board.tools
        assert tools.compiler is not None, f"to install: {tools.install}"
        trial = Trial.of(project, tools.compiler, inputs)
        self.objects = {name: self._object(trial, name) for name in trial.names}
        trial.run([*trial.core, "-I.", "-c", "model/model_data.S", "-o", "model_data.o"])
        libraries = [f"-l{library}" for library in flags.LIBRARIES]
        linked = [
            "-T",
            "cmake/board.ld",
            *map(str, self.objects.values()),
            "model_data.o",
            *libraries,
            "-o",
            "firmware.elf",
        ]
        trial.run([*trial.link_options(), *linked], LINKER)
        return project / "firmware.elf"

    def _object(self, trial: Trial, name: str) -> Path:
        warnings = [] if name.endswith(".S") else [*flags.WARNINGS, "-Werror"]
        command = [*warnings, *trial.command(name)]
        result = self._objects / f"{_key(command, trial.closure(name))}.o"
        if not result.is_file():
            trial.compile(command, result)
        return result

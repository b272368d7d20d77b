"""The tiny model's firmware for each board, and what this computer computes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mcu_sdk.board.board import load_board
from mcu_sdk.project.build import build
from mcu_sdk.project.render import render_project
from mcu_sdk.targets.protocol import Listener, Request, Transcript
from tests.boards.firmware import Workshop, scalar
from tests.project.conftest import make_inputs, run_host

REQUEST = Request(ids=(1, 2, 3), tokens=4)
NUMBER = 20_000


def transcript_of(output: bytes) -> Transcript:
    """What a firmware answered to REQUEST."""
    listener = Listener(NUMBER)
    listener.feed(output)
    return listener.transcript()


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("boards"))


@pytest.fixture(scope="session")
def tiny_elf(workshop: Workshop) -> Callable[[str], Path]:
    """`tiny_elf(board)`: the tiny model's firmware, linked once."""
    made: dict[str, Path] = {}

    def elf(board: str) -> Path:
        if board not in made:
            made[board] = workshop.tiny(load_board(board))
        return made[board]

    return elf


@pytest.fixture(scope="session")
def scalar_elf(workshop: Workshop, tiny_elf: Callable[[str], Path]) -> Callable[[str], Path]:
    """`scalar_elf(board)`: the same, without Helium."""
    made: dict[str, Path] = {}

    def elf(name: str) -> Path:
        board = load_board(name)
        if not board.core.helium:
            return tiny_elf(name)
        if name not in made:
            made[name] = workshop.tiny(scalar(board))
        return made[name]

    return elf


@pytest.fixture(scope="session")
def on_this_computer(tmp_path_factory: pytest.TempPathFactory) -> Transcript:
    """The tiny model's answer to REQUEST, computed here."""
    project = render_project(make_inputs("host"), tmp_path_factory.mktemp("host") / "project")
    return transcript_of(run_host(build(project, "host").program, REQUEST.encode(NUMBER)))

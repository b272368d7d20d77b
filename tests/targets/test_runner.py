"""Runners are found by name: a new one is a file and a name."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from mcu_sdk.board.board import Board, list_boards, load_board
from mcu_sdk.board.devices import SIMULATORS
from mcu_sdk.errors import UsageError
from mcu_sdk.targets.runner import RUNNERS, Job, Runner, runner


@pytest.mark.parametrize("name", RUNNERS)
def test_every_name_has_its_runner(name: str) -> None:
    found = runner(name)
    assert isinstance(found, Runner) and found.name == name and found.title


def test_what_boards_have_is_run() -> None:
    assert {name for board in list_boards() for name in board.simulator} == set(SIMULATORS)
    for board in list_boards():
        for name in board.simulator:
            runner(name).check(Job(board, Path("firmware.elf")))


@pytest.mark.parametrize("name", SIMULATORS)
def test_a_board_without_a_command_line_is_refused_before_anything_starts(name: str) -> None:
    with pytest.raises(UsageError, match=rf"no \[simulator\.{name}\]"):
        runner(name).check(Job(load_board("host"), Path("firmware.elf")))


def test_a_board_names_simulators_that_are_run() -> None:
    data = load_board("corstone-300").model_dump(exclude={"folder"})
    data["simulator"] = {"renode": data["simulator"]["qemu"]}
    with pytest.raises(ValidationError, match="renode"):
        Board.model_validate(data)

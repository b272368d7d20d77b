"""The bundled model on the boards that are run in unicorn: what `generate --board X` chooses, from reset to the verdict."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcu_sdk import cli
from mcu_sdk.board.board import load_board
from mcu_sdk.board.reserved import check_reserved
from mcu_sdk.project.build import build
from mcu_sdk.targets.protocol import Request
from tests.boards.chips import BOARDS, chip_of
from tests.boards.conftest import NUMBER, transcript_of
from tests.boards.machine import Machine, stored
from tests.boards.test_silicon import complaints
from tests.project.conftest import run_host

ROMEO = Request(text="ROMEO:", tokens=8).encode(NUMBER)


@pytest.mark.slow
@pytest.mark.parametrize("name", BOARDS)
def test_the_bundled_model(name: str, tmp_path: Path) -> None:
    project, board = tmp_path / "firmware", load_board(name)
    assert cli.run(["generate", "--board", name, "--output", str(project)]) == 0
    elf = build(project).program
    check_reserved(board, stored(elf))
    run = Machine(board, chip_of(name), elf).run(ROMEO)
    here, there = transcript_of(run_host(build(project, "host").program, ROMEO)), transcript_of(run.output)
    assert there.verdict == "ok" and there.digest == here.digest and there.ids == here.ids
    assert complaints(board, run.bus) == []

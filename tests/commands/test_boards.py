"""`mcu-sdk boards`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mcu_sdk import cli
from mcu_sdk.board.board import Board, board_names, load_board

ROOT = Path(__file__).resolve().parents[2]


def test_boards_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["boards"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == board_names()


def test_json_says_what_the_board_file_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["boards", "--json"]) == 0
    boards = {board["name"]: board for board in json.loads(capsys.readouterr().out)}
    corstone, host = boards["corstone-300"], boards["host"]
    assert corstone["core"]["cpu"] == "cortex-m55" and corstone["counts_instructions"]
    itcm = next(region for region in corstone["regions"] if region["name"] == "itcm")
    assert itcm | {"origin": 0, "size": 524288, "kind": "ram", "speed": 1.0} == itcm
    nordic = boards["nrf52840-dk"]
    assert nordic["clock"] == {"core_hz": 64_000_000} and not nordic["counts_instructions"]
    assert [words["name"] for words in nordic["reserved"]] == ["uicr"]
    assert corstone["simulators"]["fvp"]["untested"] and not corstone["simulators"]["qemu"]["untested"]
    assert host["regions"] == [] and host["placement"] is None


def test_one_board_is_shown_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["boards", "corstone-300"]) == 0
    shown = capsys.readouterr().out
    assert "cortex-m55 with fpu, dsp, helium" in shown and "(untested)" in shown
    dtcm = next(line for line in shown.splitlines() if line.strip().startswith("dtcm"))
    assert "0x20000000" in dtcm and "512 KB" in dtcm and "data, arena, kv_cache, stack" in dtcm


def test_silicon_is_shown_with_its_clock_and_what_nothing_writes(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["boards", "nrf52840-dk"]) == 0
    shown = capsys.readouterr().out
    assert "clock       64 MHz" in shown
    assert "uicr        0x10001000         4 KB never written" in shown


def test_an_unknown_board_is_code_3(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["boards", "nix"]) == 3
    assert ", ".join(board_names()) in capsys.readouterr().err


def test_the_board_file_in_the_documentation_is_a_board_and_has_every_key(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "boards.md").read_text(encoding="utf-8")
    example = page.split("## Keys")[1].split("An unknown key")[0]
    lines = [line[4:] for line in example.splitlines() if line.startswith("    ") or not line]
    (tmp_path / "board.toml").write_text("\n".join(lines), encoding="utf-8")
    board = load_board(tmp_path)
    assert set(Board.model_fields) - {"folder"} <= board.model_fields_set | {"folder"}

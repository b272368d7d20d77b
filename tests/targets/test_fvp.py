"""The FVPs' command lines, by their documented parameters; no FVP runs here."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcu_sdk.board.board import load_board
from mcu_sdk.errors import UsageError
from mcu_sdk.targets import fvp

NPUS = {
    "corstone-300": ["ethos-u55-32", "ethos-u55-64", "ethos-u55-128", "ethos-u55-256", "ethos-u65-256", "ethos-u65-512"],
    "corstone-320": ["ethos-u85-128", "ethos-u85-256", "ethos-u85-512", "ethos-u85-1024", "ethos-u85-2048"],
}  # fmt: skip
PROGRAMS = {
    "u55": "FVP_Corstone_SSE-300_Ethos-U55",
    "u65": "FVP_Corstone_SSE-300_Ethos-U65",
    "u85": "FVP_Corstone_SSE-320",
}
MACS = {"corstone-300": "ethosu.num_macs", "corstone-320": "mps4_board.subsystem.ethosu.num_macs"}
ALL = [(board, target) for board, targets in NPUS.items() for target in targets]


@pytest.fixture(autouse=True)
def _no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MCU_SDK_FVP", raising=False)


def parameters(command: list[str]) -> dict[str, str]:
    """What follows each "-C"."""
    pairs = [command[i + 1].split("=", 1) for i, part in enumerate(command) if part == "-C"]
    return dict(pairs)


@pytest.mark.parametrize(("name", "target"), ALL)
def test_the_simulator_has_the_npu_that_the_model_was_compiled_for(
    name: str, target: str, tmp_path: Path
) -> None:
    board = load_board(name)
    assert target in board.targets
    command = fvp.command_line(board, tmp_path / "firmware.elf", target)
    _, family, macs = target.split("-")
    assert command[0] == PROGRAMS[family]
    assert parameters(command)[MACS[name]] == macs
    assert command[-2:] == ["-a", str(tmp_path / "firmware.elf")]
    assert not [part for part in command if "{" in part.replace("{input}", "")]


@pytest.mark.parametrize(("name", "prefix"), [("corstone-300", "mps3_board"), ("corstone-320", "mps4_board")])
def test_the_console_is_the_uart_and_its_end_is_the_simulator_s(
    name: str, prefix: str, tmp_path: Path
) -> None:
    found = parameters(fvp.command_line(load_board(name), tmp_path / "firmware.elf"))
    uart = {key.removeprefix(f"{prefix}.uart0."): value for key, value in found.items() if ".uart0." in key}
    assert uart == {"out_file": "-", "in_file": "{input}", "unbuffered_output": "1", "shutdown_on_eot": "1"}
    assert found[f"{prefix}.telnetterminal0.start_telnet"] == "0"
    assert found[f"{prefix}.visualisation.disable-visualisation"] == "1"


def test_a_firmware_without_npu_runs_on_the_board_s_first_one(tmp_path: Path) -> None:
    command = fvp.command_line(load_board("corstone-300"), tmp_path / "firmware.elf", "cortex-m55")
    assert command[0] == PROGRAMS["u55"] and parameters(command)["ethosu.num_macs"] == "32"


def test_the_program_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCU_SDK_FVP", "/opt/fvp/model")
    assert fvp.command_line(load_board("corstone-300"), tmp_path / "firmware.elf")[0] == "/opt/fvp/model"


def test_a_board_without_fvp_is_told() -> None:
    with pytest.raises(UsageError, match=r"no \[simulator.fvp\]"):
        fvp.command_line(load_board("host"), Path("firmware.elf"))

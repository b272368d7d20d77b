"""The FVPs' command lines, by their documented parameters; no FVP runs here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mcu_sdk.board.board import load_board
from mcu_sdk.errors import BoardError, McuSdkError, RunError, ToolMissingError, UsageError
from mcu_sdk.targets import fvp
from mcu_sdk.targets.protocol import Request
from mcu_sdk.targets.runner import Job, runner

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


# ---- its own list of parameters, as --list-params prints it


HEAD = """# Parameters:
# instance.parameter=value       #(type, mode) default = 'def value' : description : [min..max]
#----------------------------------------------------------------------------------------------
"""


def fake(folder: Path, names: list[str], more: str = "") -> str:
    """A program that lists these parameters, and says whatever it is started with else."""
    lines = [f"{name}=1   # (bool  , init-time) default = '1' : x=y" for name in names]
    path = folder / "FVP_Fake"
    listing = folder / "parameters.txt"
    listing.write_text(HEAD + "\n".join(lines) + "\n" if names else "")
    path.write_text(f'#!/bin/sh\n{more}\n[ "$1" = --list-params ] && exec cat "{listing}"\necho "ran: $*"\n')
    path.chmod(0o755)
    fvp.parameters_of.cache_clear()
    return str(path)


@pytest.mark.parametrize("name", ["corstone-300", "corstone-320"])
def test_an_fvp_that_has_all_parameters_is_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = parameters(fvp.command_line(load_board(name), tmp_path / "firmware.elf"))
    monkeypatch.setenv("MCU_SDK_FVP", fake(tmp_path, [*wanted, "cpu0.FPU"]))
    fvp.check_parameters(fvp.command_line(load_board(name), tmp_path / "firmware.elf"), name)
    assert fvp.parameters_of(str(tmp_path / "FVP_Fake")) == {*wanted, "cpu0.FPU"}
    with pytest.raises(
        RunError, match="before the verdict line"
    ) as caught:  # it was started: it said something else
        runner("fvp").run(Job(load_board(name), tmp_path / "firmware.elf", timeout=60), Request(ids=(1,)))
    assert "(0 bytes" not in caught.value.message


@pytest.mark.parametrize("missing", ["ethosu.num_macs", "mps3_board.uart0.shutdown_on_eot"])
def test_a_parameter_that_it_lacks_is_named_before_it_is_run(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = load_board("corstone-300")
    wanted = parameters(fvp.command_line(board, tmp_path / "firmware.elf"))
    names = [f"x{name}" if name == missing else name for name in wanted]
    monkeypatch.setenv("MCU_SDK_FVP", fake(tmp_path, names))
    for run in (
        lambda: runner("fvp").run(Job(board, tmp_path / "firmware.elf"), Request(ids=(1,))),
        lambda: fvp.run(board, tmp_path / "firmware.elf", Request(ids=(1,))),
    ):
        with pytest.raises(
            BoardError, match=rf"no parameter {re.escape(missing)}, which .*corstone-300"
        ) as caught:
            run()
        assert f"It has x{missing}." in caught.value.message


@pytest.mark.parametrize(
    ("more", "error", "words"),
    [
        ("echo 'no licence' >&2; exit 3", RunError, "ended with code 3 and said: no licence"),
        ("exit 0", RunError, "ended with code 0."),
        (None, ToolMissingError, "cannot be started as .*: No such file"),
    ],
)
def test_an_fvp_that_lists_nothing(
    more: str | None, error: type[McuSdkError], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = str(tmp_path / "missing") if more is None else fake(tmp_path, [], more)
    monkeypatch.setenv("MCU_SDK_FVP", program)
    with pytest.raises(error, match=words) as caught:
        fvp.run(load_board("corstone-300"), tmp_path / "firmware.elf", Request(ids=(1,)))
    assert caught.value.hint

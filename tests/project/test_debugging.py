"""What .vscode/ and .clangd say works: gdb finds the sources from the workspace, in the ELF and in QEMU."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mcu_sdk.board.board import load_board
from mcu_sdk.board.flash import Flash, Pyocd
from mcu_sdk.project.build import find_tool
from mcu_sdk.project.debugging import debug_servers
from mcu_sdk.project.project_inputs import ProjectInputs
from mcu_sdk.project.render import render_project

Inputs = Callable[..., ProjectInputs]

needs_gdb = pytest.mark.skipif(not shutil.which("gdb-multiarch"), reason="gdb-multiarch is not installed")


def settings(project: Path, name: str) -> dict[str, Any]:
    """A file of .vscode/, whose comments JSON does not have."""
    text = (project / ".vscode" / name).read_text()
    return json.loads(re.sub(r"^//.*$", "", text, flags=re.MULTILINE))


def gdb(project: Path, *commands: str) -> str:
    """What gdb says in the project's folder, as an editor starts it there."""
    given = [word for command in commands for word in ("-ex", command)]
    done = subprocess.run(
        ["gdb-multiarch", "--nx", "--batch", *given, "build/release/firmware.elf"],
        cwd=project, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return done.stdout + done.stderr


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@needs_gdb
def test_gdb_finds_the_sources_from_the_workspace(tiny_project: Path) -> None:
    said = gdb(tiny_project, "info line main", "list main", "list mcu_choose")
    assert re.search(r'Line \d+ of ".*app/main\.cpp" starts at address', said)
    assert "console_start();" in said
    assert 'extern "C" int32_t mcu_choose(' in said
    assert "No such file" not in said


@needs_gdb
def test_a_breakpoint_by_its_path_in_qemu(tiny_project: Path) -> None:
    """An editor names a file by its absolute path; the image knows only relative ones."""
    (server,) = [s for s in settings(tiny_project, "launch.json")["configurations"] if s["name"] == "QEMU"]
    line = server["debugServerArgs"].replace("${workspaceFolder}/build/debug", "build/release")
    port = free_port()
    line = line.replace(server["miDebuggerServerAddress"].rpartition(":")[2], str(port))
    command = [server["debugServerPath"], *shlex.split(line)]
    with subprocess.Popen(
        command, cwd=tiny_project, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as qemu:
        try:
            main = tiny_project.resolve() / "app/main.cpp"
            number = 1 + main.read_text().split("\n").index("    console_start();")
            said = gdb(
                tiny_project,
                f"target remote localhost:{port}",
                f"break {main}:{number}",
                "continue",
                "info source",
                "kill",
            )
        finally:
            qemu.kill()
    assert re.search(rf"Breakpoint 1, main \(\) at .*app/main\.cpp:{number}", said)
    assert f"Located in {main}" in said


def test_every_source_has_its_command(tiny_project: Path) -> None:
    """.clangd and settings.json name the folder of compile_commands.json, which the preset makes."""
    folder = re.search(r"CompilationDatabase: (\S+)", (tiny_project / ".clangd").read_text())
    assert folder is not None
    named = settings(tiny_project, "settings.json")["C_Cpp.default.compileCommands"]
    assert named == "${workspaceFolder}/" + folder[1] + "/compile_commands.json"
    commands = json.loads((tiny_project / folder[1] / "compile_commands.json").read_text())
    files = {Path(entry["file"]).relative_to(tiny_project.resolve()).as_posix() for entry in commands}
    assert {"app/main.cpp", "model/plan.cpp", "sdk/runtime/print.cpp"} <= files


def test_boards_are_debugged_by_what_they_have(tmp_path: Path, tiny_inputs: Inputs) -> None:
    board = load_board("mps2-an386")
    assert [server["title"] for server in debug_servers(board)] == ["QEMU"]
    flashed = board.model_copy(update={"flash": Flash(pyocd=Pyocd(target="nrf52840")), "simulator": {}})
    (server,) = debug_servers(flashed)
    assert server["title"] == "pyOCD" and "--target nrf52840" in server["arguments"]
    project = render_project(tiny_inputs(flashed), tmp_path / "p")
    names = [entry["name"] for entry in settings(project, "launch.json")["configurations"]]
    assert names == ["pyOCD", "On this computer"]
    assert settings(render_project(tiny_inputs("host"), tmp_path / "h"), "launch.json")


def test_pyocd_takes_the_arguments() -> None:
    """Its own parser does."""
    commands = pytest.importorskip("pyocd.subcommands.gdbserver_cmd")
    board = load_board("mps2-an386").model_copy(
        update={"flash": Flash(pyocd=Pyocd(target="nrf52840")), "simulator": {}}
    )
    (server,) = debug_servers(board)
    name, *given = shlex.split(server["arguments"])
    assert name in commands.GdbserverSubcommand.NAMES
    parser = argparse.ArgumentParser(parents=commands.GdbserverSubcommand.get_args())
    found = parser.parse_args(given)
    assert found.port_number == 3333 and found.target_override == "nrf52840"


def test_no_path_of_this_computer_is_in_a_project(tmp_path: Path, tiny_inputs: Inputs) -> None:
    project = render_project(tiny_inputs(), tmp_path / "p")
    for file in (".vscode/launch.json", ".vscode/settings.json", ".clangd"):
        assert str(tmp_path) not in (project / file).read_text()
    assert find_tool("cmake") not in (project / "CMakePresets.json").read_text()

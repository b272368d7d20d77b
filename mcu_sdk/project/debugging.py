"""How a debugger reaches a project's firmware: the servers that .vscode/launch.json starts, one for each way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcu_sdk.board.board import Board

PORT = 3333
"""Where a server listens for gdb."""

ELF = "${workspaceFolder}/build/debug/firmware.elf"


def debug_servers(board: Board, target: str | None = None) -> list[dict[str, Any]]:
    """QEMU's gdb server where the board has QEMU, and pyOCD's where it is flashed with pyOCD.

    `target`: the NPU that the board's simulators are started with, if any.
    """
    servers = []
    if "qemu" in board.simulator:
        program, *arguments = board.simulator_command("qemu", target)
        servers.append(
            {
                "title": "QEMU",
                "program": program,
                "arguments": _line([part.replace("{elf}", ELF) for part in arguments])
                + f" -S -gdb tcp:127.0.0.1:{PORT}",
                "port": PORT,
                "started": None,  # it says nothing; gdb tries until somebody listens
                "setup": [],
            }
        )
    pyocd = board.flash.pyocd if board.flash is not None else None
    if pyocd is not None:
        servers.append(
            {
                "title": "pyOCD",
                "program": "pyocd",
                "arguments": f"gdbserver --target {pyocd.target} --port {PORT} --elf {ELF}",
                "port": PORT,
                "started": "GDB server listening on port",
                "setup": ["monitor reset halt", "load", "monitor reset halt"],
            }
        )
    return servers


def _line(arguments: list[str]) -> str:
    """Arguments as one line, in which those with a space are quoted."""
    return " ".join(f'"{part}"' if " " in part else part for part in arguments)

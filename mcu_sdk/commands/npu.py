"""`mcu-sdk npu disassemble`: what an Ethos-U is told, command by command."""

from __future__ import annotations

import json as json_module
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer


class Action(Enum):
    """What can be done with an NPU's program."""

    disassemble = "disassemble"


def npu_command(
    action: Annotated[Action, typer.Argument(help="disassemble: print the command stream.")],
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A .pte with Ethos-U delegates, a delegate's blob, or a command block."
        ),
    ],
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Look into what was compiled for an Ethos-U."""
    assert action is Action.disassemble
    found = [describe(name, data) for name, data in _command_blocks(file)]
    if json:
        print(json_module.dumps(found, indent=2))
        return
    for delegate in found:
        print(f"{delegate['name']}: {delegate['accelerator']}, architecture {delegate['architecture']}")
        for line in delegate["lines"]:
            print(line)


def describe(name: str, data: bytes) -> dict[str, Any]:
    """A command block as plain data: name, accelerator, architecture, commands (index, name, fields, known) and the
    same as lines of text. Raises PteError for a corrupt block."""
    from mcu_sdk.npu.disassembly import disassemble
    from mcu_sdk.npu.stream import read_stream

    stream = read_stream(data)
    lines = disassemble(stream)
    return {
        "name": name,
        "accelerator": stream.config.accelerator.name,
        "architecture": ".".join(map(str, stream.config.architecture)),
        "commands": [
            {"index": line.index, "name": line.name, "fields": line.fields, "known": line.known}
            for line in lines
        ],
        "lines": [str(line) for line in lines],
    }


def _command_blocks(file: Path) -> list[tuple[str, bytes]]:
    """A name and the command block of each delegate. Raises PteError for a file that has none."""
    from mcu_sdk.errors import PteError
    from mcu_sdk.npu.blob import read_blob
    from mcu_sdk.npu.stream import FOURCC
    from mcu_sdk.planning.pte.program import read_program
    from mcu_sdk.planning.pte.read import ETHOS_U, load_bytes, read_delegates

    data = load_bytes(file)
    if data.startswith(FOURCC):
        return [(file.name, data)]
    if data.startswith(b"vela_bin_stream"):
        return [(file.name, read_blob(data).commands)]
    program = read_program(data)
    found = [
        (
            f"{plan.name}, delegate {number}",
            read_blob(data[delegate.offset : delegate.offset + delegate.size]),
        )
        for plan in program.execution_plan
        for number, delegate in enumerate(read_delegates(program, plan))
        if delegate.id == ETHOS_U
    ]
    if not found:
        raise PteError(
            f"{file} has no delegate for an Ethos-U.", hint="`mcu-sdk inspect` shows which delegates it has."
        )
    return [(name, blob.commands) for name, blob in found]

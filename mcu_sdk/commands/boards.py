"""`mcu-sdk boards`: what is there to generate for."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mcu_sdk.errors import UsageError
from mcu_sdk.text import hanging

if TYPE_CHECKING:
    from mcu_sdk.board.board import Board


def boards_command(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME | new NAME | schema]",
            help="Show this board in full: a name, or a folder's path. `new` makes a folder for a board of your own, "
            "`schema` prints the JSON schema of board.toml.",
        ),
    ] = None,
    new_name: Annotated[str | None, typer.Argument(hidden=True)] = None,
    source: Annotated[
        str | None, typer.Option("--from", help="For `new`: the board to copy, a name or a folder.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="For `new`: the folder. Default: its name.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """List the boards, show one with its memory regions and simulators, or make a folder for another."""
    from mcu_sdk.board.board import list_boards, load_board

    if name == "new":
        _new(new_name, source, out, as_json)
        return
    if new_name is not None or source is not None or out is not None:
        raise UsageError(
            "--from, --out and a second name are for `boards new`.",
            hint="For example: mcu-sdk boards new my-board --from nrf52840-dk",
        )
    if name == "schema":
        from mcu_sdk.board.schema import schema_text

        print(schema_text(), end="")
        return
    if name is not None:
        board = load_board(name)
        print(json.dumps(summary(board), indent=2) if as_json else "\n".join(_page(board)))
        return
    boards = list_boards()
    if as_json:
        print(json.dumps([summary(board) for board in boards], indent=2))
        return
    width = max(len(board.name) for board in boards)
    for board in boards:
        print(hanging(f"{board.name:{width}}  ", board.description))


def _new(name: str | None, source: str | None, out: Path | None, as_json: bool) -> None:
    """Make the folder, and say what comes next."""
    from mcu_sdk.board.new import new_board

    if name is None or source is None:
        raise UsageError(
            "A new board needs a name, and another one to begin from.",
            hint="For example: mcu-sdk boards new my-board --from nrf52840-dk",
        )
    folder = new_board(name, source, out or Path(name))
    if as_json:
        files = sorted(file.name for file in folder.iterdir())
        print(json.dumps({"name": name, "folder": str(folder), "files": files}, indent=2))
        return
    shown = os.path.relpath(folder)
    shown = shown if shown.startswith("..") else f"./{shown}"
    for file in sorted(folder.iterdir()):
        print(f"{shown}/{file.name}")
    print(f"next: edit them (docs/adding-a-board.md), then mcu-sdk boards {shown}")


def summary(board: Board) -> dict[str, Any]:
    """A board as JSON: sizes in bytes, addresses as numbers."""
    return {
        "name": board.name,
        "description": board.description,
        "core": board.core.model_dump(mode="json"),
        "clock": board.clock.model_dump(mode="json") if board.clock else None,
        "targets": list(board.targets),
        "target": board.default_target,
        "npu": board.npu.model_dump(mode="json") if board.npu else None,
        "regions": [region.model_dump(mode="json") for region in board.region],
        "placement": board.placement.model_dump(mode="json") if board.placement else None,
        "reserved": [words.model_dump(mode="json") for words in board.reserved],
        "stack_bytes": board.stack_bytes,
        "counts_instructions": board.counts_instructions,
        "simulators": {
            name: {"command": list(simulator.command), "untested": simulator.untested}
            for name, simulator in board.simulator.items()
        },
    }


def _page(board: Board) -> list[str]:
    """What a person wants to know about one board."""
    features = [name for name in ("fpu", "dsp", "helium") if getattr(board.core, name)]
    lines = [
        f"{board.name}: {board.description}",
        f"  core        {board.core.cpu}" + (f" with {', '.join(features)}" if features else ""),
    ]
    if not board.is_host and not board.core.fpu:
        lines.append("  no FPU      models of integers only (docs/boards.md)")
    if board.clock:
        lines.append(f"  clock       {board.clock.core_hz / 1e6:g} MHz")
    lines.append(f"  target      {board.default_target}")
    if board.npu:
        others = [target for target in board.targets if target != board.default_target]
        lines.append(f"  also        {', '.join(others)}")
    for region in board.region:
        size = f"{region.size // 1024:,} KB"
        sections = [
            section
            for section, names in (board.placement or {})
            if region.name in ((names,) if isinstance(names, str) else names)
        ]
        lines.append(
            f"  {region.name:10}  {region.origin:#010x} {size:>12} {region.kind}  {', '.join(sections)}"
        )
    for words in board.reserved:
        size = f"{words.size // 1024:,} KB" if words.size >= 1024 else f"{words.size} bytes"
        lines.append(f"  {words.name:10}  {words.origin:#010x} {size:>12} never written")
    for name, simulator in board.simulator.items():
        note = " (untested)" if simulator.untested else ""
        lines.append(f"  {name:10}  {board.simulator_command(name)[0]}{note}")
    return lines

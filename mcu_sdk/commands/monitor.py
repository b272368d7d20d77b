"""`mcu-sdk monitor`: a board's console, on which what is typed is the prompt."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mcu_sdk.commands.options import (
    BoardOption,
    ChatOption,
    Given,
    JsonOption,
    SystemOption,
    with_options,
)
from mcu_sdk.errors import RunError, UsageError
from mcu_sdk.project.asked import Sampling, Where, parse_ids, sampling_in

if TYPE_CHECKING:
    from mcu_sdk.project.chat import Turns
    from mcu_sdk.project.opened import Project
    from mcu_sdk.targets.monitor import Monitor
    from mcu_sdk.targets.protocol import Message, Transcript

_STDIN = 0


@with_options(Sampling, Where, only=frozenset({*Sampling.__annotations__, "timeout"}))
def monitor_command(
    given: Given,
    project: Annotated[
        Path | None, typer.Argument(help="The project that the board runs: its port, and what it takes.")
    ] = None,
    port: Annotated[
        str,
        typer.Option("--port", help="/dev/ttyACM0, a USB serial number, or auto: by the board's USB ids."),
    ] = "auto",
    baud: Annotated[int | None, typer.Option("--baud", help="Default: the board's, else 115200.")] = None,
    log: Annotated[Path | None, typer.Option("--log", help="Append all that is shown to this file.")] = None,
    timestamps: Annotated[bool, typer.Option("--timestamps", help="Begin each line with the time.")] = False,
    board: BoardOption = None,
    chat: ChatOption = False,
    system: SystemOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a board says, and ask it what is typed; Ctrl-] ends. --json: one object for each answer."""
    from mcu_sdk.board.board import load_board
    from mcu_sdk.project.chat import Turns, check_holds_chats
    from mcu_sdk.project.effect import check_effect
    from mcu_sdk.project.opened import open_project
    from mcu_sdk.targets.monitor import Monitor, Screen, Typed
    from mcu_sdk.targets.ports import AUTO, find_port, open_port
    from mcu_sdk.targets.process import check_timeout
    from mcu_sdk.targets.protocol import Request
    from mcu_sdk.targets.serial import Pace

    check_timeout(given.run["timeout"])
    opened = open_project(project, board) if project is not None else None
    check_effect(
        opened.manifest.name if opened is not None else "the board's model",
        given.named,
        is_language_model=opened is None or opened.is_language_model,
        temperature=given.run["temperature"],
    )
    Request(
        ids=(0,), **sampling_in(given.run)
    ).encode()  # raises for numbers out of range, before a prompt is typed
    turns = None
    if chat or system is not None:
        if opened is None:
            raise UsageError("--chat and --system need the project that the board runs.", hint="Name it.")
        check_holds_chats(opened)
        turns = Turns(lambda line: opened.request(prompt=line, **sampling_in(given.run)), system)
    if baud is not None and baud <= 0:
        raise UsageError(f"--baud is a number above 0, not {baud}.")
    found = opened.board if opened is not None else load_board(board) if board is not None else None
    if found is None and port == AUTO:
        raise UsageError("Which board's port is meant?", hint="Name a project, --board NAME, or --port PORT.")
    device = find_port(found, port) if found is not None else port
    speed = baud or (found.uart.baud if found is not None and found.uart is not None else 115200)
    pace = Pace()

    def connect():  # type: ignore[no-untyped-def]
        return open_port(device, speed, poll=pace.poll, write_timeout=pace.patience)

    with contextlib.ExitStack() as stack:
        file = stack.enter_context(_open_log(log)) if log is not None else None
        keyboard = Typed(_STDIN)
        stack.enter_context(keyboard.keys())
        monitor = Monitor(
            device,
            connect,
            _messages(opened, sampling_in(given.run)) if turns is None else _turn_of(turns),
            keyboard,
            Screen(io.StringIO() if as_json else None, file, timestamps=timestamps),
            baud=speed,
            timeout=given.run["timeout"],
            on_answer=_on_answer(turns, as_json=as_json),
            asks_again=turns.lost if turns is not None else None,
        )
        monitor.run()
    if not os.isatty(_STDIN):
        _require_all(monitor)


def _open_log(path: Path) -> io.TextIOWrapper:
    try:
        return path.open("a", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"The log {str(path)!r} cannot be written: {error.strerror}.", hint="Name another --log.") from error  # fmt: skip


def _messages(project: Project | None, sampling: Sampling) -> Callable[[str], Message]:
    """What makes a request of a typed line: a prompt, or an encoder's text; for a model without a tokenizer token ids, for one
    of tensors how many made-up inputs."""
    from mcu_sdk.targets.protocol import Request
    from mcu_sdk.targets.texts import TextRequest

    def message(line: str) -> Message:
        if project is None:
            return Request(text=line, **sampling)
        if project.takes_texts:
            return TextRequest(line)
        if not project.is_language_model:
            if not line.strip().isdecimal():
                raise UsageError(
                    f"{project.manifest.name} takes tensors.", hint="Type how many made-up inputs."
                )
            return project.request(steps=int(line), seed=sampling["seed"])
        if not project.manifest.model.tokenizer:
            return project.request(ids=parse_ids(line), **sampling)
        return project.request(prompt=line, **sampling)

    return message


def _turn_of(turns: Turns) -> Callable[[str], Message | None]:
    """What makes the next turn of a typed line, or forgets the conversation."""
    from mcu_sdk.project.chat import NEW

    def message(line: str) -> Message | None:
        if line != NEW:
            return turns.request(line)
        turns.forget()
        return None

    return message


def _on_answer(turns: Turns | None, *, as_json: bool) -> Callable[[str, Transcript], None]:
    def take(prompt: str, answer: Transcript) -> None:
        if turns is not None:
            turns.take(answer)
        if as_json:
            _print_json(prompt, answer)

    return take


def _print_json(prompt: str, answer: Transcript) -> None:
    print(json.dumps({"prompt": prompt, "text": answer.text, "facts": answer.facts}), flush=True)


def _require_all(monitor: Monitor) -> None:
    """Raises RunError if prompts from a file were not answered: nobody may have seen what was shown of it."""
    counts = monitor.counts
    if counts.failed:
        last = counts.failed[-1]
        raise RunError(
            f"{len(counts.failed)} of {counts.asked} prompts were not answered; the last time: {last.message}",
            hint=last.hint,
        ) from last

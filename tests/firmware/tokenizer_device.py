"""Builds the device's tokenizer for tests: compiled with sanitizers, asked through a pipe."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import jinja2

from mcu_sdk import resources
from mcu_sdk.model.tokenizer import DeviceTokenizer
from mcu_sdk.project.compile_flags import SANITIZERS, cxx_flags
from mcu_sdk.project.library import SECTIONS

FLAGS = cxx_flags(None, "-O1", "-g", "-Wshadow", *SANITIZERS)


def render(tokenizer: DeviceTokenizer) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(resources.templates()),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("model/tokenizer.cpp.j2").render(
        tokenizer=tokenizer.to_template(), sections=SECTIONS
    )


@dataclass(frozen=True)
class Texts:
    """Ids, token types, and how many tokens were cut off."""

    ids: list[int]
    types: list[int]
    dropped: int


class Device:
    """A driver process; it ends at the first thing a sanitizer objects to.

    It runs from the first question on. A sanitized process of a large tokenizer takes hundreds of megabytes, so the one
    that was asked longest ago ends when there are more than AT_ONCE; asked again, it starts anew: it keeps nothing.
    """

    AT_ONCE: ClassVar[int] = 4
    _running: ClassVar[list[Device]] = []

    def __init__(self, program: Path) -> None:
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None

    def _ask(self, request: bytes, item: int, more: int = 0) -> tuple[int, bytes]:
        """The answer's count, then what follows: `more` bytes and `item` bytes for each."""
        process = self._started()
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(request)
        process.stdin.flush()
        answer = process.stdout.read(4)
        assert len(answer) == 4, "the device's tokenizer died; the sanitizer's report is on stderr"
        (count,) = struct.unpack("<i", answer)
        return count, process.stdout.read(more + item * max(count, 0))

    def _started(self) -> subprocess.Popen[bytes]:
        running = Device._running
        if self._process is None:
            while len(running) >= Device.AT_ONCE:
                running[0].close()
            self._process = subprocess.Popen([self._program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        else:
            running.remove(self)
        running.append(self)
        return self._process

    def encode(self, text: bytes, capacity: int | None = None) -> list[int] | int:
        """Ids, or the negative error code."""
        capacity = 2 * len(text) + 2 if capacity is None else capacity
        count, ids = self._ask(struct.pack("<ii", len(text), capacity) + text, 4)
        return list(struct.unpack(f"<{count}i", ids)) if count >= 0 else count

    def encode_texts(self, text: bytes, pair: bytes | None, capacity: int) -> Texts | int:
        """What is read of one text or two, or the negative error code."""
        second = -1 if pair is None else len(pair)
        request = struct.pack("<iiii", -2, capacity, len(text), second) + text + (pair or b"")
        count, rest = self._ask(request, 8, more=4)
        if count < 0:
            return count
        values = struct.unpack(f"<{2 * count + 1}i", rest)
        return Texts(list(values[1 : count + 1]), list(values[count + 1 :]), values[0])

    def decode(self, token: int) -> bytes:
        return self._ask(struct.pack("<ii", -1, token), 1)[1]

    def close(self) -> None:
        """End the process if it runs; what leaks is an error, too."""
        if self._process is not None:
            Device._running.remove(self)
            self._process.communicate(timeout=20)
            assert self._process.returncode == 0, "the device's tokenizer ended with an error; see stderr"
            self._process = None


def compiler(*arguments: str | Path) -> None:
    done = subprocess.run(["g++", *FLAGS, *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


Build = Callable[[DeviceTokenizer], Device]

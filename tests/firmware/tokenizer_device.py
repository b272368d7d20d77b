"""Builds the device's tokenizer for tests: compiled with sanitizers, asked through a pipe."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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
    """A running driver process; it ends at the first thing a sanitizer objects to."""

    def __init__(self, program: Path) -> None:
        self._process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def _ask(self, request: bytes, item: int, more: int = 0) -> tuple[int, bytes]:
        """The answer's count, then what follows: `more` bytes and `item` bytes for each."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(request)
        self._process.stdin.flush()
        answer = self._process.stdout.read(4)
        assert len(answer) == 4, "the device's tokenizer died; the sanitizer's report is on stderr"
        (count,) = struct.unpack("<i", answer)
        return count, self._process.stdout.read(more + item * max(count, 0))

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
        self._process.communicate(timeout=20)


def compiler(*arguments: str | Path) -> None:
    done = subprocess.run(["g++", *FLAGS, *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


Build = Callable[[DeviceTokenizer], Device]

"""What a firmware says, byte by byte: text, facts, ends."""

from __future__ import annotations

import re
from dataclasses import dataclass

EOT = 0x04
"""Ends an answer; sent to the firmware, it ends the firmware."""

LARGEST_FACT_LINE = 1 << 20
"""Bytes of a line of facts, beyond which it is taken for garbage."""

MARK = b"@mcu "
"""Begins a line of facts."""

_PAIR = re.compile(r"([a-z][a-z0-9_]*)=(.*)", re.DOTALL)


@dataclass(frozen=True)
class Text:
    """Some of the model's text (or of whatever else a target prints)."""

    data: bytes


@dataclass(frozen=True)
class Fact:
    key: str
    value: str


@dataclass(frozen=True)
class End:
    """EOT: the answer is over."""


Event = Text | Fact | End


class Parser:
    """Bytes in, events out, in whatever pieces the bytes come. Nothing is an error: what is no fact is text.

    Text is passed on at once, except for what could still become the start of a line of facts, and the line
    break before it, which belongs to the facts and not to the text.
    """

    def __init__(self) -> None:
        self._held = b""  # "\n", the start of a mark, or both; not yet known to be text
        self._line: bytearray | None = None  # a line of facts, from behind its mark
        self._mark = b""  # that mark, with the line break before it
        self._at_line_start = True

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes."""
        events: list[Event] = []
        text = bytearray()
        for byte in data:
            if byte == EOT:
                self._give_up(text)
                _flush(text, events)
                events.append(End())
                self._at_line_start = True  # of whatever comes next
            elif self._line is not None:
                self._take_fact_byte(byte, text, events)
            else:
                self._take_text_byte(byte, text)
        _flush(text, events)
        return events

    def close(self) -> list[Event]:
        """The events left at the end of the bytes: what was held back is text after all."""
        events: list[Event] = []
        text = bytearray()
        self._give_up(text)
        _flush(text, events)
        return events

    def _take_text_byte(self, byte: int, text: bytearray) -> None:
        held = self._held + bytes((byte,))
        mark = held.removeprefix(b"\n")
        expects_mark = self._at_line_start or held.startswith(b"\n")
        if expects_mark and mark == MARK:
            self._mark, self._held, self._line = held, b"", bytearray()
            self._at_line_start = False
        elif expects_mark and MARK.startswith(mark):
            self._held = held
        else:
            text += self._held
            if byte == ord("\n"):
                self._held = b"\n"
            else:
                self._held = b""
                text.append(byte)
            self._at_line_start = False

    def _take_fact_byte(self, byte: int, text: bytearray, events: list[Event]) -> None:
        assert self._line is not None
        if byte != ord("\n"):
            self._line.append(byte)
            if len(self._line) > LARGEST_FACT_LINE:
                self._give_up(text)
            return
        facts = _parse_facts(bytes(self._line))
        if facts:
            _flush(text, events)
            events.extend(facts)
            self._line = None
            self._at_line_start = True
        else:
            self._give_up(text)
            self._held = b"\n"

    def _give_up(self, text: bytearray) -> None:
        """What was held back is text."""
        text += self._held
        self._held = b""
        if self._line is not None:
            text += self._mark + self._line
            self._line = None
        self._at_line_start = False


def _flush(text: bytearray, events: list[Event]) -> None:
    if text:
        events.append(Text(bytes(text)))
        text.clear()


def _parse_facts(line: bytes) -> list[Fact]:
    """The facts of a line without its mark; none if it is no such line.

    A word without "=" belongs to the value before it: a model's name may hold spaces.
    """
    facts: list[Fact] = []
    for word in line.decode("utf-8", "replace").rstrip("\r").split(" "):
        match = _PAIR.fullmatch(word)
        if match:
            facts.append(Fact(match[1], match[2]))
        elif facts:
            facts[-1] = Fact(facts[-1].key, f"{facts[-1].value} {word}")
        else:
            return []
    return facts

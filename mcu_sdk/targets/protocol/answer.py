"""The answer to a request, out of all that a target says."""

from __future__ import annotations

import codecs
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from mcu_sdk.targets.protocol.events import MARK, Event, Fact, Parser, Text

OnText = Callable[[str], None]
"""Called with each piece of the model's text as it arrives."""

_PIECE_OF_LINE = re.compile(rb"[^\n]*\n|[^\n]+")


@dataclass(frozen=True)
class Transcript:
    """A finished answer: the model's text, and the last value of each fact."""

    text: str
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def verdict(self) -> str | None:
        return self.facts.get("verdict")

    @property
    def model(self) -> str | None:
        """The SHA-256 of the .pte that the firmware was made from."""
        return self.facts.get("model")

    @property
    def digest(self) -> str | None:
        """FNV-1a over every step's raw outputs, as 16 hexadecimal digits."""
        return self.facts.get("digest")

    @property
    def ids(self) -> tuple[int, ...]:
        """The generated tokens."""
        return _ids(self.facts.get("ids", ""))

    @property
    def prompt_ids(self) -> tuple[int, ...]:
        return _ids(self.facts.get("prompt_ids", ""))

    @property
    def pending_ids(self) -> tuple[int, ...] | None:
        """What a chat template made of the answer, as far as it is not what the model has read; None where it stays."""
        return _ids(self.facts["pending_ids"]) if "pending_ids" in self.facts else None

    @property
    def start_ids(self) -> tuple[int, ...]:
        """What a decoder behind an encoder, whose the prompt is, began with."""
        return _ids(self.facts.get("start_ids", ""))

    @property
    def profile(self) -> tuple[int, ...]:
        """The instructions of each call of the plan in the last step; empty for a firmware that does not count them."""
        return _ids(self.facts.get("profile", ""))

    def number(self, key: str) -> int | None:
        """A fact that is a decimal number, or None."""
        value = self.facts.get(key, "")
        return int(value) if re.fullmatch(r"[0-9]{1,20}", value) else None


def _ids(text: str) -> tuple[int, ...]:
    """Numbers between commas; none if the text is anything else."""
    return tuple(int(part) for part in text.split(",")) if re.fullmatch(r"[0-9]+(,[0-9]+)*", text) else ()


class News(Enum):
    """What a listener heard that matters to whoever waits for an answer."""

    READY = "a firmware waits for a request"
    STARTED = "the answer to our request begins"
    ANSWERED = "our answer is complete"
    DAMAGED = "our answer has ended, and is not what the firmware sent"
    OTHER = "an answer has ended that is not ours: an earlier request's, or a complaint about a line without a number"


class Listener:
    """Collects, out of all that a target says, the answer to the request `number`; `received` counts bytes.

    It begins at `@mcu request=NUMBER` and ends with a verdict of the same number and the CRC-32 of all between. What
    comes before, between and behind is no part of it: boot messages, stray EOTs, answers to earlier requests.
    `on_text` is called with pieces of the answer's text, `on_other` with those of whatever else is no fact.
    `complaint` is the last `verdict=error` that had no number; `ready` are the facts of the last `ready=1`, which say
    more than that only in an answer to a ping, where a CRC holds for them.
    """

    def __init__(self, number: int, on_text: OnText | None = None, on_other: OnText | None = None) -> None:
        self.received = 0
        self.complaint: Transcript | None = None
        self.ready: dict[str, str] = {}
        self._number = str(number)
        self._on_text = on_text
        self._on_other = on_other
        self._other_decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._parser = Parser()
        self._line = bytearray()  # the bytes since the last line feed
        self._started = False
        self._begin()

    def feed(self, data: bytes) -> list[News]:
        """Take what a target said. What follows the end of our answer is ignored."""
        self.received += len(data)
        news: list[News] = []
        for piece in _PIECE_OF_LINE.findall(data):
            self._line += piece
            if self._started:
                self._answer += piece
            self._take(self._parser.feed(piece), news)
            if News.ANSWERED in news:
                break
            if piece.endswith(b"\n"):
                self._line.clear()
        return news

    def transcript(self) -> Transcript:
        """The answer, as far as it has come."""
        return Transcript("".join(self._text), dict(self._facts))

    def _begin(self) -> None:
        """Forget the answer so far."""
        self._answer = bytearray()  # from `@mcu request=` on
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text: list[str] = []
        self._facts: dict[str, str] = {}

    def _take(self, events: list[Event], news: list[News]) -> None:
        """The events of a piece of one line. Facts come together, when that line, which is in `_line`, is complete."""
        facts: dict[str, str] = {}
        for event in events:
            if isinstance(event, Text):
                if self._started:
                    self._say(self._decoder.decode(event.data))
                elif self._on_other is not None:
                    self._on_other(self._other_decoder.decode(event.data))
            elif isinstance(event, Fact):
                if not self._started and not facts and self._on_other is not None:
                    self._on_other(
                        "\n"
                    )  # the line break before facts is theirs; whatever was there has ended
                facts[event.key] = event.value
            elif self._started:
                self._started = False
                news.append(News.DAMAGED)
        if "verdict" in facts:
            self._end(facts, news)
        elif facts.get("request") == self._number:
            if self._text and self._on_text is not None:
                self._on_text("\n")  # it said some of it before, and begins again
            self._begin()
            self._answer += self._line
            self._started = True
            news.append(News.STARTED)
        elif "ready" in facts:
            if "crc" in facts and not self._is_line_right(facts["crc"]):
                return  # not all of what it said came; whoever waits for it asks again
            self.ready = facts
            self._started = False
            self._facts.clear()
            news.append(News.READY)
        else:
            self._facts |= facts

    def _end(self, facts: dict[str, str], news: list[News]) -> None:
        """A line with a verdict, which may be that of our answer."""
        number, crc = facts.pop("request", None), facts.pop("crc", "")
        self._facts |= facts
        if not self._started:
            if number is None and facts["verdict"] == "error":
                self.complaint = Transcript("", dict(self._facts))
            self._facts.clear()
            news.append(News.OTHER)
        elif number == self._number:
            self._started = False
            self._say(self._decoder.decode(b"", final=True))
            body = bytes(self._answer[: self._answer.rfind(b" crc=")])
            right = (
                body,
                body.replace(b"\r\n", b"\n"),
            )  # as it was sent, or through a line that changes line ends
            is_right = crc in (f"{zlib.crc32(data):08x}" for data in right)
            news.append(News.ANSWERED if is_right else News.DAMAGED)

    def _is_line_right(self, crc: str) -> bool:
        """Whether the line that has just ended is what its CRC says, from its mark on."""
        line = bytes(self._line)
        return crc == f"{zlib.crc32(line[line.find(MARK) : line.rfind(b' crc=')]):08x}"

    def _say(self, text: str) -> None:
        if text:
            self._text.append(text)
            if self._on_text is not None:
                self._on_text(text)

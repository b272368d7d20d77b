"""The run protocol: what is said to a firmware, and how its answer is read (docs/run-protocol.md).

A request is one line. The answer is the model's text as it is, lines `@mcu key=value ...` with facts, and EOT
(0x04). Both carry the request's number and a CRC. The same bytes cross a simulator's UART, a serial port, and a host
program's standard streams.
"""

from __future__ import annotations

import codecs
import re
import secrets
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from mcu_sdk.errors import TextError, UsageError

EOT = 0x04
"""Ends an answer; sent to the firmware, it ends the firmware."""

FORGET_LINE = b"\x15"
"""Makes the firmware forget what it has read of a line."""

PING = b"@ping\n"
"""Asks a firmware that waits for a request to say `@mcu ready=1`, and which image it is."""

MOST_STOPS = 8
"""How many texts may end an answer."""

LONGEST_STOP = 64
"""Bytes of such a text (kMostStopBytes in firmware/runtime/stop.h)."""

MOST_BIASES = 16
"""How many tokens a firmware takes a logit bias for (kBiasCapacity in firmware/runtime/language_model.cpp)."""

SMALLEST = 1e-6
"""What the last digit of a number in a request counts."""

LARGEST_FACT_LINE = 1 << 20
"""Bytes of a line of facts, beyond which it is taken for garbage."""

OnText = Callable[[str], None]
"""Called with each piece of the model's text as it arrives."""

_MARK = b"@mcu "
_PIECE_OF_LINE = re.compile(rb"[^\n]*\n|[^\n]+")
_PAIR = re.compile(r"([a-z][a-z0-9_]*)=(.*)", re.DOTALL)
_INT32_MAX = 2**31 - 1
_UINT32_MAX = 2**32 - 1


def new_number() -> int:
    """A request's number, from 1 to 2^32-1, that no request before had, as far as anybody may rely on."""
    return 1 + secrets.randbelow(_UINT32_MAX)


# ---- what is asked


class Message(Protocol):
    """What a firmware answers: a Request, or a piece of a tensor (transfer.py)."""

    def encode(self, number: int | None = None) -> bytes: ...


@dataclass(frozen=True)
class Request:
    """One run. Exactly one of `text`, `ids` (a prompt) and `steps` (for models with tensor inputs) is given.

    `chat`: 0 begins a conversation with `text`, 1 goes on with it; `at`: how many tokens of it were read; `system`: what it
    begins with, in the place of the project's own; `history`: the tokens of turns that were elsewhere, to begin behind.

    `temperature` 0 is greedy, `top_k` 0 is no limit, `tokens` the largest number of tokens to generate.
    `past_end` goes on behind an end-of-text token, for runs of a given length. `top_p`, `min_p` and `repetition_penalty` are
    transformers', and change nothing at 1, 0 and 1; `logit_bias` is what is added to the logits of tokens: (id, value), or
    a mapping. `stop`: texts that end the answer and are no part of it; without any the project's own, and none at all for an
    empty one alone.
    """

    text: str | None = None
    ids: tuple[int, ...] | None = None
    steps: int | None = None
    tokens: int = 100
    temperature: float = 0.0
    top_k: int = 0
    seed: int = 0
    past_end: bool = False
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: Sequence[tuple[int, float]] | Mapping[int, float] = ()
    stop: Sequence[str] = ()
    chat: int | None = None
    at: int | None = None
    system: str | None = None
    history: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "logit_bias", self.biases)  # a request can be hashed
        object.__setattr__(self, "stop", (self.stop,) if isinstance(self.stop, str) else tuple(self.stop))

    @property
    def biases(self) -> tuple[tuple[int, float], ...]:
        """`logit_bias` as pairs."""
        given = self.logit_bias
        return tuple(given.items()) if isinstance(given, Mapping) else tuple(given)

    def encode(self, number: int | None = None) -> bytes:
        """The request line; with a number, it and a CRC are in it. Raises UsageError for what a firmware would refuse."""
        return numbered("@run", number, self._keys())

    def _keys(self) -> str:
        if sum(given is not None for given in (self.text, self.ids, self.steps)) != 1:
            raise UsageError("A run takes exactly one of a prompt, token ids and a number of steps.")
        _check("seed", self.seed, 2**64 - 1)
        if self.steps is not None:
            _check("steps", self.steps, _INT32_MAX, smallest=1)
            return f"steps={self.steps} seed={self.seed}"
        _check("tokens", self.tokens, _INT32_MAX)
        _check("top_k", self.top_k, _INT32_MAX)
        if not 0 <= self.temperature <= 1000:
            raise UsageError(f"The temperature is a number from 0 to 1000, not {self.temperature}.")
        settings = f"tokens={self.tokens} temperature={_decimal(self.temperature)} top_k={self.top_k} seed={self.seed}"
        if self.past_end:
            settings += " past_end=1"
        return f"{settings}{self._more()}{self._turn()} {self._prompt()}"

    def _more(self) -> str:
        """The settings that not every firmware knows, where they change something."""
        _check_number("top_p", self.top_p, 1, above=True)
        _check_number("min_p", self.min_p, 1)
        _check_number("The repetition penalty", self.repetition_penalty, 1000, above=True)
        settings = "" if self.top_p == 1 else f" top_p={_decimal(self.top_p)}"
        settings += "" if self.min_p == 0 else f" min_p={_decimal(self.min_p)}"
        if self.repetition_penalty != 1:
            settings += f" repetition_penalty={_decimal(self.repetition_penalty)}"
        return settings + self._biases() + self._stops()

    def _biases(self) -> str:
        pairs = self.biases
        if len(pairs) > MOST_BIASES or len({token for token, _ in pairs}) < len(pairs):
            raise UsageError(
                f"At most {MOST_BIASES} tokens have a logit bias, one each; there are {len(pairs)}.",
                hint="Leave some out.",
            )
        for token, value in pairs:
            _check("The token id of a logit bias", token, _INT32_MAX)
            _check_number("A logit bias", value, 1000, below=-1000)
        return " logit_bias=" + ",".join(f"{t}:{_decimal(v)}" for t, v in pairs) if pairs else ""

    def _stops(self) -> str:
        if self.stop == ("",):
            return " stop="
        if len(self.stop) > MOST_STOPS or len(set(self.stop)) < len(self.stop):
            raise UsageError(
                f"At most {MOST_STOPS} texts end an answer, each named once; there are {len(self.stop)}.",
                hint="Leave some out.",
            )
        found = [_utf8(text, "A stop text") for text in self.stop]
        for text, data in zip(self.stop, found, strict=True):
            if not 1 <= len(data) <= LONGEST_STOP:
                raise UsageError(
                    f"A stop text has 1 to {LONGEST_STOP} bytes of UTF-8; {text!r} has {len(data)}.",
                    hint="Give its beginning.",
                )
        return " stop=" + ",".join(data.hex() for data in found) if found else ""

    def _turn(self) -> str:
        """What a turn of a conversation says beside its text."""
        if self.chat is None:
            return ""
        if self.text is None:
            raise UsageError("A turn of a conversation is a text.", hint="Give it as text, not as token ids.")
        _check("chat", self.chat, 1)
        said = f" chat={self.chat}"
        if self.at is not None:
            _check("at", self.at, _INT32_MAX)
            said += f" at={self.at}"
        if self.system is not None:
            said += f" system={_utf8(self.system, 'The system text').hex()}"
        return said + (" ids=" + ",".join(map(str, self.history)) if self.history else "")

    def _prompt(self) -> str:
        if self.ids is not None:
            for token in self.ids:
                _check("a token id", token, _INT32_MAX)
            if not self.ids:
                raise UsageError("The prompt is empty.", hint="Give at least one token id.")
            return "ids=" + ",".join(map(str, self.ids))
        assert self.text is not None
        if not self.text:
            raise UsageError("The prompt is empty.", hint="Give at least one character.")
        return "text=" + _utf8(self.text, "The prompt").hex()


def _utf8(text: str, what: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise TextError(
            f"{what} cannot be encoded as UTF-8: {error.reason} at character {error.start}.",
            hint="Give it as valid UTF-8, or a prompt as token ids.",
        ) from error


def numbered(verb: str, number: int | None, keys: str) -> bytes:
    """A line to the firmware; with a number, it and a CRC are in it. Raises UsageError for a number that is none."""
    if number is None:
        return f"{verb} {keys}\n".encode()
    _check("a request's number", number, _UINT32_MAX, smallest=1)
    line = f"{verb} request={number} {keys}".encode()
    return line + f" crc={zlib.crc32(line):08x}\n".encode()


def _check(name: str, value: int, largest: int, smallest: int = 0) -> None:
    if not smallest <= value <= largest:
        raise UsageError(f"{name} is a number from {smallest} to {largest}, not {value}.")


def _check_number(name: str, value: float, largest: int, *, above: bool = False, below: int = 0) -> None:
    """Raises UsageError for a number that is not from `below` (or above 0) to `largest`, or that six digits make 0."""
    if not below <= value <= largest or (value == 0 and above):
        least = "above 0" if above else f"from {below}"
        raise UsageError(f"{name} is a number {least} to {largest}, not {value}.")
    if value != 0 and abs(value) < SMALLEST:
        raise UsageError(f"{name} has at most six digits behind the point, not {value}.")


def _decimal(value: float) -> str:
    """At most six digits after the point, which is what the firmware reads."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


# ---- what is answered


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
        if expects_mark and mark == _MARK:
            self._mark, self._held, self._line = held, b"", bytearray()
            self._at_line_start = False
        elif expects_mark and _MARK.startswith(mark):
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
        return crc == f"{zlib.crc32(line[line.find(_MARK) : line.rfind(b' crc=')]):08x}"

    def _say(self, text: str) -> None:
        if text:
            self._text.append(text)
            if self._on_text is not None:
                self._on_text(text)

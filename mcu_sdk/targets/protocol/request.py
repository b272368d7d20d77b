"""What is said to a firmware: a request is one line."""

from __future__ import annotations

import secrets
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Protocol

from mcu_sdk.errors import TextError, UsageError

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

_INT32_MAX = 2**31 - 1
_UINT32_MAX = 2**32 - 1


def new_number() -> int:
    """A request's number, from 1 to 2^32-1, that no request before had, as far as anybody may rely on."""
    return 1 + secrets.randbelow(_UINT32_MAX)


class Message(Protocol):
    """What a firmware answers: a Request, or a piece of a tensor (transfer.py)."""

    def encode(self, number: int | None = None) -> bytes: ...


@dataclass(frozen=True)
class Request:
    """One run. Exactly one of `text`, `ids` (a prompt), `steps` (for models with tensor inputs) and `of_inputs` is given: the
    last asks a language model for an answer that is about what was put before (transfer.py).

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
    _: KW_ONLY
    steps: int | None = None
    of_inputs: bool = False
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
        starts = (self.text, self.ids, self.steps, self.of_inputs or None)
        if sum(given is not None for given in starts) != 1:
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
        prompt = "" if self.of_inputs else f" {self._prompt()}"
        return f"{settings}{self._more()}{self._turn()}{prompt}"

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

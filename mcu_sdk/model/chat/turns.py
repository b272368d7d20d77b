"""What stands between the texts of a conversation: the part of a chat template that a device has.

A template of the usual form writes the same before, between and behind the texts, whatever they are. So a turn is token ids,
text, token ids. Of a text it may take characters off the ends, and of an answer what was thought before it, once another
turn follows: `Chat.turn` and `Chat.remembered` are the specification of firmware/runtime/chat.cpp.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mcu_sdk.errors import UsageError
from mcu_sdk.model.chat.rendering import Message

Encode = Callable[[str], Sequence[int]]
"""The ids of a text in which special tokens are text, and nothing around it."""


@dataclass(frozen=True)
class Gap:
    """What is written between two texts. `head` and `tail` go on the texts before and behind it, and become tokens together
    with them; without `ids` in between, both texts are one."""

    head: str = ""
    ids: tuple[int, ...] = ()
    tail: str = ""

    def to_template(self) -> dict[str, Any]:
        """Plain values for templates/model/chat.cpp.j2."""
        return {
            "head": self.head,
            "head_bytes": len(self.head.encode()),
            "ids": [str(i) for i in self.ids],
            "tail": self.tail,
            "tail_bytes": len(self.tail.encode()),
        }


@dataclass(frozen=True)
class Strip:
    """The characters that are taken off the ends of a text."""

    left: str = ""
    right: str = ""

    def of(self, text: str) -> str:
        return text.lstrip(self.left).rstrip(self.right)


@dataclass(frozen=True)
class Past:
    """What is left of an answer when another turn follows it. `cut`: the text up to whose last place it is dropped, "" for
    none; `behind_cut`: what is stripped there, `strip`: of an answer without such a place. `dropped`: how many of the ids
    of `before_answer` stand only before an answer that is to come; `before`: what stands only before a past one."""

    strip: Strip = Strip()
    cut: str = ""
    behind_cut: Strip = Strip()
    dropped: int = 0
    before: Gap = Gap()

    def text(self, answer: str) -> str:
        """What is left of an answer's text."""
        if self.cut and self.cut in answer:
            return self.behind_cut.of(answer.split(self.cut)[-1])
        return self.strip.of(answer)

    def to_template(self) -> dict[str, Any]:
        """Plain values for templates/model/chat.cpp.j2."""
        return {
            "strip": _sides(self.strip),
            "cut": self.cut,
            "cut_bytes": len(self.cut.encode()),
            "behind_cut": _sides(self.behind_cut),
            "dropped": self.dropped,
        }


def _sides(strip: Strip) -> list[dict[str, Any]]:
    return [{"text": side, "bytes": len(side.encode())} for side in (strip.left, strip.right)]


@dataclass(frozen=True)
class Chat:
    """`opening`: before the first text of a conversation, with the system text that the template, or the user, has for all;
    `before_system`, `behind_system`: around another one, None where the template takes none. `before_answer`: from a
    person's text to the answer; `behind_answer`: from an answer to the next text. `end`: the token that a turn ends with,
    or -1. `system`: the user's system text in `opening`. `strip_system`, `strip_user`: what is stripped of texts of these
    roles; `past`: what becomes of answers."""

    opening: Gap
    before_system: Gap | None
    behind_system: Gap | None
    before_answer: Gap
    behind_answer: Gap
    end: int = -1
    system: str | None = None
    strip_system: Strip = Strip()
    strip_user: Strip = Strip()
    past: Past = Past()

    @property
    def rewrites(self) -> bool:
        """Whether a past answer can be something else than the answer was."""
        return self.past != Past()

    def turn(self, encode: Encode, text: str, *, first: bool = True, system: str | None = None) -> list[int]:
        """The ids that are read before the next answer. `system` is for the first turn.

        Raises UsageError for a system text where the template takes none, or the conversation has begun.
        """
        if system is not None and not first:
            raise UsageError("A system text begins a conversation.", hint="Begin a new one.")
        if system is None:
            parts: list[Gap | str] = [self.opening if first else self.behind_answer]
        else:
            if self.before_system is None or self.behind_system is None:
                raise UsageError(
                    "The chat template of this model takes no system text at run time.",
                    hint="Leave --system out, or give it to `mcu-sdk generate`.",
                )
            parts = [self.before_system, self.strip_system.of(system), self.behind_system]
        return written([*parts, self.strip_user.of(text), self.before_answer], encode)

    def remembered(
        self, encode: Encode, read: Sequence[int], answer: Sequence[int], said: bytes
    ) -> list[int]:
        """The ids of a conversation once another turn follows: `read`, up to the answer, and what is left of that. `answer`:
        its ids without the token that ended it; `said`: their text.

        They are those of the model where the template writes the answer as it is, and where what is left is no UTF-8;
        otherwise those of the text that the template writes.
        """
        text = said.decode("utf-8", "surrogateescape")
        left = self.past.text(text)
        if left == text and not self.past.dropped and self.past.before == Gap():
            return [*read, *answer]
        try:
            left.encode()
        except UnicodeEncodeError:
            return [*read, *answer]
        return [*read[: len(read) - self.past.dropped], *written([self.past.before, left], encode)]

    def conversation(self, encode: Encode, messages: Sequence[Message]) -> list[int]:
        """The ids of a whole conversation up to the next answer, past answers encoded as texts.

        Raises UsageError for roles out of order: a system text may begin, then user and assistant take turns, and the
        user's is the last.
        """
        check_roles(messages)
        system = messages[0].content if messages[0].role == "system" else None
        rest = messages[1:] if system is not None else messages
        ids = self.turn(encode, rest[0].content, system=system)
        for answer, text in zip(rest[1::2], rest[2::2], strict=True):
            ids = self.remembered(encode, ids, encode(answer.content), answer.content.encode())
            ids += self.turn(encode, text.content, first=False)
        return ids

    def to_template(self, stored: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Plain values for templates/model/chat.cpp.j2. `stored`: `StoredCache.to_template()` of the opening's ids."""
        gaps = {
            "opening": self.opening,
            "before_system": self.before_system or Gap(),
            "behind_system": self.behind_system or Gap(),
            "before_answer": self.before_answer,
            "behind_answer": self.behind_answer,
            "before_past": self.past.before,
        }
        return {
            "gaps": [{"name": _camel(name), **gap.to_template()} for name, gap in gaps.items()],
            "bytes": sum(4 * len(gap.ids) for gap in gaps.values()),
            "strip_system": _sides(self.strip_system),
            "strip_user": _sides(self.strip_user),
            "past": self.past.to_template(),
            "rewrites": self.rewrites,
            "takes_system": self.before_system is not None,
            "end": self.end,
            "stored": stored,
        }


def _camel(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def written(parts: Sequence[Gap | str], encode: Encode) -> list[int]:
    """The ids of gaps and texts in order."""
    ids: list[int] = []
    text = ""
    for part in parts:
        if isinstance(part, str):
            text += part
            continue
        text += part.head
        if part.ids:
            ids += [*(encode(text) if text else ()), *part.ids]
            text = ""
        text += part.tail
    return [*ids, *(encode(text) if text else ())]


def check_roles(messages: Sequence[Message]) -> None:
    """Raises UsageError for roles out of order."""
    begin = 1 if messages and messages[0].role == "system" else 0
    for number, message in enumerate(messages[begin:]):
        wanted = ("user", "assistant")[number % 2]
        if message.role != wanted:
            raise UsageError(
                f"Message {begin + number + 1} of the conversation should be of the role {wanted!r}; it is {message.role!r}.",
                hint="A system text may begin; then user and assistant take turns.",
            )
    if len(messages[begin:]) % 2 == 0:
        raise UsageError(
            "A conversation that is to be answered ends with a message of the role 'user'.",
            hint="Add one, or leave the last answer out.",
        )

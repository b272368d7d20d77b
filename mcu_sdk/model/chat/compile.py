"""A chat template -> the gaps between the texts of a conversation, proved on conversations; or why it has none.

Texts that mark places are rendered, what stands between them are the gaps. Then conversations drawn by a seed are rendered,
with texts of all kinds, and have to be these gaps and texts, as characters and as token ids.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mcu_sdk.model.chat.rendering import (
    SECONDS,
    Conversation,
    Job,
    Message,
    Template,
    Unsuitable,
    another_day,
    render,
    text_of,
)
from mcu_sdk.model.chat.turns import Chat, Gap
from mcu_sdk.text import shown

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TURNS = 4
"""The most turns of a conversation that is tried."""

_WORDS = [
    "how",
    "far",
    "is",
    "the",
    "red",
    "lamp",
    "from",
    "a",
    "kitchen",
    "that",
    "nobody",
    "switched",
    "off",
    "at",
    "10",
    "o'clock",
    "today",
]
_ODD = (
    "  two spaces before",
    "two behind  ",
    "a line\n\nand another\n",
    "\n- a list\n",
    "<think>so</think>yes",
    "{{ 1 + 1 }} {% if %}",
    "[INST] x [/INST] <<SYS>>",
    "### User:\nno",
    "0",
    "caf\u00e9 \u2603 \u6f22",
)
"""Texts that a template may take for something else than a text."""


def compile_chat(
    template: Template, tokenizer: Tokenizer, *, system: str | None = None, seconds: float = SECONDS
) -> Chat:
    """`system`: a text that every conversation begins with. Raises Unsuitable."""
    marks, tried = _marked(None), _tried()
    jobs = [Job(marks), another_day(Job(marks)), Job(_marked("system")), *(Job(each) for each in tried)]
    plain, later, systemic, *rest = render(template, jobs, seconds)
    gaps = _between(text_of(plain), marks)
    if text_of(later) != text_of(plain):
        raise Unsuitable("writes the date, which a device does not know")
    opening, before, behind = _same(gaps)
    raw = _Raw(opening, _around_system(systemic.text, (before, behind)), before, behind)
    raw = _prove(raw, tried, [each.text if each.text is not None else each.error for each in rest])
    chat = _cut(raw, tokenizer)
    _prove_ids(chat, tokenizer, [each for each in tried if raw.fits(each)], raw)
    if system is None:
        return chat
    return _with_system(chat, system, tokenizer)


@dataclass(frozen=True)
class _Raw:
    """The gaps as texts. `around_system`: before the system text and behind it; None where there is no such place."""

    opening: str
    around_system: tuple[str, str] | None
    before_answer: str
    behind_answer: str

    def text(self, messages: Conversation) -> str:
        """What the template should make of them."""
        system = self.around_system if messages[0].role == "system" else None
        said = system[0] + messages[0].content + system[1] if system else self.opening
        rest = messages[1:] if messages[0].role == "system" else messages
        for number, message in enumerate(rest):
            said += message.content + (self.behind_answer if number % 2 else self.before_answer)
        return said

    def fits(self, messages: Conversation) -> bool:
        return self.around_system is not None or messages[0].role != "system"


def _mark(name: str) -> str:
    return f"Mark{name}9"


def _marked(system: str | None) -> list[Message]:
    """A conversation of three turns, each of whose texts occurs nowhere else."""
    begin = [Message("system", _mark(system))] if system else []
    roles = ("user", "assistant") * 2 + ("user",)
    return begin + [Message(role, _mark(f"{role}{number}")) for number, role in enumerate(roles)]


def _between(text: str, messages: Conversation) -> list[str]:
    """What stands before, between and behind the messages. Raises Unsuitable where one is missing, or comes twice."""
    gaps = []
    for message in messages:
        before, found, text = text.partition(message.content)
        if not found or message.content in text:
            what = "leaves out" if not found else "repeats"
            raise Unsuitable(f"{what} a text of the role {message.role!r}")
        gaps.append(before)
    return [*gaps, text]


def _around_system(text: str | None, others: tuple[str, str]) -> tuple[str, str] | None:
    """What stands before and behind the system text of a conversation that is otherwise written with `others`; None where it
    is not."""
    try:
        gaps = _between(text or "", _marked("system"))
        return (gaps[0], gaps[1]) if _same(gaps[1:])[1:] == others else None
    except Unsuitable:
        return None


def _same(gaps: Sequence[str]) -> tuple[str, str, str]:
    """The gap before all, that before every answer and that behind it. Raises Unsuitable where they differ."""
    before, behind = gaps[1::2], gaps[2::2]
    if len(set(before[:-1])) > 1 or len(set(behind)) > 1:
        raise Unsuitable("writes other things around a turn than around the one before")
    if before[-1] != before[0]:
        raise Unsuitable(
            f"writes {shown(before[-1])} before the answer that is to come, and {shown(before[0])} before one that was given"
        )
    return gaps[0], before[0], behind[0]


def _tried() -> list[list[Message]]:
    """Conversations of one to TURNS turns, with a system text and without: of plain words first, then odd ones."""
    draw = random.Random(1)

    def words() -> str:
        said = " ".join(draw.choices(_WORDS, k=draw.randint(1, 9)))
        return draw.choice((said, said.capitalize())) + draw.choice(("?", ".", ""))

    def conversation(turns: int, system: bool, text: Iterable[str]) -> list[Message]:
        texts = iter(text)
        roles = [*(["system"] if system else []), *(["user", "assistant"] * turns)[:-1]]
        return [Message(role, next(texts)) for role in roles]

    found = [
        conversation(turns, system, (words() for _ in range(99)))
        for turns in range(1, TURNS + 1)
        for system in (False, True)
    ]
    for odd in _ODD:
        found += [
            conversation(2, False, [odd if each == place else words() for each in range(3)])
            for place in range(3)
        ]
        found.append(conversation(1, True, [odd, words()]))
    return found


def _prove(raw: _Raw, tried: Sequence[Conversation], rendered: Sequence[str]) -> _Raw:
    """Raises Unsuitable where a conversation is something else than gaps and texts. Where that is so with system texts only,
    there is no place for them."""
    for messages, found in zip(tried, rendered, strict=True):
        if not raw.fits(messages) or found == raw.text(messages):
            continue
        if messages[0].role == "system":
            raw = replace(raw, around_system=None)
            continue
        stripped = [replace(each, content=each.content.strip()) for each in messages]
        if found == raw.text(stripped):
            raise Unsuitable("strips texts of the spaces around them")
        odd = next((each for each in messages if each.content in _ODD), None)
        if odd is None:
            raise Unsuitable(
                f"writes a conversation of {(len(messages) + 1) // 2} turns in another way than one of three"
            )
        raise Unsuitable(f"does not write the text {shown(odd.content)} of the role {odd.role!r} as it is")
    return raw


# ---- token ids


def encode_plain(tokenizer: Tokenizer, text: str) -> list[int]:
    """The ids of a text in the middle of others: special tokens in it are text, and nothing is put around it."""
    before = tokenizer.encode_special_tokens
    tokenizer.encode_special_tokens = True
    try:
        return [int(i) for i in tokenizer.encode(text, add_special_tokens=False).ids]
    finally:
        tokenizer.encode_special_tokens = before


def _encode(tokenizer: Tokenizer, text: str) -> tuple[int, ...]:
    """The ids of a text as apply_chat_template gives them."""
    return tuple(int(i) for i in tokenizer.encode(text, add_special_tokens=False).ids)


def _cut(raw: _Raw, tokenizer: Tokenizer) -> Chat:
    """The gaps with the ids of their special tokens, and of what is between these."""
    special = {
        token.content: index for index, token in tokenizer.get_added_tokens_decoder().items() if token.special
    }
    pattern = re.compile("|".join(map(re.escape, sorted(special, key=len, reverse=True))) or "(?!)")

    def gap(text: str, *, text_before: bool = True, text_behind: bool = True) -> Gap:
        found = list(pattern.finditer(text))
        if not found:
            return Gap(tail=text) if not text_before else Gap(head=text)
        first = found[0].start() if text_before else 0
        last = found[-1].end() if text_behind else len(text)
        return Gap(text[:first], _encode(tokenizer, text[first:last]), text[last:])

    around = raw.around_system
    ending = pattern.match(raw.behind_answer)
    return Chat(
        opening=gap(raw.opening, text_before=False),
        before_system=gap(around[0], text_before=False) if around else None,
        behind_system=gap(around[1]) if around else None,
        before_answer=gap(raw.before_answer, text_behind=False),
        behind_answer=gap(raw.behind_answer, text_before=False),
        end=special[ending[0]] if ending else -1,
    )


def _prove_ids(chat: Chat, tokenizer: Tokenizer, tried: Sequence[Conversation], raw: _Raw) -> None:
    """Raises Unsuitable where the ids of gaps and texts are not those of the whole text. Answers are tokens already where a
    device reads them, so only those of plain words are encoded here; and special tokens in a text are text."""
    special = [token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special]
    for messages in tried:
        if any(each.content in _ODD for each in messages if each.role == "assistant"):
            continue
        if any(token in each.content for token in special for each in messages):
            continue
        ids = chat.conversation(lambda text: encode_plain(tokenizer, text), messages)
        if tuple(ids) != _encode(tokenizer, raw.text(messages)):
            raise Unsuitable(
                "has texts whose tokens depend on what stands around them, in the way that its tokenizer cuts them"
            )


def _with_system(chat: Chat, system: str, tokenizer: Tokenizer) -> Chat:
    """The chat with a system text in its opening. Raises Unsuitable where there is no place for one."""
    if chat.before_system is None or chat.behind_system is None:
        raise Unsuitable("takes no system text")
    before, behind = chat.before_system, chat.behind_system
    text = before.tail + system + behind.head
    if not behind.ids:
        return replace(chat, opening=Gap("", before.ids, text + behind.tail), system=system)
    ids = (*before.ids, *(encode_plain(tokenizer, text) if text else ()), *behind.ids)
    return replace(chat, opening=Gap("", ids, behind.tail), system=system)

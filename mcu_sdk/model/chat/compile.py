"""A chat template -> the gaps between the texts of a conversation, proved on conversations; or why it has none.

Texts that mark places are rendered, what stands between them are the gaps. Then conversations drawn by a seed are rendered,
with texts of all kinds, and have to be these gaps and texts, as characters and as token ids.
"""

from __future__ import annotations

import datetime
import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mcu_sdk.model.chat.probes import Probes, Stripped, between, marked, markers_of, words_of
from mcu_sdk.model.chat.rendering import (
    DAY,
    SECONDS,
    Conversation,
    Job,
    Message,
    Rendered,
    Template,
    Unsuitable,
    another_day,
    another_hour,
    render,
    text_of,
)
from mcu_sdk.model.chat.turns import Chat, Gap, Past
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
    "<think>\nso\n</think>\n\n  yes\n",
    "</think>",
    " \t\u3000\n both \r\n\u00a0",
    " \n",
    "{{ 1 + 1 }} {% if %}",
    "[INST] x [/INST] <<SYS>>",
    "### User:\nno",
    "0",
    "caf\u00e9 \u2603 \u6f22",
)
"""Texts that a template may take for something else than a text."""


def compile_chat(
    template: Template,
    tokenizer: Tokenizer,
    *,
    system: str | None = None,
    date: datetime.date | None = None,
    seconds: float = SECONDS,
) -> Chat:
    """`system`: a text that every conversation begins with; `date`: that a template is told where it asks. Raises
    Unsuitable."""
    probes = Probes(markers_of(template.source))
    odd_texts = (*_ODD, *(f"{word}so{word}" for word in words_of(template.source)))
    tried: Sequence[Conversation] = _tried(odd_texts)
    of_its_own: list[Conversation] = []
    if system is not None:
        begin = [Message("system", system)]
        of_its_own = [[*begin, *each] for each in (marked(None), *_without_system(tried))]
    day = DAY if date is None else date.toordinal()
    conversations = [marked(None), marked("system"), *probes.conversations(), *tried, *of_its_own]
    jobs = [Job(each, day) for each in conversations]
    asked = [other(jobs[number]) for number in range(2) for other in (another_day, another_hour)]
    plain, systemic, *rest = render(template, [*jobs, *asked], seconds)
    _check_clock((plain, systemic), rest[-len(asked) :], date)
    whole = between(text_of(plain), *_split(marked(None)))
    opening, before, past, behind = _same(whole)
    systemic_gaps = _around_system(systemic.text, (before, past, behind))
    texts = [each.text for each in rest]
    count = len(probes.conversations())
    stripped = probes.read(texts[:count], whole, systemic_gaps)
    around = (systemic_gaps[0], systemic_gaps[1]) if systemic_gaps else None
    raw = _Raw(opening, around, before, past, behind, stripped)
    raw = _prove(raw, tried, texts[count : count + len(tried)], odd_texts)
    has_place = raw.around_system is not None
    if system is not None and not has_place:
        own = rest[count + len(tried) : -len(asked)]
        raw, tried = _with_own_opening(raw, system, tokenizer, own[0]), _without_system(tried)
        _prove(raw, tried, [each.text for each in own[1:]], odd_texts)
    chat = _cut(raw, tokenizer)
    _prove_ids(chat, tokenizer, [each for each in tried if raw.fits(each)], raw, odd_texts)
    if system is None:
        return chat
    return _with_system(chat, system, tokenizer) if has_place else replace(chat, system=system)


def _split(messages: Conversation) -> tuple[list[str], list[str]]:
    return [each.content for each in messages], [each.role for each in messages]


def _without_system(tried: Sequence[Conversation]) -> list[Conversation]:
    return [each for each in tried if each[0].role != "system"]


def _check_clock(
    written: tuple[Rendered, Rendered], asked: Sequence[Rendered], date: datetime.date | None
) -> None:
    """`written`: without system text and with one; `asked`: each of these on another day, and at another hour. Raises
    Unsuitable for a template that asks for what it is not told, or is told what it does not ask for."""
    text_of(written[0])
    later, in_the_evening = asked[0::2], asked[1::2]
    if any(one != other for one, other in zip(written, in_the_evening, strict=True)):
        raise Unsuitable("writes the time of day, which a device does not know")
    asks = any(one != other for one, other in zip(written, later, strict=True))
    if asks and date is None:
        raise Unsuitable("writes the date, which a device does not know (--chat-date gives it one)")
    if date is not None and not asks:
        raise Unsuitable("writes no date, and --chat-date gives one")


@dataclass(frozen=True)
class _Raw:
    """The gaps as texts. `around_system`: before the system text and behind it; None where there is no such place. Before
    an answer that is to come, and before a past one."""

    opening: str
    around_system: tuple[str, str] | None
    before_answer: str
    before_past: str
    behind_answer: str
    stripped: Stripped

    @property
    def past(self) -> Past:
        """What becomes of the texts of answers."""
        return Past(self.stripped.answer, self.stripped.cut, self.stripped.behind_cut)

    def text(self, messages: Conversation) -> str:
        """What the template should make of them."""
        system = self.around_system if messages[0].role == "system" else None
        said = self.opening
        if system:
            said = system[0] + self.stripped.system.of(messages[0].content) + system[1]
        rest = messages[1:] if messages[0].role == "system" else messages
        for number, message in enumerate(rest):
            if number % 2:
                said += self.past.text(message.content) + self.behind_answer
                continue
            said += self.stripped.user.of(message.content)
            said += self.before_answer if message is rest[-1] else self.before_past
        return said

    def fits(self, messages: Conversation) -> bool:
        return self.around_system is not None or messages[0].role != "system"


def _with_own_opening(raw: _Raw, system: str, tokenizer: Tokenizer, written: Rendered) -> _Raw:
    """The gaps as they are behind one system text, of which the template makes something that is no gap and text. Raises
    Unsuitable where the template has no place for it, or special tokens in it would become more than text."""
    if written.text is None:
        raise Unsuitable("takes no system text")
    if any(token in system for token in _special(tokenizer)):
        raise Unsuitable("takes no special tokens in a system text")
    opening, before, past, behind = _same(between(written.text, *_split(marked(None))))
    return _Raw(opening, None, before, past, behind, raw.stripped)


def _around_system(text: str | None, others: tuple[str, str, str]) -> list[str] | None:
    """The gaps of a conversation with a system text that is otherwise written with `others`; None where it is not."""
    try:
        gaps = between(text or "", *_split(marked("system")))
        return gaps if _same(gaps[1:])[1:] == others else None
    except Unsuitable:
        return None


def _same(gaps: Sequence[str]) -> tuple[str, str, str, str]:
    """The gap before all, that before the answer to come, before past ones and behind these. Raises Unsuitable where the gaps
    of turns differ, or one of the two before answers does not begin the other."""
    before, behind = gaps[1::2], gaps[2::2]
    if len(set(before[:-1])) > 1 or len(set(behind)) > 1:
        raise Unsuitable("writes other things around a turn than around the one before")
    if not before[-1].startswith(before[0]) and not before[0].startswith(before[-1]):
        raise _otherwise(before[-1], before[0])
    return gaps[0], before[-1], before[0], behind[0]


def _otherwise(to_come: str, past: str) -> Unsuitable:
    return Unsuitable(
        f"writes {shown(to_come)} before the answer that is to come, and {shown(past)} before one that was given"
    )


def _tried(odd_texts: Sequence[str]) -> list[list[Message]]:
    """Conversations of one to TURNS turns, with a system text and without: of plain words first, then with odd texts."""
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
    for odd in odd_texts:
        found += [
            conversation(2, False, [odd if each == place else words() for each in range(3)])
            for place in range(3)
        ]
        found.append(conversation(1, True, [odd, words()]))
    return found


def _prove(
    raw: _Raw, tried: Sequence[Conversation], rendered: Sequence[str | None], odd_texts: Sequence[str]
) -> _Raw:
    """Raises Unsuitable where a conversation is something else than gaps and texts. Where that is so with system texts only,
    there is no place for them."""
    for messages, found in zip(tried, rendered, strict=True):
        if not raw.fits(messages) or found == raw.text(messages):
            continue
        if messages[0].role == "system":
            raw = replace(raw, around_system=None)
            continue
        odd = next((each for each in messages if each.content in odd_texts), None)
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


def _special(tokenizer: Tokenizer) -> dict[str, int]:
    """The ids of special tokens."""
    return {
        token.content: index for index, token in tokenizer.get_added_tokens_decoder().items() if token.special
    }


def _cut(raw: _Raw, tokenizer: Tokenizer) -> Chat:
    """The gaps with the ids of their special tokens, and of what is between these."""
    special = _special(tokenizer)
    pattern = re.compile("|".join(map(re.escape, sorted(special, key=len, reverse=True))) or "(?!)")

    def gap(text: str, *, text_before: bool = True, text_behind: bool = True) -> Gap:
        found = list(pattern.finditer(text))
        if not found:
            return Gap(tail=text) if not text_before else Gap(head=text)
        first = found[0].start() if text_before else 0
        last = found[-1].end() if text_behind else len(text)
        return Gap(text[:first], _encode(tokenizer, text[first:last]), text[last:])

    if raw.stripped.cut in special:
        raise Unsuitable(
            f"drops what an answer has before {raw.stripped.cut!r}, a special token, which is no text"
        )
    around = raw.around_system
    ending = pattern.match(raw.behind_answer)
    before = gap(raw.before_answer, text_behind=False)
    past = raw.past
    if raw.before_past.startswith(raw.before_answer):
        past = replace(past, before=gap(raw.before_past[len(raw.before_answer) :], text_before=False))
    else:
        shorter = gap(raw.before_past, text_behind=False)
        if not shorter.ids or (shorter.head, shorter.ids) != (before.head, before.ids[: len(shorter.ids)]):
            raise _otherwise(raw.before_answer, raw.before_past)
        past = replace(past, dropped=len(before.ids) - len(shorter.ids))
    return Chat(
        opening=gap(raw.opening, text_before=False),
        before_system=gap(around[0], text_before=False) if around else None,
        behind_system=gap(around[1]) if around else None,
        before_answer=before,
        behind_answer=gap(raw.behind_answer, text_before=False),
        end=special[ending[0]] if ending else -1,
        strip_system=raw.stripped.system,
        strip_user=raw.stripped.user,
        past=past,
    )


def _prove_ids(
    chat: Chat,
    tokenizer: Tokenizer,
    tried: Sequence[Conversation],
    raw: _Raw,
    odd_texts: Sequence[str],
) -> None:
    """Raises Unsuitable where the ids of gaps and texts are not those of the whole text. Answers are tokens already where a
    device reads them, so of odd ones only those are encoded here that the template changes; and special tokens in a text
    are text."""
    special = _special(tokenizer)
    for messages in tried:
        odd = [each.content for each in messages if each.role == "assistant" and each.content in odd_texts]
        if any(raw.past.text(text) == text for text in odd):
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
    text = before.tail + chat.strip_system.of(system) + behind.head
    if not behind.ids:
        return replace(chat, opening=Gap("", before.ids, text + behind.tail), system=system)
    ids = (*before.ids, *(encode_plain(tokenizer, text) if text else ()), *behind.ids)
    return replace(chat, opening=Gap("", ids, behind.tail), system=system)

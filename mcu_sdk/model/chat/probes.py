"""What a chat template does to the texts of a conversation, found out by rendering: which characters it takes off their
ends, and whether it drops what an answer has before a marker, as what was thought before `</think>`.

Each character that may be taken off is put on the ends of every text, once on the left and twice on the right, so that the
lengths of what then stands between two marks say which of them are left.
"""

from __future__ import annotations

import re
import string
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from mcu_sdk.model.chat.rendering import Conversation, Message, Unsuitable
from mcu_sdk.model.chat.turns import Strip
from mcu_sdk.text import shown

_SPACES = "".join(filter(str.isspace, map(chr, range(sys.maxunicode + 1))))
CHARACTERS = tuple(dict.fromkeys(_SPACES + string.punctuation))
"""Those that are tried: what `str.strip()`, Jinja's `trim`, takes off, and what a template may name."""

_SPLIT = re.compile(r"""split\(\s*('(?:[^'\\]|\\.)+'|"(?:[^"\\]|\\.)+")\s*\)\s*\[\s*-\s*1\s*\]""")
_MARKERS, _WORDS, _LONGEST = 4, 48, 40


def mark(name: str) -> str:
    """A text that occurs nowhere else, and begins and ends with no character that is tried."""
    return f"Mark{name}9"


def marked(system: str | None, around: str = "", *, cut: str = "") -> list[Message]:
    """A conversation of three turns, each of whose texts occurs nowhere else. `around`: what stands before each of them, and
    twice behind it; `cut`: a marker, with something before it, that answers begin with."""
    roles = (("system",) if system else ()) + ("user", "assistant") * 2 + ("user",)
    return [
        Message(
            role,
            ("x" + cut) * (role == "assistant" and bool(cut)) + around + mark(f"{role}{number}") + around * 2,
        )
        for number, role in enumerate(roles)
    ]


def between(text: str, texts: Sequence[str], roles: Sequence[str]) -> list[str]:
    """What stands before, between and behind the texts. Raises Unsuitable where one is missing, or comes twice."""
    gaps = []
    for each, role in zip(texts, roles, strict=True):
        before, found, text = text.partition(each)
        if not found or each in text:
            what = "leaves out" if not found else "repeats"
            raise Unsuitable(f"{what} a text of the role {role!r}")
        gaps.append(before)
    return [*gaps, text]


def markers_of(source: str) -> tuple[str, ...]:
    """The texts at whose last place a template splits something."""
    return tuple(dict.fromkeys(_unescaped(match[1]) for match in _SPLIT.finditer(source)))[:_MARKERS]


def words_of(source: str) -> tuple[str, ...]:
    """The texts that a template names: it may look for them in what is said. None of a template that is no Jinja."""
    from jinja2 import Environment, TemplateSyntaxError

    try:
        literals = [value for _, kind, value in Environment(autoescape=True).lex(source) if kind == "string"]
    except TemplateSyntaxError:
        return ()
    found = dict.fromkeys(map(_unescaped, literals))
    return tuple(w for w in found if 2 <= len(w) <= _LONGEST and not w.isalnum() and w.strip())[:_WORDS]


def _unescaped(literal: str) -> str:
    """The text of a Jinja string with its quotes, for the escapes that templates use."""
    text = literal[1:-1]
    for escaped, plain in (("\\n", "\n"), ("\\'", "'"), ('\\"', '"'), ("\\\\", "\\")):
        text = text.replace(escaped, plain)
    return text


@dataclass(frozen=True)
class Probes:
    """The conversations whose rendering tells. `markers`: see `markers_of`."""

    markers: tuple[str, ...]

    def conversations(self) -> list[Conversation]:
        """In the order in which `read` takes what was made of them."""
        plain = [marked(system, each) for system in (None, "system") for each in CHARACTERS]
        cut = [marked(None, each, cut=marker) for marker in self.markers for each in ("", *CHARACTERS)]
        return [*plain, *cut]

    def read(
        self, rendered: Sequence[str | None], gaps: Sequence[str], systemic: Sequence[str] | None
    ) -> Stripped:
        """`gaps`: between the marks of a conversation without system text, `systemic`: of one with it, None where the
        template takes none. Raises Unsuitable where the same role's texts are not all stripped alike."""
        count = len(CHARACTERS)
        ends = [_ends(text, marked(None), gaps, each) for text, each in zip(rendered[:count], CHARACTERS, strict=True)]  # fmt: skip
        user, answer = _strip(ends, 0, "user"), _strip(ends, 1, "assistant")
        system = Strip()
        if systemic is not None:
            texts = rendered[count : 2 * count]
            ends = [_ends(text, marked("system"), systemic, each) for text, each in zip(texts, CHARACTERS, strict=True)]  # fmt: skip
            system = _strip(ends, 0, "system", one=True)
        for number, marker in enumerate(self.markers):
            begin = 2 * count + number * (count + 1)
            whole, *others = rendered[begin : begin + count + 1]
            if whole != _joined(gaps, marked(None)):
                continue  # what stands before this marker stays
            ends = [_ends(text, marked(None), gaps, each) for text, each in zip(others, CHARACTERS, strict=True)]  # fmt: skip
            return Stripped(system, user, answer, marker, _strip(ends, 1, "assistant"))
        return Stripped(system, user, answer, "", Strip())


@dataclass(frozen=True)
class Stripped:
    """What is stripped of the texts of each role; `cut`: the marker up to which answers are dropped, "" for none, and what is
    stripped of what is left of them."""

    system: Strip
    user: Strip
    answer: Strip
    cut: str
    behind_cut: Strip


def _joined(gaps: Sequence[str], messages: Conversation) -> str:
    pieces = [gap + message.content for gap, message in zip(gaps, messages, strict=False)]
    return "".join([*pieces, gaps[-1]])


Ends = tuple[tuple[bool, bool], ...]
"""Of each text, whether what was put on its left and on its right is gone."""


def _ends(text: str | None, messages: Conversation, gaps: Sequence[str], each: str) -> Ends:
    """Raises Unsuitable where what stands between two texts is no gap with or without these characters."""
    texts, roles = [m.content for m in messages], [m.role for m in messages]
    found = between(text or "", texts, roles)
    rights, lefts = [True], []
    for number, (piece, gap) in enumerate(zip(found, gaps, strict=True)):
        right, left = divmod(len(piece) - len(gap), 2)
        if right not in (0, 1) or piece != each * 2 * right + gap + each * left:
            role = roles[min(number, len(roles) - 1)]
            raise Unsuitable(
                f"does not write a text with {shown(each)} at its ends, of the role {role!r}, as it is"
            )
        rights.append(not right)
        lefts.append(not left)
    # Before the first gap and behind the last one there is no text.
    return tuple(zip(lefts[:-1], rights[2:], strict=True))


def _strip(ends: Sequence[Ends], first: int, role: str, *, one: bool = False) -> Strip:
    """The characters that are gone at the ends of all texts of a role: of every second one from `first` on, or of that alone."""
    step = 99 if one else 2
    sides = ["", ""]
    for each, pairs in zip(CHARACTERS, ends, strict=True):
        for side in range(2):
            gone = {pair[side] for pair in pairs[first::step]}
            if len(gone) > 1:
                raise Unsuitable(f"strips some texts of the role {role!r} of {shown(each)}, and others not")
            sides[side] += each if gone == {True} else ""
    return Strip(*sides)

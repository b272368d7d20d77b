"""What a token classifier's scores say of a text: a label for each word, the spans that they make, the text's own label;
and how a dataset writes what is right."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mcu_sdk.project.labels import Label, Labels

if TYPE_CHECKING:
    from numpy.typing import NDArray

OF_TEXT = "text:"
"""What the labels begin with that are of a whole text, and are read at its first token ([CLS])."""

NOTHING = "O"
_PART = re.compile(r"([BIESLU])-(.+)")
"""Of the schemes BIO, BIOES and BILOU: where in a span a word is, and what the span is called."""
_BEGINS = "BSU"

Span = tuple[int, int, int]


@dataclass(frozen=True)
class Word:
    """A word as the tokenizer cuts it, its pieces joined. `position`: of its first token; `span`: 0 or 1 for the text, and
    its characters from and up to."""

    position: int
    span: Span


def words_of(
    spans: Sequence[Span | None], numbers: Sequence[int | None], texts: tuple[str, str]
) -> list[Word]:
    """The words of a text and of what stands beside it ("": nothing). A token goes on with the word before it where the tokenizer gives both the same
    number and no space is between them. `spans`, `numbers`: of each token, as mcu_sdk.model.text_encoder.EncodedText
    has them."""
    words: list[Word] = []
    before: int | None = None
    for position, (span, number) in enumerate(zip(spans, numbers, strict=True)):
        said = "" if span is None else texts[span[0]][span[1] : span[2]]
        if span is None or not said.strip():
            continue
        begin = span[1] + len(said) - len(said.lstrip())
        end = span[2] - (len(said) - len(said.rstrip()))
        which, first, last = words[-1].span if words else (-1, 0, 0)
        if which == span[0] and number == before and begin <= last:
            words[-1] = Word(words[-1].position, (which, first, max(end, last)))
        else:
            words.append(Word(position, (span[0], begin, end)))
        before = number
    return words


def has_text_labels(labels: Labels) -> bool:
    return any(name.startswith(OF_TEXT) for name in labels.names)


def read_words(
    labels: Labels, logits: NDArray[Any], words: Sequence[Word], texts: tuple[str, str]
) -> list[Label]:
    """The text's own label, if the model has such ones, without a position; then each word's, which is its first token's.

    `logits`: float32[1, L, labels].
    """
    rows = logits.reshape(-1, logits.shape[-1])
    of_text = [place for place, name in enumerate(labels.names) if name.startswith(OF_TEXT)]
    others = [place for place in range(len(labels.names)) if place not in of_text]
    found: list[Label] = []
    if of_text:
        names = [labels.names[place].removeprefix(OF_TEXT) for place in of_text]
        found += replace(labels, names=tuple(names)).row(rows[0, of_text], None)
    of_words = replace(labels, names=tuple(labels.names[place] for place in others))
    for word in words:
        for label in of_words.row(rows[word.position, others], word.position):
            found.append(replace(label, text=_text(texts, word.span)))
    return found


def spans_in(found: Sequence[Label], words: Sequence[Word], texts: tuple[str, str]) -> list[Label]:
    """Words that belong together as one label each: its name, its first token's position, what it is in the text, and the
    least score of its words. `found`: of `read_words`, one label a word."""
    by_position = {word.position: word for word in words}
    spans: list[Label] = []
    where, before = (0, 0, 0), NOTHING
    for label in found:
        word = by_position.get(label.position) if label.position is not None else None
        if word is None:
            continue
        part = _PART.fullmatch(label.name)
        name = part[2] if part else label.name
        if label.score is None or name == NOTHING:
            before = NOTHING
            continue
        if name == before and word.span[0] == where[0] and not (part and part[1] in _BEGINS):
            where = (*where[:2], word.span[2])
            score = min(label.score, spans[-1].score or 0.0)
            spans[-1] = replace(spans[-1], score=score, text=_text(texts, where))
        else:
            where = word.span
            spans.append(Label(name, label.score, word.position, _text(texts, where)))
        before = name
    return spans


def _text(texts: tuple[str, str], span: Span) -> str:
    return texts[span[0]][span[1] : span[2]]


# ---- what is right, as a dataset has it


@dataclass(frozen=True)
class Answer:
    """`of_text`: the text's own label, where the model has such ones; `spans`: name and text of each, in any order."""

    of_text: str | None
    spans: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        """As a dataset has it: "turn_on; room=kitchen; device=lamp"."""
        own = [] if self.of_text is None else [self.of_text]
        return "; ".join((*own, *(f"{name}={text}" for name, text in self.spans)))

    def equals(self, other: Answer) -> bool:
        return self.of_text == other.of_text and Counter(self.spans) == Counter(other.spans)

    def shared(self, other: Answer) -> int:
        """How many spans both have."""
        return sum((Counter(self.spans) & Counter(other.spans)).values())


def answer_of(found: Sequence[Label], spans: Sequence[Label]) -> Answer:
    """What `read_words` and `spans_in` say, without scores and places."""
    own = next((label.name for label in found if label.position is None), None)
    return Answer(own, tuple((span.name, span.text or "") for span in spans))


class WrongAnswer(ValueError):
    """What is wrong with a dataset's label."""


def parse_answer(cell: str, labels: Labels, text: str) -> Answer:
    """What stands in a dataset beside a text: "turn_on; room=kitchen; device=lamp", the text's own label first where the
    model has such ones, then its spans as they stand in it. Raises WrongAnswer."""
    own, spans = None, []
    parts = [part.strip() for part in cell.split(";")] if cell.strip() else []
    if has_text_labels(labels):
        own = parts.pop(0) if parts else ""
        known = [name.removeprefix(OF_TEXT) for name in labels.names if name.startswith(OF_TEXT)]
        if own not in known:
            raise WrongAnswer(
                f"one of the text's labels was expected first, not {own!r}; they are {_list(known)}"
            )
    names = span_names(labels)
    for part in parts:
        name, equals, said = (each.strip() for each in part.partition("="))
        if not equals or not said:
            raise WrongAnswer(f"a label and what it is of was expected, as room=kitchen, not {part!r}")
        if name not in names:
            raise WrongAnswer(f"the model has no label {name!r}; its labels are {_list(names)}")
        if said not in text:
            raise WrongAnswer(f"{said!r}, which is to be {name!r}, is not in the text {text[:60]!r}")
        spans.append((name, said))
    return Answer(own, tuple(spans))


def span_names(labels: Labels) -> list[str]:
    """What spans can be called."""
    names: Iterator[str] = (name for name in labels.names if not name.startswith(OF_TEXT))
    bare = (part[2] if (part := _PART.fullmatch(name)) else name for name in names)
    return [name for name in dict.fromkeys(bare) if name != NOTHING]


def _list(names: Sequence[str], most: int = 20) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


# ---- how well a model finds it


@dataclass(frozen=True)
class SpanQuality:
    """Shares of 1. `exact`: texts of which everything is right; `text_label`: of which their own label is, None where they
    have none; `f1`: of the spans of all texts together (1 where neither side has one)."""

    exact: float
    text_label: float | None
    f1: float


def span_quality(right: Sequence[Answer], found: Sequence[Answer]) -> SpanQuality:
    pairs = list(zip(right, found, strict=True))
    shared = sum(a.shared(b) for a, b in pairs)
    count = sum(len(a.spans) + len(b.spans) for a, b in pairs)
    has_own = any(a.of_text is not None for a in right)
    own = sum(a.of_text == b.of_text for a, b in pairs) / len(pairs) if has_own else None
    exact = sum(a.equals(b) for a, b in pairs) / len(pairs)
    return SpanQuality(exact, own, 2 * shared / count if count else 1.0)

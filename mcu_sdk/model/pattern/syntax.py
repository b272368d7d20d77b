"""Reads a regular expression of a Split pre-tokenizer: the part of Oniguruma's syntax that tokenizers use.

What matches one character, a class or an escape, is kept as its source: which characters that are is asked of the library
(sets.py). What cannot be said as a table is refused by name.
"""

from __future__ import annotations

from dataclasses import dataclass

MOST_REPEATS = 512


class UnsupportedPattern(Exception):
    """What of a pattern has no counterpart on the device: a sentence's end, behind "its pattern "."""


@dataclass(frozen=True)
class One:
    """One character of those that `source` matches, in any case or not."""

    source: str
    any_case: bool = False


@dataclass(frozen=True)
class Row:
    """One after the other."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Either:
    """The first that leads to a match."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Repeat:
    """`least` to `most` times (None: any number), preferring many, or few."""

    part: Node
    least: int
    most: int | None
    many: bool = True


@dataclass(frozen=True)
class Ahead:
    """What comes next is one of `parts`, or with `none` is none of them; nothing is taken. `end`: the end of the text is one
    of them."""

    parts: tuple[One, ...]
    none: bool
    end: bool = False


@dataclass(frozen=True)
class Further:
    """What comes next begins with a match of `part`, or with `none` does not; nothing is taken. `before`: what the last
    character is one of, where that is known."""

    part: Node
    none: bool
    before: frozenset[One] | None = None


@dataclass(frozen=True)
class Edge:
    """A word begins or ends, or with `none` neither."""

    none: bool


Node = One | Row | Either | Repeat | Ahead | Further | Edge

_ESCAPES = "sSdDwWhHnrtfvae"
SPECIAL = ".^$*+?()[]{}|\\"


def parse(pattern: str) -> Node:
    """Raises UnsupportedPattern."""
    reader = _Reader(pattern)
    node = reader.either(False)
    if not reader.is_done():
        raise UnsupportedPattern("has a ) too many")
    return node


class _Reader:
    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0

    def is_done(self) -> bool:
        return self._at == len(self._text)

    def _peek(self, text: str) -> bool:
        return self._text.startswith(text, self._at)

    def _take(self, text: str) -> bool:
        found = self._peek(text)
        if found:
            self._at += len(text)
        return found

    def _next(self) -> str:
        if self.is_done():
            raise UnsupportedPattern("ends too early")
        self._at += 1
        return self._text[self._at - 1]

    def either(self, any_case: bool) -> Node:
        parts = [self._row(any_case)]
        while self._take("|"):
            parts.append(self._row(any_case))
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _row(self, any_case: bool) -> Node:
        parts: list[Node] = []
        while not (self.is_done() or self._peek("|") or self._peek(")")):
            part = self._repeated(self._atom(any_case))
            if isinstance(part, Further) and parts:
                part = Further(part.part, part.none, _last(parts[-1]))
            parts.append(part)
        return parts[0] if len(parts) == 1 else Row(tuple(parts))

    # ---- what stands for one thing

    def _atom(self, any_case: bool) -> Node:
        start = self._at
        character = self._next()
        if character == "(":
            return self._group(any_case)
        if character == "[":
            self._class()
            return One(self._text[start : self._at], any_case)
        if character == "\\":
            return self._escape(start, any_case)
        if character == "$":
            return Ahead((One(r"\n"),), False, end=True)
        if character == "^":
            raise UnsupportedPattern("asks for the begin of a line (^)")
        if character in "*+?{":
            raise UnsupportedPattern(f"repeats nothing ({character})")
        return One(character if character == "." else _quoted(character), any_case)

    def _escape(self, start: int, any_case: bool) -> Node:
        character = self._next()
        if character in "zZ":
            if character == "Z":
                raise UnsupportedPattern(r"asks for the end but for a line end (\Z)")
            return Ahead((), False, end=True)
        if character in "bB":
            return Edge(character == "B")
        if character in "pP":
            if not self._take("{"):
                raise UnsupportedPattern(rf"has \{character} without a name")
            while self._next() != "}":
                pass
        elif character == "x":
            self._hexadecimal(2)
        elif character == "u":
            self._hexadecimal(4)
        elif character.isalnum() and character not in _ESCAPES:
            raise UnsupportedPattern(rf"has \{character}")
        return One(self._text[start : self._at], any_case)

    def _hexadecimal(self, digits: int) -> None:
        if self._take("{"):
            while self._next() != "}":
                pass
            return
        for _ in range(digits):
            if self._next() not in "0123456789abcdefABCDEF":
                raise UnsupportedPattern("has an escape of too few digits")

    def _class(self) -> None:
        """Up to the end of a [...], which may hold others."""
        self._take("^")
        first = True
        while True:
            if self._take("[:"):
                while not self._take(":]"):
                    self._next()
                first = False
                continue
            character = self._next()
            if character == "[":
                self._class()
            elif character == "\\":
                self._next()
            elif character == "]" and not first:
                return
            first = False

    def _group(self, any_case: bool) -> Node:
        if self._take("?:"):
            pass
        elif self._take("?i:"):
            any_case = True
        elif self._take("?-i:"):
            any_case = False
        elif self._take("?="):
            return self._ahead(any_case, none=False)
        elif self._take("?!"):
            return self._ahead(any_case, none=True)
        elif self._peek("?"):
            end = self._text.find(")", self._at)
            raise UnsupportedPattern(
                f"has the group ({self._text[self._at : self._at + 4 if end < 0 else end][:8]}..."
            )
        node = self.either(any_case)
        self._close()
        return node

    def _close(self) -> None:
        if not self._take(")"):
            raise UnsupportedPattern("lacks a )")

    def _ahead(self, any_case: bool, *, none: bool) -> Ahead | Further:
        node = self.either(any_case)
        self._close()
        parts = node.parts if isinstance(node, Either) else (node,)
        ones = [part for part in parts if isinstance(part, One)]
        ends = [part for part in parts if isinstance(part, Ahead) and part.end and not part.none]
        if len(ones) + len(ends) != len(parts):
            return Further(node, none)
        ones += [one for end in ends for one in end.parts]
        return Ahead(tuple(ones), none, end=bool(ends))

    # ---- how often

    def _repeated(self, node: Node) -> Node:
        while True:
            found = self._quantifier()
            if found is None:
                return node
            least, most, bounded = found
            if isinstance(node, (Ahead, Further, Edge)):
                raise UnsupportedPattern("repeats what takes nothing")
            if self._take("?"):
                if bounded and most == least:
                    raise UnsupportedPattern("repeats a number of times, or not")
                node = Repeat(node, least, most, many=False)
            elif not bounded and self._take("+"):
                node = _possessive(node, least, most)
            else:
                node = Repeat(node, least, most)

    def _quantifier(self) -> tuple[int, int | None, bool] | None:
        for character, least, most in (("*", 0, None), ("+", 1, None), ("?", 0, 1)):
            if self._take(character):
                return least, most, False
        if not self._peek("{"):
            return None
        end = self._text.find("}", self._at)
        inside = self._text[self._at + 1 : end] if end >= 0 else ""
        low, comma, high = inside.partition(",")
        if not (low + high).isdecimal() or not (low + high).isascii():
            raise UnsupportedPattern("has a { that is no number of times")
        self._at = end + 1
        least = int(low or 0)
        most = (int(high) if high else None) if comma else least
        if least > MOST_REPEATS or (most is not None and not least <= most <= MOST_REPEATS):
            raise UnsupportedPattern(f"repeats {inside} times (the device up to {MOST_REPEATS})")
        return least, most, True


def _last(node: Node) -> frozenset[One] | None:
    """What its last character is one of; None where it may take none, or that is not known."""
    if isinstance(node, One):
        return frozenset((node,))
    if isinstance(node, Repeat):
        return _last(node.part) if node.least else None
    if isinstance(node, Row):
        return _last(node.parts[-1]) if node.parts else None
    if isinstance(node, Either):
        found = [_last(part) for part in node.parts]
        known = [ones for ones in found if ones is not None]
        return frozenset().union(*known) if len(known) == len(found) else None
    return None


def _possessive(node: Node, least: int, most: int | None) -> Node:
    """All that there are of one character, without giving any back: none of them comes behind."""
    if not isinstance(node, One):
        raise UnsupportedPattern("gives back nothing of more than one character (++, *+ or ?+)")
    stop = Ahead((node,), none=True)
    if most is None:
        return Row((Repeat(node, least, None), stop))
    return Either((node, Row((stop,))))  # ?+


def _quoted(character: str) -> str:
    return "\\" + character if character in SPECIAL else character

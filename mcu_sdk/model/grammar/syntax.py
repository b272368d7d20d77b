"""What a grammar is made of: sets of characters, and how they follow each other.

A regular expression and a JSON schema are both read as these, and an automaton is built of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from mcu_sdk.errors import UsageError

Ranges = tuple[tuple[int, int], ...]
"""Code points: (first, last), rising, apart from each other."""

LAST = 0x10FFFF
SURROGATES = (0xD800, 0xDFFF)
"""No characters: UTF-8 has no bytes for them."""


class GrammarError(UsageError):
    """A grammar that cannot be followed."""


@dataclass(frozen=True)
class Chars:
    """One character out of a set; none can be, if it is empty."""

    ranges: Ranges


@dataclass(frozen=True)
class Join:
    """One part after the other."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Choice:
    """One of several."""

    options: tuple[Node, ...]


@dataclass(frozen=True)
class Repeat:
    """A part `least` to `most` times (None: without end)."""

    part: Node
    least: int
    most: int | None


Node = Chars | Join | Choice | Repeat

EMPTY = Join(())
"""The empty text."""


def join(*parts: Node) -> Node:
    return parts[0] if len(parts) == 1 else Join(parts)


def optional(part: Node) -> Node:
    return Repeat(part, 0, 1)


def literal(text: str) -> Node:
    """This text alone. Raises GrammarError for a surrogate, which is no character."""
    for character in text:
        if SURROGATES[0] <= ord(character) <= SURROGATES[1]:
            raise GrammarError(
                f"U+{ord(character):04X} is a surrogate, and no character.", hint="Leave it out."
            )
    return join(*(Chars(((ord(c), ord(c)),)) for c in text))


def union(*sets: Iterable[tuple[int, int]]) -> Ranges:
    """The characters of any of these; of each first <= last, in any order, and without surrogates."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(pair for ranges in sets for pair in ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return _without(tuple(merged), SURROGATES)


def complement(ranges: Ranges) -> Ranges:
    """All other characters."""
    found, next_one = [], 0
    for first, last in ranges:
        if first > next_one:
            found.append((next_one, first - 1))
        next_one = last + 1
    if next_one <= LAST:
        found.append((next_one, LAST))
    return _without(tuple(found), SURROGATES)


def both(left: Ranges, right: Ranges) -> Ranges:
    """The characters of both."""
    return complement(union(complement(left), complement(right)))


def map_chars(node: Node, change: Callable[[Chars], Node]) -> Node:
    """The grammar with each set of characters replaced."""
    if isinstance(node, Chars):
        return change(node)
    if isinstance(node, Repeat):
        return Repeat(map_chars(node.part, change), node.least, node.most)
    if isinstance(node, Join):
        return Join(tuple(map_chars(part, change) for part in node.parts))
    return Choice(tuple(map_chars(option, change) for option in node.options))


def _without(ranges: Ranges, hole: tuple[int, int]) -> Ranges:
    found = []
    for first, last in ranges:
        if first < hole[0]:
            found.append((first, min(last, hole[0] - 1)))
        if last > hole[1]:
            found.append((max(first, hole[1] + 1), last))
    return tuple(found)

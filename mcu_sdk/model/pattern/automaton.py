"""A pattern as a table: states and classes of characters.

A backtracking engine takes the first way to a match that it tries. The table walks all ways at once, in the order in which
they would be tried: a state is a list of places in the pattern, and what stands behind one that has matched is dropped. An
assertion about the next character is decided when that is read, so that a match is known one character later.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from mcu_sdk.model.pattern.sets import Classes, classes_of
from mcu_sdk.model.pattern.syntax import (
    Ahead,
    Either,
    Node,
    One,
    Repeat,
    Row,
    UnsupportedPattern,
    parse,
)

MATCHED = 0x8000
"""Of an entry: what has been read before this character is a match. MCU_PATTERN_MATCHED."""

DEAD = 0
"""The state from which no match comes any more; it has no row. The first row is that of state 1, in which all begins."""

MOST_STATES = 4000
MOST_CLASSES = 255
MOST_PLACES = 4000


@dataclass(frozen=True)
class Pattern:
    """`table`: of each state from 1 on, of each class and of the end of the text, the next state, with MATCHED or not."""

    classes: Classes
    table: tuple[tuple[int, ...], ...]

    def match(self, text: str, begin: int) -> int:
        """Where the match ends that begins there; `begin` without one. The specification of the device's code."""
        state, found = 1, begin
        for at in range(begin, len(text) + 1):
            name = self.classes.of(ord(text[at])) if at < len(text) else self.classes.count
            entry = self.table[state - 1][name]
            if entry & MATCHED:
                found = at
            state = entry & ~MATCHED
            if state == DEAD:
                break
        return found


@cache
def compile_pattern(source: str) -> Pattern:
    """Raises UnsupportedPattern."""
    node = parse(source)
    ones = list(dict.fromkeys(_ones(node)))
    for row in _rows_of_letters(node):
        ligature = next((letters for letters in LIGATURES if letters in row.lower()), None)
        if ligature is not None:
            raise UnsupportedPattern(f"takes {ligature} in any case, which one character can stand for")
    classes = classes_of(ones)
    if classes.count >= MOST_CLASSES:
        raise UnsupportedPattern(f"tells {classes.count} kinds of characters apart")
    return Pattern(classes, _smallest(_table(_Places(node, classes), classes.count + 1)))


def _ones(node: Node) -> Iterator[One]:
    if isinstance(node, One):
        yield node
    elif isinstance(node, Repeat):
        yield from _ones(node.part)
    else:
        for part in node.parts:
            yield from _ones(part)


LIGATURES = ("ss", "ff", "fi", "fl", "st")
"""ASCII letters that are a case of one other character (\u00df, \ufb00 to \ufb06)."""


def _rows_of_letters(node: Node) -> Iterator[str]:
    """Letters in a row that are taken in any case."""
    if isinstance(node, Repeat):
        yield from _rows_of_letters(node.part)
    elif isinstance(node, Either):
        for part in node.parts:
            yield from _rows_of_letters(part)
    elif isinstance(node, Row):
        row = [
            part.source if isinstance(part, One) and part.any_case and len(part.source) == 1 else " "
            for part in node.parts
        ]
        yield "".join(row)
        for part in node.parts:
            yield from _rows_of_letters(part)


# ---- places in a pattern

_TAKE, _FORK, _AHEAD, _DONE = range(4)


class _Places:
    """A pattern's places, numbered: what a place does, and where it goes on."""

    def __init__(self, node: Node, classes: Classes) -> None:
        self._members = classes.members
        self._end = classes.count
        self.kinds: list[int] = []
        self.sets: list[frozenset[int]] = []
        self.goes: list[tuple[int, ...]] = []
        done = self._add(_DONE, frozenset(), ())
        self.first = self._put(node, done)

    def _add(self, kind: int, members: frozenset[int], goes: tuple[int, ...]) -> int:
        if len(self.kinds) == MOST_PLACES:
            raise UnsupportedPattern("is too long")
        self.kinds.append(kind)
        self.sets.append(members)
        self.goes.append(goes)
        return len(self.kinds) - 1

    def _put(self, node: Node, behind: int) -> int:
        """Where the node begins that goes on at `behind`."""
        if isinstance(node, One):
            return self._add(_TAKE, self._members[node], (behind,))
        if isinstance(node, Row):
            for part in reversed(node.parts):
                behind = self._put(part, behind)
            return behind
        if isinstance(node, Either):
            return self._add(_FORK, frozenset(), tuple(self._put(part, behind) for part in node.parts))
        if isinstance(node, Ahead):
            found = frozenset(name for part in node.parts for name in self._members[part])
            found |= {self._end} if node.end else frozenset()
            allowed = frozenset(range(self._end + 1)) - found if node.none else found
            return self._add(_AHEAD, allowed, (behind,))
        return self._repeat(node, behind)

    def _repeat(self, node: Repeat, behind: int) -> int:
        def fork(on: int, off: int) -> tuple[int, ...]:
            return (on, off) if node.many else (off, on)

        if node.most is None:
            loop = self._add(_FORK, frozenset(), ())
            self.goes[loop] = fork(self._put(node.part, loop), behind)
            entry = loop
        else:
            entry = behind
            for _ in range(node.most - node.least):
                entry = self._add(_FORK, frozenset(), fork(self._put(node.part, entry), behind))
        for _ in range(node.least):
            entry = self._put(node.part, entry)
        return entry

    def step(self, state: Sequence[int], name: int) -> tuple[tuple[int, ...], bool]:
        """Where the places of a state go on when a character of a class is read, and whether there is a match before it."""
        seen: set[int] = set()
        found: dict[int, None] = {}
        waiting = list(reversed(state))
        while waiting:
            place = waiting.pop()
            if place in seen:
                continue
            seen.add(place)
            kind = self.kinds[place]
            if kind == _DONE:
                return tuple(found), True
            if kind == _FORK:
                waiting += reversed(self.goes[place])
            elif name in self.sets[place]:
                if kind == _AHEAD:
                    waiting += self.goes[place]
                else:
                    found.setdefault(self.goes[place][0])
        return tuple(found), False


def _table(places: _Places, columns: int) -> list[list[int]]:
    states: dict[tuple[int, ...], int] = {(): DEAD, (places.first,): 1}
    waiting: list[tuple[int, ...]] = [(places.first,)]
    rows: list[list[int]] = []
    for state in waiting:  # grows
        row = []
        for name in range(columns):
            following, matched = places.step(state, name)
            if name == columns - 1:
                following = ()
            if following not in states:
                if len(states) == MOST_STATES:
                    raise UnsupportedPattern(f"needs more than {MOST_STATES} states")
                states[following] = len(states)
                waiting.append(following)
            row.append(states[following] | (MATCHED if matched else 0))
        rows.append(row)
    if any(entry & MATCHED for entry in rows[0]):
        raise UnsupportedPattern("matches the empty text")
    return rows


def _smallest(rows: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    """The same with as few states as possible: those from which all is alike are one."""
    groups = [0] + [1] * len(rows)
    while True:
        keys: dict[tuple[int, ...], int] = {}
        renamed = [0]
        for row in rows:
            key = tuple(groups[entry & ~MATCHED] | entry & MATCHED for entry in row)
            renamed.append(keys.setdefault(key, len(keys) + 1))
        if renamed == groups:
            break
        groups = renamed
    kept: dict[int, Sequence[int]] = {}
    for number, row in enumerate(rows):
        kept.setdefault(groups[number + 1], row)
    return tuple(
        tuple(groups[entry & ~MATCHED] | entry & MATCHED for entry in kept[group]) for group in sorted(kept)
    )

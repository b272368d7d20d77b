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
    Edge,
    Either,
    Further,
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

NO_MATCH = -1
MOST_AHEADS = 2
MOST_STATES = 4000
MOST_CLASSES = 255
MOST_PLACES = 4000


@dataclass(frozen=True)
class Pattern:
    """`table`: of each state from 1 on, of each class and of the end of the text, the next state, with MATCHED or not. Where
    the pattern looks further ahead, that for each combination of what it sees, one behind the other, and in `aheads` the
    states in which looking begins."""

    classes: Classes
    table: tuple[tuple[int, ...], ...]
    aheads: tuple[int, ...] = ()

    def match(self, text: str, begin: int) -> int:
        """Where the match ends that begins there; NO_MATCH without one. The specification of the device's code."""
        state, found = 1, NO_MATCH
        for at in range(begin, len(text) + 1):
            seen = sum(self._sees(text, at, ahead) << bit for bit, ahead in enumerate(self.aheads))
            entry = self.table[state - 1][self._class(text, at) + seen * (self.classes.count + 1)]
            if entry & MATCHED:
                found = at
            state = entry & ~MATCHED
            if state == DEAD:
                break
        return found

    @property
    def takes_nothing(self) -> bool:
        """Whether it only looks ahead, and its matches are empty."""
        return not any(entry & ~MATCHED for entry in self.table[0])

    def _class(self, text: str, at: int) -> int:
        return self.classes.of(ord(text[at])) if at < len(text) else self.classes.count

    def _sees(self, text: str, at: int, state: int) -> bool:
        while state != DEAD:
            entry = self.table[state - 1][self._class(text, at)]
            if entry & MATCHED:
                return True
            state, at = entry, at + 1
        return False


@cache
def compile_pattern(source: str) -> Pattern:
    """Raises UnsupportedPattern."""
    node = parse(source)
    ones = list(dict.fromkeys(part for part in _parts(node) if isinstance(part, One)))
    for row in _rows_of_letters(node):
        ligature = next((letters for letters in LIGATURES if letters in row.lower()), None)
        if ligature is not None:
            raise UnsupportedPattern(f"takes {ligature} in any case, which one character can stand for")
    word = One(r"\w")
    if any(isinstance(part, Edge) for part in _parts(node)):
        ones = list(dict.fromkeys((*ones, word)))
    classes = classes_of(ones)
    if classes.count >= MOST_CLASSES:
        raise UnsupportedPattern(f"tells {classes.count} kinds of characters apart")
    aheads = [part for part in _parts(node) if isinstance(part, Further)]
    aheads = list(dict.fromkeys(aheads))
    if any(part in aheads for ahead in aheads for part in _parts(ahead.part)):
        raise UnsupportedPattern("looks ahead from what it looks ahead at")
    if len(aheads) > MOST_AHEADS:
        raise UnsupportedPattern(f"looks further ahead in {len(aheads)} ways (the device in {MOST_AHEADS})")
    places = _Places(classes, word, aheads)
    starts = [places.begin(node, None), *(places.begin(ahead.part, ahead.before) for ahead in aheads)]
    rows, numbers = _table(places, starts)
    _check_empty(rows[0])
    table, renamed = _smallest(rows)
    return Pattern(classes, table, tuple(renamed[number] for number in numbers[1:]))


def _check_empty(row: Sequence[int]) -> None:
    """A pattern takes nothing at all, or always something: Raises UnsupportedPattern for one between."""
    if any(entry & MATCHED for entry in row) and any(entry & ~MATCHED for entry in row):
        raise UnsupportedPattern("matches the empty text")


def _parts(node: Node) -> Iterator[Node]:
    """The node and all that are in it."""
    yield node
    inner = node.parts if isinstance(node, (Row, Either, Ahead)) else ()
    for part in (node.part,) if isinstance(node, (Repeat, Further)) else inner:
        yield from _parts(part)


LIGATURES = ("ss", "ff", "fi", "fl", "st")
"""ASCII letters that are a case of one other character (\u00df, \ufb00 to \ufb06)."""


def _rows_of_letters(node: Node) -> Iterator[str]:
    """Letters in a row that are taken in any case."""
    if isinstance(node, (Repeat, Further)):
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

_TAKE, _FORK, _AHEAD, _DONE, _SEEN, _NOT_SEEN, _EDGE, _NO_EDGE = range(8)

State = tuple[bool | None, tuple[int, ...]]
"""Whether the last character was of a word (None: not known, or it does not matter), and places."""


class _Places:
    """A pattern's places, numbered: what a place does, and where it goes on."""

    def __init__(self, classes: Classes, word: One, aheads: Sequence[Further]) -> None:
        self._members = classes.members
        self._end = classes.count
        self._words = classes.members.get(word)  # None: the pattern does not ask where words begin and end
        self._aheads = aheads
        self.columns = classes.count + 1
        self.kinds: list[int] = []
        self.sets: list[frozenset[int]] = []
        self.goes: list[tuple[int, ...]] = []
        self._done = self._add(_DONE, frozenset(), ())

    @property
    def combinations(self) -> int:
        """Of what can be seen further ahead."""
        return 1 << len(self._aheads)

    def begin(self, node: Node, before: frozenset[One] | None) -> State:
        """The state in which a match of the node begins, behind a character that is one of `before`."""
        known: bool | None = None
        if before is not None and self._words is not None:
            classes = frozenset().union(*(self._members[one] for one in before))
            known = True if classes <= self._words else False if not classes & self._words else None
        return known, (self._put(node, self._done),)

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
        if isinstance(node, Further):
            number = frozenset((self._aheads.index(node),))
            return self._add(_NOT_SEEN if node.none else _SEEN, number, (behind,))
        if isinstance(node, Edge):
            return self._add(_NO_EDGE if node.none else _EDGE, frozenset(), (behind,))
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

    def step(self, state: State, name: int, seen: int) -> tuple[State, bool]:
        """Where the places of a state go on when a character of a class is read, and whether there is a match before it.
        `seen`: a bit for each of what is seen further ahead."""
        last, places = state
        known: set[int] = set()
        found: dict[int, None] = {}
        matched = False
        waiting = list(reversed(places))
        while waiting:
            place = waiting.pop()
            if place in known:
                continue
            known.add(place)
            kind = self.kinds[place]
            if kind == _DONE:
                matched = True
                break
            if kind == _FORK:
                waiting += reversed(self.goes[place])
            elif kind == _TAKE:
                if name in self.sets[place]:
                    found.setdefault(self.goes[place][0])
            elif self._holds(place, last, name, seen):
                waiting += self.goes[place]
        if name == self._end:
            return (None, ()), matched
        word = None if self._words is None or not found else name in self._words
        return (word, tuple(found)), matched

    def _holds(self, place: int, last: bool | None, name: int, seen: int) -> bool:
        """Whether an assertion does."""
        kind, members = self.kinds[place], self.sets[place]
        if kind == _AHEAD:
            return name in members
        if kind in (_SEEN, _NOT_SEEN):
            (number,) = members
            return bool(seen >> number & 1) == (kind == _SEEN)
        if last is None or self._words is None:
            raise UnsupportedPattern(r"asks for a word's edge (\b) where what stands before is not known")
        return (last != (name in self._words)) == (kind == _EDGE)


def _table(places: _Places, starts: Sequence[State]) -> tuple[list[list[int]], list[int]]:
    """Rows of the states from 1 on, and which states the starts are; the first is state 1."""
    states: dict[State, int] = {(None, ()): DEAD}
    waiting: list[State] = []

    def number(state: State) -> int:
        if not state[1]:
            return DEAD
        if state not in states:
            if len(states) > MOST_STATES:
                raise UnsupportedPattern(f"needs more than {MOST_STATES} states")
            states[state] = len(states)
            waiting.append(state)
        return states[state]

    numbers = [number(start) for start in starts]
    rows: list[list[int]] = []
    for state in waiting:  # grows
        row = []
        for seen in range(places.combinations):
            for name in range(places.columns):
                following, matched = places.step(state, name, seen)
                row.append(number(following) | (MATCHED if matched else 0))
        rows.append(row)
    return rows, numbers


def _smallest(rows: Sequence[Sequence[int]]) -> tuple[tuple[tuple[int, ...], ...], list[int]]:
    """The same with as few states as possible: those from which all is alike are one. And what becomes of each state."""
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
    table = tuple(
        tuple(groups[entry & ~MATCHED] | entry & MATCHED for entry in kept[group]) for group in sorted(kept)
    )
    return table, groups

"""A grammar as the smallest automaton over the bytes of UTF-8 that accepts the same texts."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from mcu_sdk.model.grammar.minimize import minimized
from mcu_sdk.model.grammar.syntax import Chars, Choice, GrammarError, Join, Node, Ranges, Repeat

MOST_STATES = 16384
"""Of an automaton; a grammar that counts far has many. A table has 2 bytes for each state and class of bytes."""
_MOST_STEPS = 200_000
"""Of what it is built from."""
_MOST_PLACES = 3_000_000
"""In the sets of places that are looked at: about ten seconds."""

NOWHERE = -1
"""Where no text goes on from."""

ByteRange = tuple[int, int]


@dataclass(frozen=True)
class Automaton:
    """State 0 is the first. Each state lies on the way to an accepting one.

    `classes`: uint8[256], the class of each byte; bytes of a class lead to the same states everywhere. `next`:
    int32[states, classes], or NOWHERE. `accepting`: bool[states].
    """

    classes: npt.NDArray[np.uint8]
    next: npt.NDArray[np.int32]
    accepting: npt.NDArray[np.bool_]

    def walk(self, state: int, data: bytes) -> int:
        """The state that `data` leads to, or NOWHERE."""
        for byte in data:
            if state == NOWHERE:
                break
            state = int(self.next[state, self.classes[byte]])
        return state

    def accepts(self, text: str) -> bool:
        state = self.walk(0, text.encode("utf-8", "surrogatepass"))
        return state != NOWHERE and bool(self.accepting[state])


def build(grammar: Node) -> Automaton:
    """Raises GrammarError for a grammar of no text at all, and for one that needs too many states."""
    steps = _Steps()
    end = steps.add(grammar, steps.new())
    classes, count = _classes(steps.edges)
    table, accepting = _determined(steps, end, classes, count)
    table, accepting = _alive(table, accepting)
    table, accepting = minimized(table, accepting)
    if len(table) > MOST_STATES:
        raise too_large()
    return Automaton(
        np.array(classes, np.uint8),
        np.array(table, np.int32).reshape(-1, count),
        np.array(accepting, np.bool_),
    )


def too_large() -> GrammarError:
    return GrammarError(
        f"The grammar needs more than {MOST_STATES} states.",
        hint="Bounds that count far are what makes it large: give smaller ones, or none.",
    )


# ---- the steps of a grammar


class _Steps:
    """A nondeterministic automaton: `edges` by byte range, `free` ones without a byte, of each of its places."""

    def __init__(self) -> None:
        self.edges: list[list[tuple[ByteRange, int]]] = []
        self.free: list[list[int]] = []
        self._taken = 0

    def new(self) -> int:
        self.edges.append([])
        self.free.append([])
        return len(self.edges) - 1

    def add(self, node: Node, begin: int) -> int:
        """Put `node` behind `begin`; returns where it ends."""
        self._taken += 1
        if max(self._taken, len(self.edges)) > _MOST_STEPS:
            raise too_large()
        if isinstance(node, Chars):
            return self._add_chars(node.ranges, begin)
        if isinstance(node, Join):
            for part in node.parts:
                begin = self.add(part, begin)
            return begin
        if isinstance(node, Choice):
            end = self.new()
            for option in node.options:
                start = self.new()
                self.free[begin].append(start)
                self.free[self.add(option, start)].append(end)
            return end
        return self._add_repeat(node, begin)

    def _add_repeat(self, node: Repeat, begin: int) -> int:
        for _ in range(node.least):
            begin = self.add(node.part, begin)
        end = self.new()
        if node.most is None:
            start = self.new()
            self.free[begin].append(start)
            self.free[self.add(node.part, start)].append(start)
            self.free[start].append(end)
            return end
        for _ in range(node.most - node.least):
            start = self.new()
            self.free[begin] += [start, end]
            begin = self.add(node.part, start)
        self.free[begin].append(end)
        return end

    def _add_chars(self, ranges: Ranges, begin: int) -> int:
        end = self.new()
        places: dict[tuple[ByteRange, ...], int] = {(): end}

        def place(rest: tuple[ByteRange, ...]) -> int:
            if rest not in places:
                places[rest] = self.new()
                self.edges[places[rest]].append((rest[0], place(rest[1:])))
            return places[rest]

        for sequence in _sequences(ranges):
            self.edges[begin].append((sequence[0], place(sequence[1:])))
        return end


@lru_cache(maxsize=1024)
def _sequences(ranges: Ranges) -> tuple[tuple[ByteRange, ...], ...]:
    """The bytes of characters: for each of these sequences, any byte of its first range, then any of its second..."""
    return tuple(sequence for first, last in ranges for sequence in _utf8(first, last))


def _utf8(first: int, last: int) -> Iterable[tuple[ByteRange, ...]]:
    """Code points first to last as sequences of byte ranges (Rob Pike's; as the crate utf8-ranges cuts them)."""
    for border in (0x7F, 0x7FF, 0xFFFF):
        if first <= border < last:
            yield from _utf8(first, border)
            yield from _utf8(border + 1, last)
            return
    length = len(chr(last).encode())
    for tail in range(1, length):
        mask = (1 << 6 * tail) - 1
        if first & ~mask == last & ~mask:
            continue
        if first & mask:
            yield from _utf8(first, first | mask)
            yield from _utf8((first | mask) + 1, last)
            return
        if last & mask != mask:
            yield from _utf8(first, (last & ~mask) - 1)
            yield from _utf8(last & ~mask, last)
            return
    yield tuple(zip(chr(first).encode(), chr(last).encode(), strict=True))


def _classes(edges: Sequence[Sequence[tuple[ByteRange, int]]]) -> tuple[list[int], int]:
    """The class of each byte, and how many classes there are: bytes that no edge tells apart are one."""
    borders = {0, 256}
    for place in edges:
        for (first, last), _ in place:
            borders |= {first, last + 1}
    cuts = sorted(borders)
    # Bytes may be far apart and yet alike: by what covers them, not by where they lie.
    covers: dict[int, set[int]] = {cut: set() for cut in cuts}
    distinct = {pair for place in edges for pair, _ in place}
    for number, (first, last) in enumerate(sorted(distinct)):
        for cut in cuts:
            if first <= cut <= last:
                covers[cut].add(number)
    names: dict[frozenset[int], int] = {}
    found = [0] * 256
    for cut, after in pairwise(cuts):
        name = names.setdefault(frozenset(covers[cut]), len(names))
        found[cut:after] = [name] * (after - cut)
    return found, len(names)


# ---- one state at a time


def _determined(
    steps: _Steps, end: int, classes: Sequence[int], count: int
) -> tuple[list[list[int]], list[bool]]:
    """The states that sets of places make, and which of them accept."""
    spans: dict[ByteRange, tuple[int, ...]] = {}

    def span(pair: ByteRange) -> tuple[int, ...]:
        if pair not in spans:
            spans[pair] = tuple(dict.fromkeys(classes[pair[0] : pair[1] + 1]))
        return spans[pair]

    first = _closure(steps, [0])
    numbers, table, accepting = {first: 0}, [], []
    waiting, places = deque([first]), 0
    while waiting:
        state = waiting.popleft()
        places += len(state)
        if places > _MOST_PLACES:
            raise too_large()
        reached: list[set[int]] = [set() for _ in range(count)]
        for place in state:
            for pair, target in steps.edges[place]:
                for name in span(pair):
                    reached[name].add(target)
        row = []
        for targets in reached:
            if not targets:
                row.append(NOWHERE)
                continue
            found = _closure(steps, targets)
            if found not in numbers:
                if len(numbers) > 2 * MOST_STATES:
                    raise too_large()
                numbers[found] = len(numbers)
                waiting.append(found)
            row.append(numbers[found])
        table.append(row)
        accepting.append(end in state)
    return table, accepting


def _closure(steps: _Steps, places: Iterable[int]) -> frozenset[int]:
    """These places and those that free edges lead to; those without edges of their own only if nothing follows."""
    found, waiting = set(places), list(places)
    while waiting:
        for target in steps.free[waiting.pop()]:
            if target not in found:
                found.add(target)
                waiting.append(target)
    return frozenset(place for place in found if steps.edges[place] or not steps.free[place])


def _alive(table: list[list[int]], accepting: list[bool]) -> tuple[list[list[int]], list[bool]]:
    """Without the states that no accepting one follows. Raises GrammarError if that is all."""
    before: list[list[int]] = [[] for _ in table]
    for state, row in enumerate(table):
        for target in set(row) - {NOWHERE}:
            before[target].append(state)
    alive = {state for state, accepts in enumerate(accepting) if accepts}
    waiting = list(alive)
    while waiting:
        for state in before[waiting.pop()]:
            if state not in alive:
                alive.add(state)
                waiting.append(state)
    if 0 not in alive:
        raise GrammarError(
            "The grammar has no text at all.", hint="Look for an empty set of characters in it."
        )
    kept = sorted(alive)
    numbers = {state: number for number, state in enumerate(kept)} | {NOWHERE: NOWHERE}
    rows = [[numbers.get(target, NOWHERE) for target in table[state]] for state in kept]
    return rows, [accepting[state] for state in kept]

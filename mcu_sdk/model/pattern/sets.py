"""Which code points a pattern's classes match, as the `tokenizers` library says, and which of them are alike to all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from mcu_sdk.model import unicode_tables
from mcu_sdk.model.pattern.syntax import One, UnsupportedPattern

# Of these ranges all code points are alike, so that one stands for each: unassigned ones, and those for private use.
_RANGES = (
    (0x40000, 0xDFFFF),
    (0xE1000, 0xEFFFF),
    (0xF0000, 0xFFFFD),
    (0xFFFFE, 0xFFFFF),
    (0x100000, 0x10FFFD),
    (0x10FFFE, 0x10FFFF),
)
_STARTS = (*unicode_tables.CODE_POINTS, *(first for first, _ in _RANGES))
LAST = 0x10FFFF

Runs = tuple[tuple[int, int], ...]
"""Of places in _STARTS: from and up to."""


@cache
def _text() -> str:
    return "".join(map(chr, _STARTS))


@cache
def runs_of(one: One) -> Runs:
    """What matches one character. Raises UnsupportedPattern for what the library cannot read, or matches other texts too."""
    from tokenizers import Regex, pre_tokenizers

    if one.any_case and not _is_plain(one.source):
        raise UnsupportedPattern(f"takes any case of more than ASCII letters ({one.source[:40]})")
    source = f"(?i:{one.source})" if one.any_case else one.source
    places = _places_of_letters() if one.any_case or _is_ascii_letter(one.source) else None
    text = _text() if places is None else "".join(chr(_STARTS[place]) for place in places)
    try:
        split = pre_tokenizers.Split(Regex(f"(?:{source})+"), "removed", invert=True)
    except Exception as error:  # the library raises bare Exceptions
        raise UnsupportedPattern(f"has what the library cannot read, {one.source[:40]}") from error
    found = [offsets for _, offsets in split.pre_tokenize_str(text)]
    if places is None:
        return tuple(found)
    return tuple((places[at], places[at] + 1) for first, end in found for at in range(first, end))


def _is_ascii_letter(source: str) -> bool:
    """A character by itself, or behind a backslash that says so."""
    return source.isascii() and (
        (len(source) == 1 and source != ".")
        or (len(source) == 2 and source[0] == "\\" and not source[1].isalnum())
    )


@cache
def _places_of_letters() -> tuple[int, ...]:
    """Of all that an ASCII character may be in another case: ASCII and what has a case there."""

    def near(character: str) -> bool:
        return any(form.isascii() for form in (character.casefold(), character.lower(), character.upper()))

    return tuple(place for place, code in enumerate(_STARTS) if near(chr(code)))


def _is_plain(source: str) -> bool:
    """An ASCII character, or a class that lists some: of others there are cases of several characters."""
    if not source.isascii():
        return False
    inside = source[1:-1] if source.startswith("[") else source
    return not set(inside) & set("\\[]^&:") or (len(source) == 2 and source.startswith("\\"))


@dataclass(frozen=True)
class Classes:
    """Code points that are alike to a pattern. `starts` and `names`: from each code point on, which class it is; `members`:
    of each character class in the pattern, its classes. `count`: of all classes."""

    starts: tuple[int, ...]
    names: tuple[int, ...]
    members: dict[One, frozenset[int]]
    count: int

    def of(self, code: int) -> int:
        """The class of a code point."""
        low, high = 0, len(self.starts)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.starts[middle] <= code else (low, middle)
        return self.names[low]


def classes_of(ones: Sequence[One]) -> Classes:
    """Raises UnsupportedPattern."""
    edges: dict[int, int] = {0: 0}  # which classes begin or end there, as bits
    for number, one in enumerate(ones):
        for first, end in runs_of(one):
            edges[first] = edges.get(first, 0) ^ 1 << number
            edges[end] = edges.get(end, 0) ^ 1 << number
    names: dict[int, int] = {}
    starts: list[int] = []
    found: list[int] = []
    bits = 0
    for place in sorted(edges):
        bits ^= edges[place]
        if place == len(_STARTS):
            break
        name = names.setdefault(bits, len(names))
        if not found or found[-1] != name:
            starts.append(_STARTS[place])
            found.append(name)
    members = {
        one: frozenset(name for bits, name in names.items() if bits >> number & 1)
        for number, one in enumerate(ones)
    }
    return Classes(tuple(starts), tuple(found), members, len(names))


BLOCK = 32
"""Runs that are coded one after the other."""


@dataclass(frozen=True)
class CodedClasses:
    """The classes as an `mcu_pattern_data` has them. `ascii`: of each of the first 128 code points. `runs`: of the others,
    (length - 1) << bits | class of each run, seven bits a byte, the last with its highest bit clear. `starts` and `places`:
    the first code point of every BLOCK runs, and where they begin."""

    bits: int
    ascii: tuple[int, ...]
    runs: bytes
    starts: tuple[int, ...]
    places: tuple[int, ...]


def coded(classes: Classes) -> CodedClasses:
    """What the device looks classes up in."""
    bits = max(classes.count - 1, 1).bit_length()
    edges = [start for start in classes.starts if start > 0x80]
    firsts = [0x80, *edges]
    runs, starts, places = bytearray(), [], []
    for number, (first, end) in enumerate(zip(firsts, [*edges, LAST + 1], strict=True)):
        if number % BLOCK == 0:
            starts.append(first)
            places.append(len(runs))
        value = (end - first - 1) << bits | classes.of(first)
        while value >= 0x80:
            runs.append(0x80 | value & 0x7F)
            value >>= 7
        runs.append(value)
    return CodedClasses(bits, tuple(map(classes.of, range(0x80))), bytes(runs), tuple(starts), tuple(places))


def coded_bytes(classes: Classes, characters: Sequence[str]) -> CodedClasses:
    """The same for a pattern that reads bytes, each as one of 256 characters: `ascii` has all of them."""
    return CodedClasses(0, tuple(classes.of(ord(character)) for character in characters), b"", (), ())

"""Unicode properties exactly as the `tokenizers` library sees them, packed for firmware/runtime/tokenizer.h.

The library's regex engine and its normalizer each carry a Unicode version of their own, neither of them Python's.
So the library itself is asked, about every code point. A set is a tuple of (first << 11 | count - 1), rising.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache

# Surrogates are no text; planes 4 to 13 are unassigned, and 15 and 16 are private use: no property is theirs.
CODE_POINTS = (*range(0xD800), *range(0xE000, 0x40000), *range(0xE0000, 0xE1000))
_COUNT_BITS = 11


def runs(code_points: Iterable[int], longest: int) -> Iterator[tuple[int, int]]:
    """(first, count) of runs of rising code points, at most `longest` long."""
    first, count = -1, 0
    for code in code_points:
        if count and code == first + count and count < longest:
            count += 1
            continue
        if count:
            yield first, count
        first, count = code, 1
    if count:
        yield first, count


def pack_points(code_points: Iterable[int]) -> tuple[int, ...]:
    """A set of rising code points."""
    longest = 1 << _COUNT_BITS
    return tuple(first << _COUNT_BITS | (count - 1) for first, count in runs(code_points, longest))


def unpack_points(entries: Iterable[int]) -> Iterator[int]:
    """The code points of a set."""
    for entry in entries:
        first, more = entry >> _COUNT_BITS, entry & (1 << _COUNT_BITS) - 1
        yield from range(first, first + more + 1)


@cache
def _text() -> str:
    return "".join(map(chr, CODE_POINTS))


def _matching(pattern: str) -> tuple[int, ...]:
    """Code points beyond ASCII that a one-character pattern matches."""
    from tokenizers import Regex, pre_tokenizers

    split = pre_tokenizers.Split(Regex(f"{pattern}+"), "removed", invert=True)
    pieces = split.pre_tokenize_str(_text())
    return pack_points(ord(character) for piece, _ in pieces for character in piece if ord(character) >= 0x80)


@cache
def spaces() -> tuple[int, ...]:
    r"""\s beyond ASCII."""
    return _matching(r"\s")


@cache
def words() -> tuple[int, ...]:
    """Characters beside which an added token of single words does not stand alone; ASCII included."""
    from tokenizers import AddedToken, Tokenizer, models

    tokenizer = Tokenizer(models.BPE())  # without any token it leaves the others out
    tokenizer.add_tokens([AddedToken("tok", single_word=True, normalized=False)])
    found = tokenizer.encode("".join(f"{character}tok\n" for character in _text()))
    alone = {begin // 5 for begin, _ in found.offsets}
    return pack_points(code for place, code in enumerate(CODE_POINTS) if place not in alone)


@cache
def digits() -> tuple[int, ...]:
    """What the Digits pre-tokenizer splits off, ASCII included.

    Individual digits are pieces of one character. Each character is followed by two letters here, so that nothing
    else is a piece of one.
    """
    from tokenizers import pre_tokenizers

    text = "".join(character + "aa" for character in _text())
    pieces = pre_tokenizers.Digits(individual_digits=True).pre_tokenize_str(text)
    return pack_points(ord(piece) for piece, _ in pieces if len(piece) == 1)


@cache
def combining() -> tuple[int, ...]:
    """Canonical combining classes: (first << 11 | count - 1 << 8 | class), classes numbered densely in their order.

    A mark has a class above the lowest (U+0334) if NFD moves it behind that one, and one below the highest
    (U+0345) if NFD moves it before that one. One string of all marks, sorted by NFD, then shows the classes' order.
    """
    from tokenizers import normalizers

    nfd = normalizers.NFD()
    separated = "\n".join(_text().replace("\n", ""))
    characters = separated.split("\n")
    after = nfd.normalize_str("\n".join(f"a{c}\u0334" for c in characters)).split("\n")
    before = nfd.normalize_str("\n".join(f"a\u0345{c}" for c in characters)).split("\n")
    marks = [
        c
        for c, low, high in zip(characters, after, before, strict=True)
        if low == f"a\u0334{c}" or high == f"a{c}\u0345" or c in "\u0334\u0345"
    ]
    # U+0334 and U+0345 found the marks of all classes but their own.
    ordered = nfd.normalize_str("a" + "".join(marks))[1:]
    classes: dict[int, int] = {}
    number = 1
    for last, mark in zip(ordered[:1] + ordered, ordered, strict=False):
        number += last != mark and nfd.normalize_str(f"a{mark}{last}") == f"a{last}{mark}"
        classes[ord(mark)] = number
    return pack_classes(classes)


def pack_classes(classes: Mapping[int, int]) -> tuple[int, ...]:
    """Combining classes by code point, as `combining` has them."""
    packed = []
    for wanted in sorted(set(classes.values())):
        members = sorted(code for code, value in classes.items() if value == wanted)
        packed += [first << 11 | (count - 1) << 8 | wanted for first, count in runs(members, 8)]
    return tuple(sorted(packed))

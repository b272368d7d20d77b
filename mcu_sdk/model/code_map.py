"""What a normalizer makes of each code point, asked of the `tokenizers` library itself and packed as an `mcu_code_map`.

The library's tables are of several Unicode versions, none of them Python's. A normalizer that treats every character by
itself, or a row of such, is fully known once every code point has been asked for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

SEPARATOR = "\U00010000"
"""A letter without case, parts or marks, which no other code point becomes: no normalizer touches it."""

BOUNDARY = "\udcff"
"""Stands, in what a code point becomes, for a removed one behind which the order of marks begins anew: the byte 0xFF."""

_CHUNK = 4096

# Surrogates are no text. Planes 4 to 13 are unassigned, 15 and 16 are private: all of a plane are alike, but its last two.
_USED = (*range(0xD800), *range(0xE000, 0x40000), *range(0xE0000, 0xE1000))
_PLANES = (*range(4, 14), 15, 16)
_LONGEST_RUN = 2048
_LONGEST_STRING = 63
_HANGUL = range(0xAC00, 0xD7A4)

STRING, DELTA, DELTA_EVEN, SPACED, HANGUL = range(5)
"""`mcu_code_change`."""


def normalizer_of(parts: Sequence[Mapping[str, Any]]) -> Any:
    """The library's normalizer that runs these, as tokenizer.json describes them, one after the other."""
    from tokenizers import Tokenizer, models

    content = json.loads(Tokenizer(models.BPE()).to_str())
    content["normalizer"] = {"type": "Sequence", "normalizers": list(parts)}
    return read_by_library(content).normalizer


def read_by_library(content: Mapping[str, Any]) -> Any:
    """The library's tokenizer of a tokenizer.json. Raises ValueError where it cannot read it."""
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_str(json.dumps(content))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # bare Exceptions, and what panics of the library become
        raise ValueError(str(error)) from error


def changed_by(parts: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    """What becomes of every code point that does not stay as it is. `parts`: normalizers without a context."""
    return dict(_changed_by(json.dumps(list(parts), sort_keys=True)))


@cache
def _changed_by(parts: str) -> dict[int, str]:
    normalize: Callable[[str], str] = normalizer_of(json.loads(parts)).normalize_str
    changed: dict[int, str] = {}
    codes = [code for code in _USED if chr(code) != SEPARATOR]
    for first in range(0, len(codes), _CHUNK):
        chunk = codes[first : first + _CHUNK]
        found = normalize(SEPARATOR.join(map(chr, chunk))).split(SEPARATOR)
        if len(found) != len(chunk):
            raise ValueError("a code point of Linear B does not stay what it is under this normalizer")
        changed |= {code: text for code, text in zip(chunk, found, strict=True) if text != chr(code)}
    for plane in (*_PLANES, 0xE):
        start = plane << 16 | (0x1000 if plane == 0xE else 0)
        probes = [start, (plane << 16) + 0x7FFF, (plane << 16) + 0xFFFD]
        results = [normalize(chr(code)) for code in probes]
        if [text == "" for text in results] == [True] * 3:
            changed |= dict.fromkeys(range(start, probes[-1] + 1), "")
        elif results != list(map(chr, probes)):
            raise ValueError(f"the code points of plane {plane} do not all become the same")
        for code in ((plane << 16) + 0xFFFE, (plane << 16) + 0xFFFF):
            if (text := normalize(chr(code))) != chr(code):
                changed[code] = text
    return changed


@dataclass(frozen=True)
class CodeMap:
    """An `mcu_code_map`: runs of code points, what becomes of each, and the strings that some become."""

    entries: tuple[int, ...]
    changes: tuple[int, ...]
    strings: bytes


def pack(changed: Mapping[int, str]) -> CodeMap:
    """`changed`: what becomes of code points, with BOUNDARY in it where a removed one began the order of marks anew.

    Raises ValueError for what becomes of a code point where it is longer than the table can say.
    """
    strings = bytearray()
    places: dict[bytes, int] = {}

    def string(text: bytes) -> int:
        if len(text) > _LONGEST_STRING:
            raise ValueError(f"a code point becomes {len(text)} bytes")
        if text not in places:
            places[text] = len(strings)
            strings.extend(text)
        return places[text] << 6 | len(text)

    entries, changes = [], []
    for first, count, kind, value in _runs(changed):
        argument = string(value) if isinstance(value, bytes) else value
        entries.append(first << 11 | (count - 1))
        changes.append((argument << 3 | kind) & 0xFFFFFFFF)
    return CodeMap(tuple(entries), tuple(changes), bytes(strings))


def _runs(changed: Mapping[int, str]) -> Iterator[tuple[int, int, int, bytes | int]]:
    """(first, count, kind, text or difference) of runs, greedily the longest of the kinds that fit."""
    code_points = sorted(changed)
    kinds = [_kinds(code, changed[code]) for code in code_points]
    at = 0
    while at < len(code_points):
        best, chosen, value = 0, STRING, kinds[at].get(STRING, 0)
        for kind, wanted in kinds[at].items():  # where two are as long, the first one, whose table is smaller
            count = _length(code_points, kinds, at, kind, wanted)
            if count > best:
                best, chosen, value = count, kind, wanted
        yield code_points[at], 2 * best - 1 if chosen == DELTA_EVEN else best, chosen, value
        at += best


def _length(
    code_points: Sequence[int],
    kinds: Sequence[Mapping[int, bytes | int]],
    at: int,
    kind: int,
    wanted: bytes | int,
) -> int:
    """How many code points from the one at `at` on are of one run."""
    step = 2 if kind == DELTA_EVEN else 1
    end = at + 1
    most = min(len(code_points), at + _LONGEST_RUN // step)
    expected = code_points[at]
    while end < most:
        expected += step
        if code_points[end] != expected or kinds[end].get(kind) != wanted:
            break
        end += 1
    return end - at


def _kinds(code: int, text: str) -> dict[int, bytes | int]:
    """How what becomes of `code` can be said."""
    if code in _HANGUL and text == _jamo(code):
        return {HANGUL: 0}
    if len(text) == 1 and text != BOUNDARY:
        difference = ord(text) - code
        return {DELTA: difference, STRING: text.encode(), DELTA_EVEN: difference}
    if len(text) == 3 and text[0] == text[2] == " ":
        return {SPACED: ord(text[1]) - code, STRING: text.encode()}
    return {STRING: text.encode("utf-8", "surrogateescape")}


def _jamo(code: int) -> str:
    index = code - _HANGUL.start
    leading, vowel, trailing = index // 588, index % 588 // 28, index % 28
    return chr(0x1100 + leading) + chr(0x1161 + vowel) + (chr(0x11A7 + trailing) if trailing else "")

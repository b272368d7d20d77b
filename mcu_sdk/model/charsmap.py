"""The charsmap of SentencePiece (a Precompiled normalizer): a double-array trie of texts and what each becomes."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import regex

from mcu_sdk.model import unicode_tables
from mcu_sdk.model.code_map import CodeMap, normalizer_of, pack
from mcu_sdk.model.unicode_tables import CODE_POINTS
from mcu_sdk.model.vocabulary import Vocabulary


def entries_of(charsmap: str) -> dict[bytes, bytes]:
    """What each key of the trie becomes. `charsmap`: as tokenizer.json has it, base64 of the size of the trie in bytes, its
    units (uint32, little-endian), and texts that end with a NUL. Raises ValueError if it is cut."""
    data = base64.b64decode(charsmap)
    if len(data) < 4:
        raise ValueError("a charsmap without a trie")
    size = int.from_bytes(data[:4], "little")
    if len(data) < 4 + size:
        raise ValueError(f"a charsmap of {len(data)} bytes with a trie of {size}")
    units = struct.unpack(f"<{size // 4}I", data[4 : 4 + size // 4 * 4])
    texts = data[4 + size :]
    return {
        key: texts[at : texts.index(b"\0", at) if b"\0" in texts[at:] else None] for key, at in _leaves(units)
    }


def _leaves(units: tuple[int, ...]) -> Iterator[tuple[bytes, int]]:
    """(key, value) of a double-array trie as darts-clone writes it: bits 0 to 7 a label, 8 has a leaf, 10 on an offset."""
    waiting = [(b"", _offset(units[0]))] if units else []
    seen = set()
    while waiting:
        key, base = waiting.pop()
        if base in seen:  # each unit with children has a base of its own
            raise ValueError("a charsmap with a damaged trie")
        seen.add(base)
        for label in range(1, 256):
            at = base ^ label
            if at >= len(units) or units[at] & 0x800000FF != label:
                continue
            below = at ^ _offset(units[at])
            if units[at] >> 8 & 1:
                yield key + bytes((label,)), units[below] & 0x7FFFFFFF
            waiting.append((key + bytes((label,)), below))


def _offset(unit: int) -> int:
    return unit >> 10 << ((unit & 1 << 9) >> 6)


MOST_WHOLE = 5
"""Bytes of a grapheme that the library looks up as a whole; kMostWhole of firmware/runtime/tokenizer/charsmap.cpp."""

_CLASSES = (
    r"[\p{GCB=Extend}]",
    r"[\p{GCB=ZWJ}]",
    r"[\p{GCB=SpacingMark}]",
    r"[\p{GCB=Control}]",
    r"[\p{GCB=Prepend}]",
    r"[\p{Extended_Pictographic}]",
)
"""`mcu_grapheme_class` from 1 on."""

_EXTEND, _SPACING, _PREPEND = 1, 3, 5

_LEFT_OUT = r"[\p{GCB=V}\p{GCB=T}\p{GCB=Prepend}\p{InCB=Consonant}]"
"""With what no key may begin, since the device does not know all rules for what stands before it."""

_CLASS_RUN = 256


class UnsupportedCharsmap(Exception):
    """Why a charsmap cannot run on the device; a sentence's end, behind "its charsmap "."""


@dataclass(frozen=True)
class Charsmap:
    """`single`: what becomes of a code point. `keys`: texts of several, none of which begins with another one; their ids are
    offset * 64 + bytes in `texts`. `graphemes`: packed for `mcu_charsmap_data`."""

    single: CodeMap
    keys: Vocabulary
    texts: bytes
    graphemes: tuple[int, ...]


def compile_charsmap(charsmap: str) -> Charsmap:
    """What the library can ever apply of a charsmap: it looks up characters, and graphemes of at most MOST_WHOLE bytes, of
    which it takes the shortest key that the grapheme begins with.

    Raises UnsupportedCharsmap for one that needs what the device does not know of graphemes.
    """
    found = {key.decode(): value.decode() for key, value in entries_of(charsmap).items() if _is_text(key)}
    single = {ord(key): value for key, value in found.items() if len(key) == 1}
    whole: dict[str, int] = {}
    texts = bytearray()
    for key, value in sorted(found.items()):
        reachable = len(key) > 1 and len(key.encode()) <= MOST_WHOLE and ord(key[0]) not in single
        if reachable and not any(key[:n] in found for n in range(2, len(key))):
            content = value.encode()
            if len(content) > 63:
                raise UnsupportedCharsmap(f"makes {len(content)} bytes of a character with its marks")
            whole[key] = len(texts) << 6 | len(content)
            texts += content
    firsts = {chr(code) for code in single} | {key[0] for key in whole}
    odd = next((first for first in sorted(firsts) if regex.match(_LEFT_OUT, first)), None)
    # Alone, and so before six bytes and more, such a character is looked up as any other.
    if odd is not None and any(key[0] == odd for key in whole):
        raise UnsupportedCharsmap(f"has a key that begins with U+{ord(odd):04X}")
    return Charsmap(pack(single), Vocabulary.of(whole), bytes(texts), graphemes())


def _is_text(key: bytes) -> bool:
    try:
        key.decode()
    except UnicodeDecodeError:
        return False  # the library looks up whole characters only
    return True


@cache
def graphemes() -> tuple[int, ...]:
    """(first << 11 | count - 1 << 3 | class) of all code points with a class but CR and LF, rising.

    What joins the character before it or behind it is asked of the `tokenizers` library, whose version of Unicode may be
    another one than that of the classes.
    """
    classes: dict[int, int] = {}
    text = "".join(map(chr, CODE_POINTS))
    for number, pattern in enumerate(_CLASSES, 1):
        classes |= {ord(character): number for character in regex.findall(pattern, text)}
    joining = _joining()
    classes = {code: number for code, number in classes.items() if number > _SPACING or code in joining}
    classes |= {code: _EXTEND for code in joining if classes.get(code, _PREPEND) > _SPACING}
    for code in [code for code, number in classes.items() if number == _PREPEND]:
        if _normalizer(chr(code))(f"{chr(code)}A") != "B":
            del classes[code]
    packed = []
    for number in range(1, len(_CLASSES) + 1):
        members = sorted(code for code, own in classes.items() if own == number)
        packed += [
            first << 11 | (count - 1) << 3 | number
            for first, count in unicode_tables.runs(members, _CLASS_RUN)
        ]
    return tuple(sorted(packed))


def _joining() -> set[int]:
    """Code points that are of one grapheme with a letter before them: the library then looks up both as one."""
    normalize = _normalizer("A")
    joining = set()
    codes = [code for code in CODE_POINTS if chr(code) not in "\r\n"]
    for first in range(0, len(codes), 4096):
        chunk = codes[first : first + 4096]
        lines = normalize("\n".join(f"A{chr(code)}" for code in chunk)).split("\n")
        joining |= {code for code, line in zip(chunk, lines, strict=True) if line == "B"}
    return joining


def _normalizer(key: str) -> Callable[[str], str]:
    """That of a charsmap that makes B of a key, and of each short grapheme that begins with it."""
    content = key.encode()
    units = [0] * 256 * (len(content) + 2)
    at = 0
    for place, label in enumerate(content, 1):
        units[at] |= (256 * place ^ at) << 10
        at = 256 * place ^ label
        units[at] = label
    leaf = 256 * (len(content) + 1)
    units[at] |= 1 << 8 | (leaf ^ at) << 10
    units[leaf] = 1 << 31
    data = struct.pack(f"<I{len(units)}I", 4 * len(units), *units) + b"B\0"
    part = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(data).decode()}
    normalize: Callable[[str], str] = normalizer_of([part]).normalize_str
    return normalize

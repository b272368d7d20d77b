"""The normalizer of a tokenizer.json as the steps that the device runs (firmware/runtime/tokenizer/normalize.h)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from mcu_sdk.model import unicode_tables
from mcu_sdk.model.charsmap import Charsmap, compile_charsmap
from mcu_sdk.model.code_map import BOUNDARY, CodeMap, changed_by, normalizer_of, pack
from mcu_sdk.text import shown

Part = Mapping[str, Any]

FREE = {"Lowercase", "StripAccents", "Nmt"}
"""What treats each character by itself."""

DECOMPOSED = {"NFD": "NFD", "NFKD": "NFKD", "NFC": "NFD", "NFKC": "NFKD"}


class UnsupportedStep(Exception):
    """What of a normalizer has no counterpart on the device; a sentence's end, behind "its normalizer "."""


@dataclass(frozen=True)
class Map:
    """Each code point by itself."""

    codes: CodeMap


@dataclass(frozen=True)
class Reorder:
    """Combining marks into canonical order. `classes`: packed as unicode_tables.combining()."""

    classes: tuple[int, ...]


@dataclass(frozen=True)
class Compose:
    """NFC of decomposed text. `pairs`: (first, second, what they become), rising; without Hangul."""

    classes: tuple[int, ...]
    pairs: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Strip:
    """Whitespace on the left, on the right."""

    left: bool
    right: bool


@dataclass(frozen=True)
class Prepend:
    """`text` before every text that is not empty."""

    text: bytes


@dataclass(frozen=True)
class Replace:
    """`pattern`, wherever it is found from the left on, becomes `by`. `least` is not 0: `pattern` is one character, and runs
    of at least so many of it become one `by`."""

    pattern: bytes
    by: bytes
    least: int = 0


@dataclass(frozen=True)
class ApplyCharsmap:
    """What SentencePiece makes of characters, and of those with their marks."""

    charsmap: Charsmap


Step = Map | Reorder | Compose | Strip | Prepend | Replace | ApplyCharsmap

_ORDER, _COMPOSE = "order", "compose"


Matters = Callable[[str], bool]


def steps_of(parts: Sequence[Part], matters: Matters | None = None) -> tuple[Step, ...]:
    """Steps for the members of a (flattened) normalizer. Raises UnsupportedStep.

    `matters`: whether a character is of any token, or cut at: a word with one for which it is false is unknown, whichever
    it is. What is only changed into such a one need not be changed. None: all of them matter.
    """
    items = [item for part in parts for item in _items(part)]
    steps: list[Step] = []
    while items:
        free: list[Part] = []
        while items and isinstance(items[0], Mapping):
            free.append(items.pop(0))
        if items and items[0] == _ORDER:
            items.pop(0)
            behind: list[Part] = []
            while items and isinstance(items[0], Mapping):
                behind.append(items.pop(0))
            steps += _ordered(free, behind, None if items else matters)
            continue
        if free:
            steps += _map(changed_by(free), None if items else matters)
        elif items[0] == _COMPOSE:
            items.pop(0)
            steps.append(Compose(unicode_tables.combining(), _compositions()))
        else:
            steps.append(items.pop(0))
    return tuple(steps)


def _items(part: Part) -> list[Any]:
    """A part as parts that treat each character by itself, _ORDER, _COMPOSE, and steps."""
    kind = part["type"]
    if kind in FREE:
        return [part]
    if kind in DECOMPOSED:
        rest = [_COMPOSE] if kind in ("NFC", "NFKC") else []
        return [{"type": DECOMPOSED[kind]}, _ORDER, *rest]
    if kind == "BertNormalizer":
        return _bert(part)
    if kind == "Strip":
        return [Strip(bool(part["strip_left"]), bool(part["strip_right"]))]
    if kind == "Prepend":
        return [Prepend(part["prepend"].encode())] if part["prepend"] else []
    if kind == "Replace":
        return [_replace(part)]
    if kind == "Precompiled":
        charsmap = compile_charsmap(part["precompiled_charsmap"])
        return [ApplyCharsmap(charsmap)] if charsmap.single.entries or charsmap.keys.tokens else []
    raise UnsupportedStep(f"is {kind}, which has no counterpart on the device")


def _bert(part: Part) -> list[Any]:
    """Cleaning and spaces around Chinese characters; NFD; accents and upper case."""
    lowercase = bool(part["lowercase"])
    strips = lowercase if part.get("strip_accents") is None else bool(part["strip_accents"])
    off = {"clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False}
    before = {**part, "strip_accents": False, "lowercase": False}
    behind = {**off, "type": part["type"], "strip_accents": strips, "lowercase": lowercase}
    return [before, {"type": "NFD"}, _ORDER, behind] if strips else [{**part, "strip_accents": False}]


def _replace(part: Part) -> Part | Step:
    pattern = part["pattern"]
    if "String" in pattern:
        text: str = pattern["String"]
        if not text:
            raise UnsupportedStep("replaces the empty text")
        return part if len(text) == 1 else Replace(text.encode(), part["content"].encode())
    regex = pattern["Regex"]
    if (
        len(regex) == 5
        and regex[1:] == "{2,}"
        and regex[0].isascii()
        and (regex[0] == " " or regex[0].isalnum())
    ):
        return Replace(regex[0].encode(), part["content"].encode(), least=2)
    raise UnsupportedStep(f"replaces by an unknown pattern, {shown(regex)}")


def _map(changed: Mapping[int, str], matters: Matters | None = None) -> list[Step]:
    if matters is not None:
        changed = _that_matter(changed, matters)
    return [Map(pack(changed))] if changed else []


def _that_matter(changed: Mapping[int, str], matters: Matters) -> dict[int, str]:
    """`changed` without what only makes one unknown character of another. Marks are left alone: they may yet be ordered."""
    classes = _classes()

    def unknown(character: str) -> bool:
        return character != BOUNDARY and ord(character) not in classes and not matters(character)

    kept = {}
    for code, text in changed.items():
        character = chr(code)
        if text and unknown(character):
            if all(map(unknown, text)):
                continue
            if len(text) == 3 and text[0] == text[2] == " " and unknown(text[1]):
                text = f" {character} "
        kept[code] = text
    return kept


@cache
def _classes() -> dict[int, int]:
    """The canonical combining class of each mark, densely numbered."""
    return {
        (entry >> 11) + i: entry & 0xFF
        for entry in unicode_tables.combining()
        for i in range((entry >> 8 & 7) + 1)
    }


@cache
def _compositions() -> tuple[tuple[int, int, int], ...]:
    """As the library's NFC composes. Raises UnsupportedStep for a pair that becomes longer, for which there is no room."""
    compose = normalizer_of([{"type": "NFC"}]).normalize_str
    pairs = []
    for code, text in changed_by([{"type": "NFD"}]).items():
        if len(text) < 2 or 0xAC00 <= code < 0xD7A4:
            continue
        first = compose(text[:-1])
        if len(first) != 1 or compose(first + text[-1]) != chr(code):
            continue
        if len(chr(code).encode()) > len((first + text[-1]).encode()):
            raise UnsupportedStep(f"composes U+{code:04X}, which takes more bytes than its parts")
        pairs.append((ord(first), ord(text[-1]), code))
    return tuple(sorted(pairs))


def _ordered(before: Sequence[Part], behind: Sequence[Part], matters: Matters | None) -> list[Step]:
    """The code points decomposed (`before`), marks in order, and the code points changed again (`behind`).

    Mostly `behind` removes the marks, so that both are one map and a few marks are left to be ordered, or none.
    """
    classes = _classes()
    first, second = changed_by(before), changed_by(behind) if behind else {}

    def plain(code: int) -> bool:
        """Whether it makes no difference to a mark's place that `code` changes before the marks are ordered."""
        text = second[code]
        return text == "" if code in classes else not any(ord(c) in classes for c in text)

    made = set("".join(first.values()))  # of what changes again, only what is there after `before` counts
    again = [code for code in second if code not in first or chr(code) in made]
    if not second or not all(map(plain, again)):
        mapped = _map(first, None if second else matters)
        return [*mapped, Reorder(unicode_tables.combining()), *_map(second, matters)]
    left = {code: number for code, number in classes.items() if code not in second}
    ordered = len(set(left.values())) > 1
    changed = {}
    for code in sorted(first.keys() | second.keys()):
        text = ""
        for character in first.get(code, chr(code)):
            becomes = second.get(ord(character), character)
            removed_starter = not becomes and ord(character) not in classes
            text += BOUNDARY if removed_starter and ordered else becomes
        text = _needed_boundaries(text, classes)
        if text != chr(code):
            changed[code] = text
    return [*_map(changed, matters), *([Reorder(unicode_tables.pack_classes(left))] if ordered else [])]


def _needed_boundaries(text: str, classes: Mapping[int, int]) -> str:
    """`text` without a BOUNDARY that has another one or a character without a class beside it."""
    kept = ""
    for i, character in enumerate(text):
        beside = (kept[-1:], text[i + 1 : i + 2])
        if character != BOUNDARY or not any(c and ord(c) not in classes for c in beside):
            kept += character
    return kept

"""The pre-tokenizers as stages of firmware/runtime/tokenizer/sets.cpp and patterns.cpp: cuts at characters of a set or where a
regular expression matches.

Which characters they are is asked of the `tokenizers` library itself, which knows several Unicode versions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from mcu_sdk.model import unicode_tables
from mcu_sdk.model.pattern.automaton import Pattern, compile_pattern
from mcu_sdk.model.pattern.syntax import SPECIAL
from mcu_sdk.model.token_texts import BYTE_CHARACTERS
from mcu_sdk.model.tokenizer_tables import METASPACE, PATTERN, SET
from mcu_sdk.text import shown

BEHAVIORS = ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous")
"""`mcu_split_behavior`, in its order."""

SCHEMES = ("never", "first", "always")
"""`mcu_prepend_scheme`, in its order."""

MOST_SETS = 31
"""A stage's argument has five bits for the set."""

Points = tuple[int, ...]


@dataclass
class Stages:
    """What is found on the way through a pre-tokenizer. `sets`: a remark and the packed code points of each;
    `patterns`: each with its table, and whether it reads bytes, as ByteLevel names them."""

    stages: list[tuple[str, int]] = field(default_factory=list)
    sets: list[tuple[str, Points]] = field(default_factory=list)
    patterns: list[tuple[str, Pattern, bool]] = field(default_factory=list)
    replacement: str = ""

    def at_set(self, remark: str, points: Points, behavior: str) -> None:
        """A stage that cuts at these characters."""
        found = (remark, points)
        if found not in self.sets:
            self.sets.append(found)
        self.stages.append((SET, self.sets.index(found) << 3 | BEHAVIORS.index(behavior)))

    def at_pattern(
        self, source: str, behavior: str = "Isolated", *, invert: bool = False, of_bytes: bool = False
    ) -> None:
        """A stage that cuts where a regular expression matches, or with `invert` where it does not. Raises
        UnsupportedPattern."""
        pattern = compile_pattern(source)
        if behavior == "Contiguous" and pattern.takes_nothing:  # there is text between any two matches
            behavior = "Isolated"
        found = (source, pattern, of_bytes)
        if found not in self.patterns:
            self.patterns.append(found)
        argument = self.patterns.index(found) << 4 | invert << 3 | BEHAVIORS.index(behavior)
        self.stages.append((PATTERN, argument))


def add_stage(part: Mapping[str, Any], found: Stages) -> bool:
    """Adds a pre-tokenizer's stages; False for one that is not known.

    Raises ValueError for what of it the device does not know, as the end of a sentence, and UnsupportedPattern.
    """
    kind = part["type"]
    if kind == "BertPreTokenizer":
        found.at_set("whitespace", whitespace(), "Removed")
        found.at_set("punctuation", _punctuation(), "Isolated")
    elif kind == "WhitespaceSplit":
        found.at_set("whitespace", whitespace(), "Removed")
    elif kind == "Whitespace":
        pieces = _pieces("Whitespace")
        found.at_set("whitespace", _where(pieces, 2), "Removed")
        found.at_set("characters of words", _where(pieces, 1), "Contiguous")
    elif kind == "Punctuation":
        found.at_set("punctuation", _punctuation(), part.get("behavior", "Isolated"))
    elif kind == "Digits":
        each = part.get("individual_digits")
        found.at_set("digits", unicode_tables.digits(), "Isolated" if each else "Contiguous")
    elif kind == "CharDelimiterSplit":
        found.at_set("the delimiter", _one(part["delimiter"]), "Removed")
    elif kind == "Split" and len(part["pattern"].get("String", "")) == 1 and not part.get("invert"):
        found.at_set("where it splits", _one(part["pattern"]["String"]), part["behavior"])
    elif kind == "Split":
        pattern = part["pattern"]
        source = pattern["Regex"] if "Regex" in pattern else _escaped(pattern["String"])
        found.at_pattern(source, part["behavior"], invert=bool(part.get("invert")))
    elif kind == "Metaspace":
        _metaspace(part, found)
    else:
        return False
    if len(found.sets) > MOST_SETS:
        raise ValueError(f"has {len(found.sets)} sets of characters")
    return True


def add_stage_of_bytes(part: Mapping[str, Any], found: Stages) -> bool:
    """`add_stage` behind ByteLevel, where each byte has become a character."""
    kind = part["type"]
    if kind == "Split":
        pattern = part["pattern"]
        source = pattern["Regex"] if "Regex" in pattern else _escaped(pattern["String"])
        found.at_pattern(source, part["behavior"], invert=bool(part.get("invert")), of_bytes=True)
    elif kind == "Digits":
        digits = set(unicode_tables.unpack_points(unicode_tables.digits()))
        source = "".join(character for character in BYTE_CHARACTERS if ord(character) in digits)
        behavior = "Isolated" if part.get("individual_digits") else "Contiguous"
        found.at_pattern(f"[{source}]", behavior, of_bytes=True)
    else:
        return False
    return True


def _metaspace(part: Mapping[str, Any], found: Stages) -> None:
    replacement: str = part["replacement"]
    scheme = "never" if part.get("add_prefix_space") is False else part.get("prepend_scheme", "always")
    if scheme == "first" and found.stages:
        raise ValueError("has a Metaspace for the first piece only behind another pre-tokenizer")
    if found.replacement not in ("", replacement):
        raise ValueError(f"writes both {shown(found.replacement)} and {shown(replacement)} for spaces")
    found.replacement = replacement
    found.stages.append((METASPACE, SCHEMES.index(scheme)))
    if part.get("split", True):
        found.at_set("the replacement for spaces", _one(replacement), "MergedWithNext")


def _escaped(text: str) -> str:
    """A regular expression that matches the text."""
    return "".join("\\" + character if character in SPECIAL else character for character in text)


def _one(character: str) -> Points:
    return (ord(character) << 11,)


def whitespace() -> Points:
    """What the library strips, and cuts at as whitespace."""
    return _where(_pieces("WhitespaceSplit"), 2)


def _punctuation() -> Points:
    return _where(_pieces("Punctuation"), 3)


def _where(pieces: tuple[int, ...], count: int) -> Points:
    return unicode_tables.pack_points(
        code for code, found in zip(unicode_tables.CODE_POINTS, pieces, strict=True) if found == count
    )


@cache
def _pieces(kind: str) -> tuple[int, ...]:
    """For each of CODE_POINTS: how many pieces a pre-tokenizer makes of it between two letters.

    That is 1 for a part of a word, 2 for what is removed, 3 for what stands alone.
    """
    from tokenizers import pre_tokenizers

    cut = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), getattr(pre_tokenizers, kind)()])
    counts = []
    for first in range(0, len(unicode_tables.CODE_POINTS), 4096):
        chunk = unicode_tables.CODE_POINTS[first : first + 4096]
        found = [0] * len(chunk)
        for _, (begin, _) in cut.pre_tokenize_str(" ".join(f"a{chr(code)}a" for code in chunk)):
            found[begin // 4] += 1
        counts += found
    return tuple(counts)

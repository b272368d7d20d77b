"""The Unicode sets of the device are those of the library."""

from __future__ import annotations

import random
import unicodedata
from itertools import pairwise

from mcu_sdk.model import unicode_tables


def members(packed: tuple[int, ...]) -> set[int]:
    return {(entry >> 11) + i for entry in packed for i in range((entry & 0x7FF) + 1)}


def test_unicode_tables() -> None:
    white_space = {0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000}
    assert members(unicode_tables.spaces()) == white_space
    assert members(unicode_tables.digits()) >= {*range(0x30, 0x3A), 0xB2, 0x0663}
    words = members(unicode_tables.words())
    assert words >= {*map(ord, "azAZ09_éß日"), 0x301} and not words & {*map(ord, " -.\n\u3000"), 0xB2}


def test_tables_are_sorted_and_disjoint() -> None:
    for packed, bits in (
        (unicode_tables.spaces(), 11),
        (unicode_tables.digits(), 11),
        (unicode_tables.combining(), 3),
    ):
        ends = [
            (entry >> 11, (entry >> 11) + ((entry >> (11 - bits)) & ((1 << bits) - 1))) for entry in packed
        ]
        assert all(a[1] < b[0] for a, b in pairwise(ends))


def test_combining_classes() -> None:
    classes = {
        (entry >> 11) + i: entry & 0xFF
        for entry in unicode_tables.combining()
        for i in range((entry >> 8 & 7) + 1)
    }
    rng = random.Random(1)
    for a, b in (rng.sample(sorted(classes), 2) for _ in range(2000)):
        assert (classes[a] < classes[b]) == (unicodedata.combining(chr(a)) < unicodedata.combining(chr(b)))

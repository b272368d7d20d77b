"""The sorted, front-coded list of tokens in which WordPiece and Unigram look words up on the device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

BLOCK = 16
"""Tokens that are coded one after the other; kBlock of firmware/runtime/tokenizer/vocabulary.cpp."""

MOST_BYTES = 255
"""Of a token: the lengths of its parts are bytes."""


@dataclass(frozen=True)
class Vocabulary:
    """`tokens`: UTF-8, sorted by their bytes, none empty. `ids`: of each."""

    tokens: tuple[bytes, ...]
    ids: tuple[int, ...]

    @classmethod
    def of(cls, vocabulary: Mapping[str, int]) -> Vocabulary:
        """Raises ValueError for a token of more than MOST_BYTES bytes. An empty token, which no text has, is left out."""
        found = sorted((token.encode(), index) for token, index in vocabulary.items() if token)
        long = next((token for token, _ in found if len(token) > MOST_BYTES), None)
        if long is not None:
            raise ValueError(f"a token of {len(long)} bytes, {long[:20]!r}...")
        return cls(tuple(token for token, _ in found), tuple(index for _, index in found))

    def packed(self) -> tuple[bytes, list[int]]:
        """The entries (bytes shared with the token before, bytes that follow, these), and where each block begins."""
        entries = bytearray()
        blocks = []
        for place, token in enumerate(self.tokens):
            shared = 0
            if place % BLOCK:
                shared = _shared(self.tokens[place - 1], token)
            else:
                blocks.append(len(entries))
            entries += bytes((shared, len(token) - shared)) + token[shared:]
        return bytes(entries), blocks


def _shared(before: bytes, token: bytes) -> int:
    """How many bytes both begin with."""
    count = 0
    while count < len(before) and before[count : count + 1] == token[count : count + 1]:
        count += 1
    return count

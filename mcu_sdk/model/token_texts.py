"""What a tokenizer.json's decoder prints for each token, as bytes that are printed one token after the other."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mcu_sdk.model.tokenizer_parts import Unsupported
from mcu_sdk.text import shown

_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")


def _byte_characters() -> tuple[str, ...]:
    """The character that stands for each byte in byte-level vocabularies, by byte (fixed by GPT-2).

    Printable characters of Latin-1 stand for themselves; the others are numbered from U+0100 on.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return tuple(chr(byte if byte in printable else next(others)) for byte in range(256))


BYTE_CHARACTERS = _byte_characters()
BYTE_OF_CHARACTER = {character: byte for byte, character in enumerate(BYTE_CHARACTERS)}


def bytes_of(token: str) -> bytes:
    """What the ByteLevel decoder makes of a token: bytes, or its own UTF-8 if a character stands for no byte."""
    if all(character in BYTE_OF_CHARACTER for character in token):
        return bytes(BYTE_OF_CHARACTER[character] for character in token)
    return token.encode("utf-8")


@dataclass(frozen=True)
class Printer:
    """`replaced`: texts in a token and what is printed for them. `from_bytes`: byte tokens are printed as bytes. `inside`: what
    a token begins with that goes on within a word, before others there is a space (None: there is not); `cleans_up`: spaces
    before punctuation and contractions go.

    What a decoder strips where a whole text begins or ends is not known to any one token: an answer goes on from its prompt.
    """

    byte_level: bool = False
    replaced: tuple[tuple[str, str], ...] = ()
    from_bytes: bool = False
    inside: str | None = None
    cleans_up: bool = False

    def print(self, token: str) -> bytes:
        """The bytes of a token that is not special."""
        if self.byte_level:
            return bytes_of(token)
        if self.inside is not None:
            token = token[len(self.inside) :] if token.startswith(self.inside) else f" {token}"
        for pattern, by in (*self.replaced, *(CLEANED_UP if self.cleans_up else ())):
            token = token.replace(pattern, by)
        found = _BYTE_TOKEN.fullmatch(token) if self.from_bytes else None
        return bytes((int(found[1], 16),)) if found else token.encode()

    @property
    def mark(self) -> str:
        """What is printed as a space, where that is all that is replaced. Raises Unsupported."""
        if not self.replaced:
            return ""
        ((pattern, by), *more) = self.replaced
        if more or by != " ":
            raise Unsupported("its decoder replaces more than what stands for a space")
        return pattern


CLEANED_UP = (
    (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"), (" do not", " don't"),
    (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
)  # fmt: skip
"""What the library's `cleanup` replaces, in its order."""


def printer_of(parts: Sequence[Mapping[str, Any]]) -> Printer:
    """`parts`: the members of the decoder. Raises Unsupported for one whose tokens cannot be printed one by one."""
    names = [part["type"] for part in parts]
    if names == ["ByteLevel"]:
        return Printer(byte_level=True)
    if names == ["WordPiece"]:
        return Printer(inside=parts[0]["prefix"], cleans_up=bool(parts[0]["cleanup"]))
    if names == ["BPEDecoder"]:
        return Printer(replaced=((parts[0]["suffix"], " "),) if parts[0]["suffix"] else ())
    if not parts:
        raise Unsupported("its decoder is none, which puts spaces between tokens")
    replaced: list[tuple[str, str]] = []
    fused = from_bytes = False
    for part in parts:
        kind = part["type"]
        if kind == "Metaspace" and not fused:
            replaced.append((part["replacement"], " "))
        elif kind == "Replace" and "String" in part["pattern"] and not (fused or from_bytes):
            if not part["pattern"]["String"]:
                raise Unsupported("its decoder replaces the empty text")
            replaced.append((part["pattern"]["String"], part["content"]))
        elif kind == "ByteFallback" and not fused:
            from_bytes = True
        elif kind == "Fuse":
            fused = True
        elif not (kind == "Strip" and fused and not part["stop"]):
            raise Unsupported(
                f"its decoder has {kind}, which has no counterpart on the device there ({shown(str(names))})"
            )
    return Printer(False, tuple(replaced), from_bytes)

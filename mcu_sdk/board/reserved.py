"""Words that lock or configure a chip: whether an image leaves them alone."""

from __future__ import annotations

from collections.abc import Iterable

from mcu_sdk.board.board import Board
from mcu_sdk.board.memory import Reserved
from mcu_sdk.errors import BoardError

Stored = tuple[int, bytes]
"""An address, and the bytes that a flasher writes from there on."""


def check_reserved(board: Board, image: Iterable[Stored]) -> None:
    """Raise BoardError if writing `image` would change a word that the board reserves, or leave one erased that must
    not be."""
    stored = list(image)
    for words in board.reserved:
        found = _bytes_in(words, stored)
        if found == dict(enumerate(words.expected, words.origin)):
            continue
        where = (
            f"the words {words.name!r} ({words.origin:#x} to {words.end - 1:#x}) of the board {board.name!r}"
        )
        if not words.contents:
            raise BoardError(
                f"The image writes {len(found)} bytes into {where}, which lock or configure the chip for good.",
                hint="Place nothing there: what the linker script gives a region in the board.toml is free.",
            )
        raise BoardError(
            f"The image must have {words.contents} in {where}, and has {_shown(words, found) or 'nothing'}.",
            hint="Anything else there can lock the chip: link the image with the project's own linker script.",
        )


def _bytes_in(words: Reserved, stored: Iterable[Stored]) -> dict[int, int]:
    """What the image has there, by address."""
    return {
        address + i: data[i]
        for address, data in stored
        for i in range(max(words.origin - address, 0), min(words.end - address, len(data)))
    }


def _shown(words: Reserved, found: dict[int, int]) -> str:
    """The bytes as hexadecimal digits; "--" for one that is not written."""
    if not found:
        return ""
    return "".join(f"{found[a]:02x}" if a in found else "--" for a in range(words.origin, words.end))

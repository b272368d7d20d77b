"""Whether the chip behind a probe is the board's: its processor by CPUID, and the word that the board names."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mcu_sdk.board.board import Board
from mcu_sdk.errors import BoardError

CPUID = 0xE000ED00
"""The register that names the processor (Armv8-M Architecture Reference Manual, CPUID: bits 4 to 15, PARTNO)."""

_PARTS = {
    "cortex-m0": 0xC20,
    "cortex-m0plus": 0xC60,
    "cortex-m1": 0xC21,
    "cortex-m3": 0xC23,
    "cortex-m4": 0xC24,
    "cortex-m7": 0xC27,
    "cortex-m23": 0xD20,
    "cortex-m33": 0xD21,
    "cortex-m35p": 0xD31,
    "cortex-m52": 0xD24,
    "cortex-m55": 0xD22,
    "cortex-m85": 0xD23,
}
"""PARTNO in the Technical Reference Manual of each."""


def addresses(board: Board) -> list[int]:
    """The words to read before anything is written."""
    chip = board.flash.chip if board.flash is not None else None
    return [CPUID, *([chip.address] if chip is not None else [])]


def words_in(output: str, line: re.Pattern[str]) -> dict[int, int]:
    """The words that a tool has read, by address: `line` finds both, in hexadecimal digits, in what it says of one."""
    return {int(address, 16): int(word, 16) for address, word in line.findall(output)}


def check_chip(board: Board, words: Mapping[int, int]) -> None:
    """Raises BoardError if `words`, read from these addresses, are another chip's. A word that could not be read counts
    as another's, too: what does not answer is not the board."""
    expected = _PARTS.get(board.core.cpu)
    found = words.get(CPUID)
    hint = "Nothing was written. Is this the project's board, or another one on the same probe?"
    if found is None:
        raise BoardError(
            "The probe is there, and no processor behind it answered.",
            hint=f"{hint} Is the board powered, and not locked?",
        )
    part = found >> 4 & 0xFFF
    if expected is not None and part != expected:
        name = next((name for name, number in _PARTS.items() if number == part), f"unknown ({found:#010x})")
        raise BoardError(
            f"{board.name} has a {board.core.cpu}; the processor behind the probe is a {name}.", hint=hint
        )
    chip = board.flash.chip if board.flash is not None else None
    if chip is None:
        return
    word = words.get(chip.address)
    if word is None or word & chip.mask != chip.value:
        said = f"{word & chip.mask:#010x}" if word is not None else "nothing"
        raise BoardError(
            f"The chip of {board.name} has {chip.value:#010x} at {chip.address:#010x}; the one behind the probe has {said}.",
            hint=hint,
        )

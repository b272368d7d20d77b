"""No image writes words that lock a chip: over every packaged board."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mcu_sdk.board.board import Board, board_names, load_board
from mcu_sdk.board.memory import Reserved
from mcu_sdk.board.reserved import check_reserved
from mcu_sdk.errors import BoardError, BuildError
from mcu_sdk.targets.flash.segments import Segment, check_segments
from tests.boards.chips import CHECKED
from tests.boards.machine import stored

SILICON = [name for name in board_names() if load_board(name).clock is not None]


def test_every_chip_is_among_those_whose_registers_are_checked() -> None:
    assert set(SILICON) == set(CHECKED)


@pytest.mark.parametrize("name", SILICON)
def test_an_image_leaves_them_alone(name: str, tiny_elf: Callable[[str], Path]) -> None:
    """And it has every byte in memory that keeps it without power, unless a boot ROM loads it into RAM."""
    board = load_board(name)
    image = list(stored(tiny_elf(name)))
    check_reserved(board, image)
    check_segments([Segment(*each) for each in image], board)
    assert board.placement is not None
    loaded = board.regions[board.placement.code[0]].kind == "ram"
    kept = [region for region in board.region if loaded or region.kind == "rom"]
    kept_words = [words for words in board.reserved if words.contents]
    for address, data in image:
        assert any(
            part.origin <= address and address + len(data) <= part.end for part in (*kept, *kept_words)
        ), hex(address)


@pytest.mark.parametrize("name", CHECKED)
def test_one_byte_in_them_is_noticed(name: str, tiny_elf: Callable[[str], Path]) -> None:
    """The first, and the last, with a value that is nowhere right; and nothing flashes it."""
    board = load_board(name)
    image = list(stored(tiny_elf(name)))
    assert board.reserved, "every chip has such words: say where"
    for words in board.reserved:
        for address in (words.origin, words.end - 1):
            with pytest.raises(BoardError, match=words.name):
                check_reserved(board, [*image, (address, b"\x55")])
            with pytest.raises(BoardError, match=words.name):
                check_reserved(board, [*image, (address - 2, b"\x55" * 8)])
            with pytest.raises(BuildError, match=words.name):
                check_segments([Segment(address, b"\x55")], board)


def test_words_that_must_be_written_are_missed_if_they_are_not() -> None:
    board = _with(Reserved(name="words", origin=0x400, size=4, contents="fffffffe"))
    check_reserved(board, [(0x3FE, b"\0\0\xff\xff\xff\xfe\0")])
    for image in ([], [(0x400, b"\xff\xff\xff\xff")], [(0x400, b"\xff\xff\xff")], [(0x402, b"\xff\xfe")]):
        with pytest.raises(BoardError, match="must have fffffffe"):
            check_reserved(board, image)


def _with(words: Reserved) -> Board:
    return load_board("nrf52840-dk").model_copy(update={"reserved": (words,)})

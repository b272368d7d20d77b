"""Boards whose image nothing here can run: built and fitted. Unicorn knows no Helium, QEMU none of these chips.

What they do to their registers is seen in test_silicon.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mcu_sdk.board.board import list_boards, load_board
from mcu_sdk.board.core import check_core
from mcu_sdk.project.elf import read_sizes, symbols, uses_helium
from mcu_sdk.project.stack import stack_bound
from tests.boards.chips import BOARDS as IN_UNICORN

NAMES = sorted(
    board.name
    for board in list_boards()
    if not board.is_host and not board.simulator and board.name not in IN_UNICORN
)


def test_they_are_the_large_ones() -> None:
    assert {load_board(name).core.cpu for name in NAMES} == {"cortex-m55", "cortex-m85"}


@pytest.mark.parametrize("name", NAMES)
def test_the_firmware_lies_in_the_chips_memories(name: str, tiny_elf: Callable[[str], Path]) -> None:
    board = load_board(name)
    check_core(board)
    elf = tiny_elf(name)
    sizes = read_sizes(elf)
    inside = sum(sizes.by_region(board).values())
    assert inside >= sum(section.size for section in sizes.sections) > 8_000
    assert uses_helium(elf) and "_Z11board_startv" in symbols(elf)
    bound = stack_bound(elf)
    assert bound.bytes is not None and bound.bytes <= board.stack_bytes, bound.reason

from __future__ import annotations

import pytest

from mcu_sdk.errors import BoardError
from mcu_sdk.targets.flash.chip import CPUID, addresses, check_chip
from tests.targets.flash.images import make_board

M4, M33 = 0x410FC241, 0x410FD214
PART = 0x1000_0100
CHIP = {"gdb": {}, "chip": {"address": PART, "value": 0x840, "mask": 0xFFF}}


def test_the_processor_has_to_be_the_board_s() -> None:
    board = make_board(None)
    assert addresses(board) == [CPUID]
    check_chip(board, {CPUID: M4})
    with pytest.raises(
        BoardError, match="demo has a cortex-m4; the processor behind the probe is a cortex-m33"
    ):
        check_chip(board, {CPUID: M33})
    with pytest.raises(BoardError, match=r"is a unknown \(0x00000000\)"):
        check_chip(board, {CPUID: 0})
    with pytest.raises(BoardError, match="no processor behind it answered"):
        check_chip(board, {})


def test_the_chip_has_to_be_the_board_s() -> None:
    board = make_board(CHIP)
    assert addresses(board) == [CPUID, PART]
    check_chip(board, {CPUID: M4, PART: 0x52840})
    with pytest.raises(
        BoardError, match="has 0x00000840 at 0x10000100; the one behind the probe has 0x00000832"
    ):
        check_chip(board, {CPUID: M4, PART: 0x52832})
    with pytest.raises(BoardError, match="has nothing"):
        check_chip(board, {CPUID: M4})

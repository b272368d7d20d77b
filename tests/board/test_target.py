"""Targets of a board."""

from __future__ import annotations

import pytest

from mcu_sdk.board.board import load_board
from mcu_sdk.board.npu_target import NpuTarget
from mcu_sdk.board.target import choose_target
from mcu_sdk.errors import BoardError, UsageError

U55 = NpuTarget("ethos-u55-128", "Ethos_U55_High_End_Embedded", "Shared_Sram")


def test_the_processor_is_no_npu() -> None:
    board = load_board("corstone-300")
    assert choose_target(board, None) is None
    assert choose_target(board, "cortex-m55") is None


def test_an_npu_takes_what_the_board_says_of_its_memories() -> None:
    board = load_board("corstone-300")
    assert choose_target(board, "ethos-u55-128") == U55
    chosen = choose_target(board, "ethos-u65-512", memory_mode="Sram_Only", activation_bits=16)
    assert chosen == NpuTarget("ethos-u65-512", "Ethos_U65_High_End", "Sram_Only", 16)
    assert chosen.macs == 512
    default = choose_target(load_board("corstone-320"), None)
    assert default is not None and default.accelerator == "ethos-u85-256"


@pytest.mark.parametrize(
    ("target", "mode", "said"),
    [
        ("ethos-u85-256", None, "has no target 'ethos-u85-256'"),
        ("cortex-m7", None, "its targets are cortex-m55, ethos-u55-32"),
        ("ethos-u55-128", "Dedicated_Sram", "It knows Shared_Sram, Sram_Only"),
    ],
)
def test_what_the_board_does_not_have_is_refused(target: str, mode: str | None, said: str) -> None:
    with pytest.raises(BoardError) as caught:
        choose_target(load_board("corstone-300"), target, memory_mode=mode)
    assert said in str(caught.value) and caught.value.exit_code == 3


def test_a_memory_mode_without_an_npu_is_a_wrong_option() -> None:
    """As --activation-bits is (options/)."""
    with pytest.raises(UsageError, match="is a processor") as caught:
        choose_target(load_board("corstone-300"), "cortex-m55", memory_mode="Shared_Sram")
    assert caught.value.exit_code == 2 and "--memory-mode" in caught.value.hint

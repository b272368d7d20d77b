"""Targets of a board, and the NPU that a .pte was compiled for."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from mcu_sdk.compiler.ethos_u.target import NpuTarget
from mcu_sdk.compiler.pte import Delegate
from mcu_sdk.errors import BoardError, PteError
from mcu_sdk.project.board import load_board
from mcu_sdk.project.target import check_delegates, choose_target

U55 = NpuTarget("ethos-u55-128", "Ethos_U55_High_End_Embedded", "Shared_Sram")


@dataclass(frozen=True)
class WithDelegates:
    """What check_delegates reads of a .pte."""

    delegates: tuple[Delegate, ...]


def compiled_for(*accelerators: str) -> WithDelegates:
    return WithDelegates(tuple(Delegate("EthosUBackend", 0, 16, name) for name in accelerators))


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
        ("cortex-m55", "Shared_Sram", "is a processor"),
    ],
)
def test_what_the_board_does_not_have_is_refused(target: str, mode: str | None, said: str) -> None:
    with pytest.raises(BoardError) as caught:
        choose_target(load_board("corstone-300"), target, memory_mode=mode)
    assert said in str(caught.value) and caught.value.exit_code == 3


def test_a_pte_tells_its_npu() -> None:
    board = load_board("corstone-300")
    assert check_delegates(compiled_for(), board, None) is None  # type: ignore[arg-type]
    assert check_delegates(compiled_for("ethos-u55-128"), board, None) == U55  # type: ignore[arg-type]
    assert check_delegates(compiled_for("ethos-u55-128"), board, U55) == U55  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("accelerators", "npu", "said"),
    [
        (("ethos-u55-256",), U55, "compiled for ethos-u55-256; the target is ethos-u55-128"),
        (("ethos-u85-256",), None, "the board 'corstone-300' has"),
        (("ethos-u55-128", "ethos-u55-256"), None, "several NPUs"),
        ((), U55, "Nothing in the .pte runs on an NPU"),
    ],
)
def test_a_pte_for_another_npu_is_refused(
    accelerators: tuple[str, ...], npu: NpuTarget | None, said: str
) -> None:
    with pytest.raises(PteError) as caught:
        check_delegates(compiled_for(*accelerators), load_board("corstone-300"), npu)  # type: ignore[arg-type]
    assert said in str(caught.value) and caught.value.exit_code == 3

"""The NPU that a .pte was compiled for."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from mcu_sdk.board.board import Board, load_board
from mcu_sdk.board.npu_target import NpuTarget
from mcu_sdk.board.target import choose_target
from mcu_sdk.errors import PteError
from mcu_sdk.planning.delegates import check_delegates
from mcu_sdk.planning.pte.read import Delegate

U55 = NpuTarget("ethos-u55-128", "Ethos_U55_High_End_Embedded", "Shared_Sram")


@dataclass(frozen=True)
class WithDelegates:
    """What check_delegates reads of a .pte."""

    all_delegates: tuple[Delegate, ...]


def compiled_for(*accelerators: str) -> WithDelegates:
    return WithDelegates(tuple(Delegate("EthosUBackend", 0, 16, name) for name in accelerators))


def checked(board: Board, *accelerators: str, chosen: str | None = None) -> NpuTarget | None:
    npu = choose_target(board, chosen)
    return check_delegates(compiled_for(*accelerators), board, npu, chosen=chosen)  # type: ignore[arg-type]


def test_a_pte_tells_its_npu() -> None:
    board = load_board("corstone-300")
    assert checked(board) is None
    assert checked(board, "ethos-u55-128") == U55
    assert checked(board, "ethos-u55-128", chosen="ethos-u55-128") == U55


@pytest.mark.parametrize(
    ("accelerators", "chosen", "said"),
    [
        (("ethos-u55-256",), "ethos-u55-128", "compiled for ethos-u55-256; the target is ethos-u55-128"),
        (("ethos-u55-256",), "cortex-m55", "compiled for ethos-u55-256; the target is cortex-m55"),
        (("ethos-u85-256",), None, "the board 'corstone-300' has"),
        (("ethos-u55-128", "ethos-u55-256"), None, "several NPUs"),
        ((), "ethos-u55-128", "Nothing in the .pte runs on an NPU"),
    ],
)
def test_a_pte_for_another_target_is_refused(
    accelerators: tuple[str, ...], chosen: str | None, said: str
) -> None:
    with pytest.raises(PteError) as caught:
        checked(load_board("corstone-300"), *accelerators, chosen=chosen)
    assert said in str(caught.value) and caught.value.exit_code == 3

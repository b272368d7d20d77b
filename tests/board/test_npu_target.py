"""Names of NPUs, systems and memory modes, held against Vela's configuration."""

from __future__ import annotations

import importlib.util

import pytest

from mcu_sdk.board.board import Board, list_boards
from mcu_sdk.board.npu_target import ACCELERATORS, NpuTarget, default_target
from mcu_sdk.board.target import choose_target
from mcu_sdk.errors import BoardError, ToolMissingError


@pytest.mark.parametrize("name", ACCELERATORS)
def test_default_target_is_known_to_vela(name: str) -> None:
    target = default_target(name)
    target.check()
    assert target.accelerator.startswith(f"ethos-{target.family}-")
    assert target.macs == int(name.split("-")[-1])


@pytest.mark.parametrize("board", list_boards(), ids=lambda board: board.name)
def test_default_targets_are_the_boards_own(board: Board) -> None:
    """What `evaluate` measures is what `generate` compiles."""
    for name in set(board.targets) & set(ACCELERATORS):
        assert choose_target(board, name) == default_target(name)


@pytest.mark.parametrize(
    ("target", "named"),
    [
        (NpuTarget("ethos-u55-100", "Ethos_U55_High_End_Embedded", "Shared_Sram"), "ethos-u55-100"),
        (NpuTarget("ethos-u55-128", "Ethos_U85_SYS_DRAM_Mid", "Shared_Sram"), "Ethos_U85_SYS_DRAM_Mid"),
        (NpuTarget("ethos-u55-128", "Ethos_U55_High_End_Embedded", "Nowhere"), "Nowhere"),
        (
            NpuTarget("ethos-u55-128", "Ethos_U55_High_End_Embedded", "Dedicated_Sram_384KB"),
            "Dedicated_Sram_384KB",
        ),
        (NpuTarget("ethos-u65-256", "Ethos_U65_High_End", "Dedicated_Sram_384KB"), "Dedicated_Sram_384KB"),
        (NpuTarget("ethos-u85-256", "Ethos_U85_SYS_DRAM_Mid", "Dedicated_Sram"), "Dedicated_Sram"),
    ],
)
def test_what_does_not_belong_together_is_refused(target: NpuTarget, named: str) -> None:
    with pytest.raises(BoardError) as caught:
        target.check()
    assert named in caught.value.message and "Choose one of" in caught.value.hint
    assert caught.value.exit_code == 3


def test_missing_vela_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "ethosu" else find(name, *rest)
    )
    with pytest.raises(ToolMissingError) as caught:
        default_target("ethos-u55-128").check()
    assert caught.value.hint == "Install it: pip install ethos-u-vela"
    assert caught.value.exit_code == 4

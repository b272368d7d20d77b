"""The cores that the kernels are compiled for: boards, whose flags, memories and simulators the tests use."""

from __future__ import annotations

import pytest

from mcu_sdk.board.board import Board, load_board

BOARDS: dict[str, Board] = {
    "cortex-m55": load_board("corstone-300"),
    "cortex-m3": load_board("mps2-an385"),
    "cortex-m4": load_board("mps2-an386"),
    "cortex-m7": load_board("mps2-an500"),
    "cortex-m33": load_board("mps2-an505"),
}

CORES = [pytest.param(core, marks=[] if core == "cortex-m55" else [pytest.mark.slow]) for core in BOARDS]
"""To compile all kernels for: in every run the core for which there is most code; what the others take is compiled for
the projects of other tests, and whole behind the marker `slow`."""

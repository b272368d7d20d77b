"""Weights that lie in several memories, some of them filled by start-up: the same bits, and the bytes that were said."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcu_sdk import api
from mcu_sdk.board.board import load_board
from mcu_sdk.generation import generate
from mcu_sdk.options import CompileOptions, GenerateRequest
from mcu_sdk.project.elf import ElfSizes, read_sizes
from tests.end_to_end.test_fit import linked

TESTS = Path(__file__).parents[1]
PTE = TESTS / "fixtures" / "executorch-1.4.1" / "decoder-rows.pte"

SMALLER = {
    "copies-an386": {"64K": "14K", "24K": "6K", "16K": "3K"},
    "loaded-an500": {"64K": "19K", "48K": "12K"},
}
"""Sizes of regions in the boards of tests/data, and those that a file of 27 KB does not fit in one."""


def small_board(name: str, folder: Path) -> Path:
    text = (TESTS / "data" / "boards" / name / "board.toml").read_text(encoding="utf-8")
    for size, smaller in SMALLER[name].items():
        assert f'size = "{size}"' in text
        text = text.replace(f'size = "{size}"', f'size = "{smaller}"')
    (folder / "board.toml").write_text(text, encoding="utf-8")
    return folder


def constants_in(sizes: ElfSizes) -> dict[str, tuple[int, bool]]:
    """Of each section with constants its bytes, and whether start-up copies it."""
    return {s.name: (s.size, s.load is not None) for s in sizes.sections if s.name.startswith(".weights")}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["copies-an386", "loaded-an500"])
def test_a_device_with_divided_weights_computes_what_the_host_does(name: str, tmp_path: Path) -> None:
    board = load_board(small_board(name, tmp_path))
    made = generate(
        GenerateRequest(str(tmp_path / "board.toml"), CompileOptions(), pte=PTE, output=tmp_path / "p")
    )
    assert len(made.layout.pieces) >= 3 and made.sizes is not None
    verified = api.verify(tmp_path / "p", ids=(1, 5, 7, 2), tokens=8, with_python=False)
    assert verified.verdict.ok, verified.verdict

    program = tmp_path / "p" / "build" / "release" / "firmware.elf"
    sizes = read_sizes(program)
    assert constants_in(sizes) == {
        f".weights_{piece.region}": (piece.size, name == "copies-an386" and piece.region != "flash")
        for piece in made.layout.pieces
    }
    found = linked(program, board)
    for region, used in made.layout.used.items():
        assert found[region] <= used <= found[region] * 1.05, (region, found, made.layout.used)

    report = verified.report.to_json()
    assert report["weights_bytes"] == sum(piece.size for piece in made.layout.pieces)
    if board.clock is None:
        assert report["bound"] is None
    else:
        assert report["bound"]["counted"] == "measured"
        assert report["bound"]["instructions"] == report["run"]["instructions_last"]
        read = {region["name"]: region["bytes"] for region in report["bound"]["regions"]}
        assert set(read) >= {piece.region for piece in made.layout.pieces}
        assert f"{report['bound']['limit']}, no measurement" in verified.report.to_markdown()

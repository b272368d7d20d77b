"""What it brings to divide the bundled model's weights over a board's memories: the bound of tokens per second with all
constants in one region, the last that the board file names for weights, and with each where a step costs least.

    .venv/bin/python tools/division_table.py [BOARD ...] [--write]

`--write` puts the table into docs/size.md. Boards are names or folders; without any, those of BOARDS.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from mcu_sdk.board.board import load_board  # noqa: E402
from mcu_sdk.generated import Generated  # noqa: E402
from mcu_sdk.generation import generate  # noqa: E402
from mcu_sdk.options import CompileOptions, GenerateRequest  # noqa: E402
from mcu_sdk.planning.bound import Bound, bound_from_json  # noqa: E402

BOARDS = ("teensy41", "mimxrt1060-evk")
LENGTHS = (512, 128)
PAGE = ROOT / "docs" / "size.md"
BEGIN, END = "<!-- division -->", "<!-- end of division -->"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("boards", nargs="*")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    lines = [
        "| board | cache | one region | tokens/s at most | divided | tokens/s at most | limited by | times |",
        "|---|---:|---|---:|---|---:|---|---:|",
    ]
    for board in arguments.boards or BOARDS:
        lines += [_row(_folder(board), length) for length in LENGTHS]
    table = "\n".join(lines)
    print(table)
    if arguments.write:
        text = PAGE.read_text(encoding="utf-8")
        head, _, rest = text.partition(BEGIN)
        PAGE.write_text(f"{head}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    return 0


def _folder(board: str) -> Path:
    """A board's folder: as it is named, among those of the tests, or packaged."""
    places = (Path(board), ROOT / "tests" / "data" / "boards" / board, ROOT / "boards" / board)
    return next(place for place in places if (place / "board.toml").is_file())


def _row(folder: Path, length: int) -> str:
    board = load_board(folder)
    assert board.placement is not None
    slowest = board.placement.weights[-1]
    with tempfile.TemporaryDirectory() as temporary:
        divided = _generated(folder, length, Path(temporary) / "divided")
        one = Path(temporary) / "board"
        one.mkdir()
        text = (folder / "board.toml").read_text(encoding="utf-8")
        text = re.sub(r"^weights = .*$", f'weights = "{slowest}"', text, count=1, flags=re.MULTILINE)
        (one / "board.toml").write_text(text, encoding="utf-8")
        whole = _generated(one, length, Path(temporary) / "whole")
    before, after = _bound(whole), _bound(divided)
    pieces = ", ".join(f"{piece.region} {piece.size / 1024:,.0f} KB" for piece in divided.layout.pieces)
    return (
        f"| `{board.name}` | {length} | {slowest} | {before.per_second:.0f} | {pieces} | {after.per_second:.0f} "
        f"| {after.limit} | {after.per_second / before.per_second:.1f} |"
    )


def _generated(board: Path, length: int, output: Path) -> Generated:
    return generate(GenerateRequest(str(board / "board.toml"), CompileOptions(length), output=output))


def _bound(made: Generated) -> Bound:
    bound = bound_from_json(made.facts["bound"])
    assert bound is not None
    return bound


if __name__ == "__main__":
    sys.exit(main())

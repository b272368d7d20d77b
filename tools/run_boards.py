"""The bundled model on every packaged board, as `generate --board X` makes it; to docs/boards.md.

    .venv/bin/python tools/run_boards.py [BOARD ...]        (or: make boards)

Each firmware is built, and runs where something runs its board: in QEMU, else whole in unicorn with every register held
against the chip's description. What it computes is compared with this computer. With names, nothing is written.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.document import replace_block  # noqa: E402
from mcu_sdk.board.board import Board, board_names, load_board  # noqa: E402
from mcu_sdk.markdown import cell  # noqa: E402
from mcu_sdk.targets.protocol import Listener, Request  # noqa: E402
from tests.boards.chips import BOARDS, chip_of  # noqa: E402
from tests.boards.machine import Machine  # noqa: E402

PAGE = ROOT / "docs" / "boards.md"
WORK = ROOT / "build" / "boards"
REQUEST = Request(ids=(1, 2, 3), tokens=8)
HEAD = (
    "| board | core | chosen to fit | flash | RAM | how it was run | digest, as on the host | tokens a second, at most |",
    "|---|---|---|---:|---:|---|---|---:|",
)


@dataclass(frozen=True)
class Row:
    """What there is to say of a board. `right`: nothing was other than expected."""

    board: Board
    cells: Sequence[str]
    right: bool = True

    def text(self) -> str:
        core = self.board.core
        extra = "Helium" if core.helium else "FPU" if core.fpu else "no FPU"
        return f"| `{self.board.name}` | {core.cpu.removeprefix('cortex-').upper()}, {extra} | {' | '.join(self.cells)} |"


def main(names: Sequence[str]) -> int:
    """Exit code 0 where every board that runs anywhere has the host's digest."""
    rows = []
    for name in names or [name for name in board_names() if not load_board(name).is_host]:
        row = look_at(load_board(name))
        print(row.text(), file=sys.stderr, flush=True)
        rows.append(row)
    if not names:
        replace_block(PAGE, "bundled model", "\n".join([*HEAD, *(row.text() for row in rows)]))
    return 0 if all(row.right for row in rows) else 1


def look_at(board: Board) -> Row:
    """One board, from `generate` to the digest."""
    project = WORK / board.name
    shutil.rmtree(project, ignore_errors=True)
    code, made = mcu_sdk("generate", "--board", board.name, "--output", str(project))
    if code:
        reason = cell(made["error"].removeprefix("error: ").split(". ")[0])
        return Row(board, [f"refused: {reason}", "", "", "", "", ""])
    chosen = made["chosen"].replace("the bundled model ", "") or "as it is"
    bound = made.get("bound")
    most = f"{bound['per_second']:,.1f}" if bound else ""
    code, built = mcu_sdk("build", str(project))
    if code:
        return Row(board, [chosen, "", "", f"build: exit {code}", "", most], right=False)
    sizes = [f"{built['flash_bytes']:,}", f"{built['ram_bytes']:,}"]
    how, digest = run(board, project)
    if not how:
        return Row(board, [chosen, *sizes, "built and fitted", "", most])
    host = digest_of(run_verb(project, "host"))
    said = f"`{digest}`" if digest == host else f"`{digest}`, host `{host}`: DIFFERS"
    return Row(board, [chosen, *sizes, how, said, most], right=digest == host)


def run(board: Board, project: Path) -> tuple[str, str]:
    """(by what the firmware was run, the digest that it printed); nothing where nothing runs it."""
    how, digest = "", ""
    if "qemu" in board.simulator:
        how, digest = "QEMU", digest_of(run_verb(project, "qemu"))
    if board.name in BOARDS:
        number = 7
        machine = Machine(board, chip_of(board.name), project / "build" / "release" / "firmware.elf")
        listener = Listener(number)
        listener.feed(machine.run(REQUEST.encode(number)).output)
        found = listener.transcript().digest or ""
        if digest and found != digest:
            return f"{how}; unicorn", f"{digest} and {found}"
        how, digest = f"{how}, unicorn" if how else "unicorn", found
    return how, digest


def run_verb(project: Path, simulator: str) -> dict[str, Any]:
    ids = ",".join(str(each) for each in REQUEST.ids or ())
    code, found = mcu_sdk(
        "run", str(project), "--ids", ids, "--tokens", str(REQUEST.tokens), "--simulator", simulator
    )
    return found if code == 0 else {}


def digest_of(found: dict[str, Any]) -> str:
    return str(found.get("run", {}).get("digest", "none"))


def mcu_sdk(*arguments: str) -> tuple[int, dict[str, Any]]:
    """A command's exit code and what its --json says, or its error."""
    command = [sys.executable, "-m", "mcu_sdk.cli", "--quiet", *arguments, "--json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout) if done.returncode == 0 else {
        "error": done.stderr.strip()
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

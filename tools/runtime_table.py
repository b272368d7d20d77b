"""The bundled model under its compiled plan and under ExecuTorch's own runtime: flash, RAM and instructions on a simulated
board, and what the runtime's memory was predicted to be and is.

    .venv/bin/python tools/runtime_table.py [--executorch BOARD=FOLDER ...] [--write]

FOLDER has the executorch-config.cmake of an ExecuTorch that was built for the board's core; a board without one is compiled
against the installed headers and not linked, and its row says so. `--write` puts the tables into docs/executorch.md.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from mcu_sdk import api  # noqa: E402
from mcu_sdk.generation import generate  # noqa: E402
from mcu_sdk.options import GenerateRequest  # noqa: E402
from mcu_sdk.planning.executorch_memory import BITS_32, BITS_64, memory_of  # noqa: E402
from mcu_sdk.planning.pte.program import read_program  # noqa: E402
from mcu_sdk.planning.pte.read import read_pte  # noqa: E402
from mcu_sdk.project.build import build  # noqa: E402
from mcu_sdk.project.elf import ElfSizes  # noqa: E402
from mcu_sdk.project.executorch import Runtime  # noqa: E402
from mcu_sdk.project.host_library import HostModel  # noqa: E402
from mcu_sdk.project.installed import PLACE  # noqa: E402
from mcu_sdk.resources import bundled_model  # noqa: E402

BOARDS = {"corstone-300": "Cortex-M55", "mps2-an386": "Cortex-M4"}
PROMPT, TOKENS = "ROMEO:", 24
FILES = ("decoder-packed", "decoder-rows")
"""Of tests/fixtures, for the predicted memory."""
PAGE = ROOT / "docs" / "executorch.md"
RUNTIMES = "<!-- runtimes -->", "<!-- end of runtimes -->"
PREDICTED = "<!-- predicted -->", "<!-- end of predicted -->"

Facts = dict[str, str]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--executorch", action="append", default=[], metavar="BOARD=FOLDER")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    places = dict(given.split("=", 1) for given in arguments.executorch)
    with tempfile.TemporaryDirectory() as folder:
        runtimes, on_boards = _runtimes(places, Path(folder))
        predicted = [*on_boards, *_predicted(Path(folder))]
    head = [
        "| file | method | predicted | used | temporary, has to be there | predicted to be used | used |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    tables = {RUNTIMES: runtimes, PREDICTED: [*head, *predicted]}
    for (begin, end), lines in tables.items():
        print("\n".join(lines), end="\n\n")
        if arguments.write:
            text = PAGE.read_text(encoding="utf-8")
            first, _, rest = text.partition(begin)
            table = "\n".join([begin, *lines, end])
            PAGE.write_text(f"{first}{table}{rest.partition(end)[2]}", encoding="utf-8")
    return 0


def _runtimes(places: dict[str, str], folder: Path) -> tuple[list[str], list[str]]:
    """The rows of both runtimes on each board; and of what was predicted for the boards that ran."""
    lines = [
        "| board | runtime | code | image | RAM | instructions, last token | all | digest |",
        "|---|---|---:|---:|---:|---:|---:|---|",
    ]
    predicted = []
    for board, core in BOARDS.items():
        plan, _ = _measured(board, "plan", folder)
        lines.append(_row(board, core, "compiled plan", plan))
        if board in places:
            official, project = _measured(board, "executorch", folder, places[board])
            if official["digest"] != plan["digest"]:
                sys.exit(f"{board}: the plan's digest is {plan['digest']}, ExecuTorch's {official['digest']}")
            lines.append(_row(board, core, "ExecuTorch's", official))
            predicted.append(_on_board(board, official, project))
        else:
            made = _generated(board, "executorch", folder)
            objects = build(made, objects=True).objects.values()
            code = sum(sizes.code for sizes in objects)
            lines.append(
                f"| {board} ({core}) | ExecuTorch's, not linked | {code:,} and the runtime's own | | | | | |"
            )
    return lines, predicted


def _generated(board: str, runtime: Runtime, folder: Path) -> Path:
    output = folder / f"{board}-{runtime}"
    return generate(GenerateRequest(board, output=output, runtime=runtime)).project


def _measured(board: str, runtime: Runtime, folder: Path, place: str | None = None) -> tuple[Facts, Path]:
    """What a run in the board's simulator says, with sizes of the image."""
    project = _generated(board, runtime, folder)
    if place is not None:
        os.environ[PLACE] = place
    built = build(project)
    ran = api.run(project, prompt=PROMPT, tokens=TOKENS)
    os.environ.pop(PLACE, None)
    assert built.sizes is not None
    facts = dict(ran.transcript.facts)
    return facts | _sizes(built.sizes), project


def _sizes(sizes: ElfSizes) -> Facts:
    ram = sum(sizes.size(f".{name}") for name in ("data", "bss", "arena", "kv_cache", "stack"))
    return {"image": f"{sizes.flash:,}", "code": f"{sizes.code:,}", "ram": f"{ram:,}"}


def _row(board: str, core: str, runtime: str, facts: Facts) -> str:
    last, all_of_them = (int(facts[f"instructions_{name}"]) for name in ("last", "total"))
    return (
        f"| {board} ({core}) | {runtime} | {facts['code']} | {facts['image']} | {facts['ram']} | {last:,} | "
        f"{all_of_them:,} | {facts['digest']} |"
    )


def _on_board(board: str, facts: Facts, project: Path) -> str:
    """Of a core of 32 bits, as its firmware says."""
    data = (project / "model" / "model.pte").read_bytes()
    taken = memory_of(read_program(data).execution_plan, read_pte(data), BITS_32)["forward"]
    words = [f"{int(facts[name]):,}" for name in ("forward_bytes", "forward_used", "temporary_bytes")]
    words += [f"{taken.temporary_used:,}", f"{int(facts['temporary_used']):,}"]
    return f"| {bundled_model().name}, on {board} | forward | {' | '.join(words)} |"


def _predicted(folder: Path) -> list[str]:
    """Of 64 bits, on this computer."""
    lines = []
    for name in FILES:
        pte = ROOT / "tests" / "fixtures" / "executorch-1.4.1" / f"{name}.pte"
        request = GenerateRequest("host", pte=pte, output=folder / name, runtime="executorch")
        library = build(generate(request).project, "host").library
        assert library is not None
        model = HostModel(library)
        model.tokens([5, 9, 11, 2])
        data = pte.read_bytes()
        taken = memory_of(read_program(data).execution_plan, read_pte(data), BITS_64)
        used = model.runtime_memory()
        for method, memory in taken.items():
            lines.append(
                f"| {name}, on this computer | {method} | {memory.method_allocator:,} | {used[method][1]:,} | "
                f"{memory.temporary:,} | {memory.temporary_used:,} | {used['temporary'][1]:,} |"
            )
    return lines


if __name__ == "__main__":
    sys.exit(main())

"""What becomes of every encoder of tests/models/encoders on the host and on three cores; to docs/models.md.

.venv/bin/python tools/encoder_families.py [--found FILE] [--cores FAMILIES] [family ...]        (or: make encoders)

`--found` keeps each family's row as soon as it is measured, and takes those that it has if they are of this code: a run
that was cut short goes on where it was. `--cores` names those that are run on an M55, an M4 and an M33, too, by commas
(all of them; "none"). Models are compiled anew in each run, in a cache of its own.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.document import replace_block  # noqa: E402
from mcu_sdk.board.board import load_board  # noqa: E402
from mcu_sdk.cache import sources_digest  # noqa: E402
from mcu_sdk.console import quiet_libraries, set_quiet  # noqa: E402
from mcu_sdk.generation import generate  # noqa: E402
from mcu_sdk.options import CompileOptions, GenerateRequest  # noqa: E402
from mcu_sdk.project.accuracy import accuracy_of  # noqa: E402
from mcu_sdk.project.build import build  # noqa: E402
from mcu_sdk.targets import host, qemu  # noqa: E402
from mcu_sdk.targets.protocol import Request  # noqa: E402
from tests.checkpoints import ENCODERS, encoder_length, make_encoder  # noqa: E402

PAGE = ROOT / "docs" / "models.md"
HEAD = (
    "| family | class | calls | int8 | left in float: products, softmax | exported | fused | int8: RMS | M55, M4, M33 |",
    "|---|---|---:|---:|---:|---:|---:|---:|---|",
)
CORES = {"M55": "corstone-300", "M4": "mps2-an386", "M33": "mps2-an505"}
REQUEST = Request(steps=3, seed=1)
PRODUCTS = ("aten::bmm", "aten::mm", "aten::linear", "aten::addmm", "aten::_softmax")
TURNS = ("permute_copy", "transpose", "slice_copy", "cat", "_clone_dim_order", "view_copy", "select_copy")
"""Moves of elements, which have no arithmetic of either kind."""


def row_of(family: str, folder: Path) -> dict[str, Any]:
    """Compile one for the host: its calls by kind, and how far each step is from the checkpoint."""
    checkpoint = make_encoder(family, folder)
    options = CompileOptions(encoder_length(family))
    made = generate(GenerateRequest("host", options, model=str(checkpoint), output=folder / f"{family}-host"))
    accuracy = accuracy_of(made.facts)
    assert accuracy is not None
    calls = Counter(planned.instruction.operator for planned in made.plan.calls)
    computing = {name: n for name, n in calls.items() if name.rpartition("::")[2] not in TURNS}
    integer = sum(
        n for name, n in computing.items() if name.partition("::")[0] == "cortex_m" or "_s8" in name
    )
    return {
        "class": json.loads((checkpoint / "config.json").read_text())["architectures"][0],
        "calls": sum(calls.values()),
        "int8": integer / sum(computing.values()),
        "products": sum(calls[name] for name in PRODUCTS),
        "exported": accuracy.steps["exported"],
        "fused": accuracy.steps["fused"],
        "error": accuracy.relative_rms_error,
    }


def digests_of(family: str, folder: Path) -> dict[str, str]:
    """The digest of what the host computes, and each core, for the same inputs."""
    checkpoint = make_encoder(family, folder)
    options = CompileOptions(encoder_length(family))
    digests = {}
    for core, board in {"host": "host", **CORES}.items():
        request = GenerateRequest(board, options, model=str(checkpoint), output=folder / f"{family}-{core}")
        program = build(generate(request).project, "host" if core == "host" else "release").program
        run = (
            host.run(program, REQUEST)
            if core == "host"
            else qemu.run(load_board(board), program, REQUEST, timeout=900)
        )
        assert run.digest is not None
        digests[core] = run.digest
    return digests


def code_digest() -> str:
    """Of all that decides a row: the SDK, the firmware, and the models."""
    digest = hashlib.sha256(sources_digest().encode())
    for path in sorted(
        [*(ROOT / "firmware").rglob("*"), *(ROOT / "tests" / "models" / "encoders").glob("*.json")]
    ):
        if path.is_file():
            digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def compile_once(folder: Path) -> None:
    """Compile models in a cache of this run's own, and files of the firmware once for all of them, if there is ccache."""
    os.environ["MCU_SDK_CACHE"] = str(folder / "cache")
    if shutil.which("ccache"):
        os.environ.update(
            CMAKE_C_COMPILER_LAUNCHER="ccache",
            CMAKE_CXX_COMPILER_LAUNCHER="ccache",
            CCACHE_DIR=str(folder / "ccache"),
            CCACHE_BASEDIR=str(folder),
            CCACHE_NOHASHDIR="1",
        )


def cores_cell(row: dict[str, Any]) -> str:
    """What the cores compute beside the host."""
    digests = row.get("digests")
    if digests is None:
        return "not run"
    others = [core for core in CORES if digests[core] != digests["host"]]
    return f"other bits: {', '.join(others)}" if others else f"`{digests['host'][:8]}`"


def table_of(found: dict[str, Any]) -> list[str]:
    """The lines of the table; without its last column where nothing ran on the cores."""
    lines = [
        *HEAD,
        *(
            f"| {family} | {row['class']} | {row['calls']} | {row['int8']:.0%} | {row['products']} | "
            f"{row['exported']:.1e} | {row['fused']:.1e} | {row['error']:.4f} | {cores_cell(row)} |"
            for family, row in sorted(found.items())
        ),
    ]
    if any("digests" in row for row in found.values()):
        return lines
    return [line[: line.rindex("|", 0, -1) + 1] for line in lines]


def main() -> int:
    """Measure each, and put the table into the page; 1 where a core computes other bits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("families", nargs="*", help="measure these again")
    parser.add_argument("--found", type=Path, default=None, metavar="FILE")
    parser.add_argument("--cores", default=",".join(ENCODERS), metavar="FAMILIES")
    arguments = parser.parse_args()
    set_quiet(True)
    code, found = code_digest(), {}
    if arguments.found is not None and arguments.found.exists():
        kept = json.loads(arguments.found.read_text())
        found = kept["rows"] if kept["code"] == code else {}
    found = {family: row for family, row in found.items() if family not in arguments.families}

    def keep() -> None:
        if arguments.found is not None:
            arguments.found.write_text(json.dumps({"code": code, "rows": found}, indent=1) + "\n")

    with tempfile.TemporaryDirectory() as name, quiet_libraries():
        folder = Path(name)
        compile_once(folder)
        for family in ENCODERS:
            if family not in found:
                print(family, file=sys.stderr, flush=True)
                found[family] = row_of(family, folder)
                keep()
        for family in arguments.cores.split(","):
            if family in found and "digests" not in found[family]:
                print(family, *CORES, file=sys.stderr, flush=True)
                found[family]["digests"] = digests_of(family, folder)
                keep()
    replace_block(PAGE, "encoders", "\n".join(table_of(found)))
    return int(any(cores_cell(row).startswith("other") for row in found.values()))


if __name__ == "__main__":
    sys.exit(main())

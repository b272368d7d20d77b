"""What becomes of every encoder of tests/models/encoders on the host and on three cores; to docs/models.md.

.venv/bin/python tools/encoder_families.py [--found FILE] [--jobs N] [--cores FAMILIES] [family ...]   (or: make encoders)

`--found` keeps each family's row as soon as it is measured, and what was compiled in a folder beside it: a run that was cut
short goes on where it was, a row stays as long as the SDK, the firmware and the family's configuration are those that made
it, and a core's digest as long as the project for it is the same, file by file. `--cores` names those that are run on an
M55, an M4 and an M33, too, by commas (all of them; "none"). Families that are given are measured again. The page says of
each row what it ran on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.document import replace_block  # noqa: E402
from mcu_sdk.board.board import load_board  # noqa: E402
from mcu_sdk.cache import key_of  # noqa: E402
from mcu_sdk.console import quiet_libraries, set_quiet  # noqa: E402
from mcu_sdk.errors import McuSdkError  # noqa: E402
from mcu_sdk.generated import Generated  # noqa: E402
from mcu_sdk.generation import generate  # noqa: E402
from mcu_sdk.options import CompileOptions, GenerateRequest  # noqa: E402
from mcu_sdk.project.accuracy import accuracy_of  # noqa: E402
from mcu_sdk.project.build import build  # noqa: E402
from mcu_sdk.targets import host, qemu  # noqa: E402
from mcu_sdk.targets.protocol import Request  # noqa: E402
from tests.checkpoints import ENCODERS, MODELS, encoder_length, make_encoder  # noqa: E402

PAGE = ROOT / "docs" / "models.md"
HEAD = (
    "| family | class | calls | int8 | left in float: products, softmax | exported | fused | int8: RMS | ran on: digest |",
    "|---|---|---:|---:|---:|---:|---:|---:|---|",
)
HOST = "host"
CORES = {HOST: "host", "M55": "corstone-300", "M4": "mps2-an386", "M33": "mps2-an505"}
REQUEST = Request(steps=3, seed=1)
PRODUCTS = ("aten::bmm", "aten::mm", "aten::linear", "aten::addmm", "aten::_softmax")
TURNS = ("permute_copy", "transpose", "slice_copy", "cat", "_clone_dim_order", "view_copy", "select_copy")
"""Moves of elements, which have no arithmetic of either kind."""

Row = dict[str, Any]


def measured(family: str, folder: Path, before: Mapping[str, Any], on_cores: bool) -> Row:
    """The row of a family: its calls by kind, how far each step is from the checkpoint, and, `on_cores`, by core the
    project that ran there and the digest of what it computed. Of a project that `before` has, that digest."""
    checkpoint = make_encoder(family, folder / "checkpoints")
    runs: dict[str, Any] = {}
    row: Row = {}
    for core, board in (CORES if on_cores else {HOST: CORES[HOST]}).items():
        output = folder / "projects" / f"{family}-{core}"
        shutil.rmtree(output, ignore_errors=True)
        options = CompileOptions(encoder_length(family))
        made = generate(GenerateRequest(board, options, model=str(checkpoint), output=output))
        row = row or _facts_of(made, checkpoint)
        if on_cores:
            project = project_digest(output)
            known = before.get("runs", {}).get(core, {})
            digest = known["digest"] if known.get("project") == project else _run(core, output)
            runs[core] = {"project": project, "digest": digest}
        shutil.rmtree(output)
    return {**row, **({"runs": runs} if runs else {})}


def _facts_of(made: Generated, checkpoint: Path) -> Row:
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


def _run(core: str, project: Path) -> str:
    """Build a project and run it; the digest of its results."""
    program = build(project, "host" if core == HOST else "release").program
    if core == HOST:
        digest = host.run(program, REQUEST).digest
    else:
        digest = qemu.run(load_board(CORES[core]), program, REQUEST, timeout=900).digest
    assert digest is not None
    return digest


def project_digest(project: Path) -> str:
    """Of the name and the content of each file of a project, or of another folder, but where its inputs lie on this computer."""
    digest = hashlib.sha256()
    for path in sorted(project.rglob("*")):
        if path.is_file() and path.parent.name != ".mcu-sdk":
            name = path.relative_to(project).as_posix().encode()
            digest.update(name + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def keys_of(families: Sequence[str]) -> dict[str, str]:
    """A key for each family from all that decides its row: the SDK, its packages, the firmware, and the model."""
    firmware = [project_digest(ROOT / part) for part in ("firmware", "templates", "boards")]
    made = (ROOT / "tests" / "checkpoints.py").read_text(), Path(__file__).read_text()
    shared = key_of({"firmware": firmware, "made": made})
    models = {family: (MODELS / "encoders" / f"{family}.json").read_bytes() for family in families}
    return {family: hashlib.sha256(shared.encode() + model).hexdigest() for family, model in models.items()}


def compile_once(folder: Path) -> None:
    """Compile models in a cache of the folder's own, and files of the firmware once for all of them, if there is ccache."""
    os.environ["MCU_SDK_CACHE"] = str(folder / "cache")
    if shutil.which("ccache"):
        os.environ.update(
            CMAKE_C_COMPILER_LAUNCHER="ccache",
            CMAKE_CXX_COMPILER_LAUNCHER="ccache",
            CCACHE_DIR=str(folder / "ccache"),
            CCACHE_BASEDIR=str(folder),
            CCACHE_NOHASHDIR="1",
        )


def _worker(folder: Path) -> None:
    import torch

    torch.set_num_threads(1)
    set_quiet(True)
    compile_once(folder)


def _measured(family: str, folder: Path, before: Mapping[str, Any], on_cores: bool) -> Row:
    """A row, or why there is none."""
    try:
        with quiet_libraries():
            return measured(family, folder, before, on_cores)
    except (McuSdkError, AssertionError) as error:
        return {"failed": f"{type(error).__name__}: {error}"}


def rows_of(
    families: Sequence[str], folder: Path, before: Mapping[str, Row], cores: Sequence[str], jobs: int
) -> Iterator[tuple[str, Row]]:
    """Each family and its row, as soon as it is there; `jobs` are measured at a time."""
    given = [(family, folder, before.get(family, {}), family in cores) for family in families]
    if jobs == 1:
        _worker(folder)
        for one in given:
            yield one[0], _measured(*one)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, _worker, (folder,)) as pool:
        pending = {pool.submit(_measured, *one): one[0] for one in given}
        for done in as_completed(pending):
            yield pending[done], done.result()


def cores_cell(row: Row) -> str:
    """What a row ran on, and what was computed there; on all of them the same bits, or where not."""
    runs = row.get("runs")
    if runs is None:
        return "compiled, not run"
    digest = runs[HOST]["digest"]
    others = [core for core in CORES if runs[core]["digest"] != digest]
    return (
        f"other bits than the host: {', '.join(others)}" if others else f"{', '.join(CORES)}: `{digest[:8]}`"
    )


def table_of(found: Mapping[str, Row]) -> list[str]:
    """The lines of the table."""
    return [
        *HEAD,
        *(
            f"| {family} | {row['class']} | {row['calls']} | {row['int8']:.0%} | {row['products']} | "
            f"{row['exported']:.1e} | {row['fused']:.1e} | {row['error']:.4f} | {cores_cell(row)} |"
            for family, row in sorted(found.items())
        ),
    ]


@contextmanager
def _folder(found: Path | None) -> Iterator[Path]:
    """Where models and firmware are compiled: beside what is kept, or for this run alone."""
    if found is None:
        with tempfile.TemporaryDirectory() as name:
            yield Path(name)
    else:
        folder = found.resolve().with_suffix("")
        folder.mkdir(parents=True, exist_ok=True)
        yield folder


def main() -> int:
    """Measure each, and put the table into the page; 1 where a core computes other bits, or a family fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "families", nargs="*", help="measure these again", choices=[[], *ENCODERS], metavar="family"
    )
    parser.add_argument("--found", type=Path, default=None, metavar="FILE")
    parser.add_argument("--jobs", type=int, default=2, help="measured at a time")
    parser.add_argument("--cores", default=",".join(ENCODERS), metavar="FAMILIES")
    arguments = parser.parse_args()
    set_quiet(True)
    cores = [] if arguments.cores == "none" else arguments.cores.split(",")
    unknown = sorted(set(cores) - set(ENCODERS))
    if unknown:
        parser.error(f"tests/models/encoders has no {', '.join(unknown)}")
    kept: dict[str, Row] = {}
    if arguments.found is not None and arguments.found.exists():
        kept = json.loads(arguments.found.read_text())
    keys = keys_of(ENCODERS)
    found = {
        family: kept[family]
        for family in ENCODERS
        if family not in arguments.families
        and kept.get(family, {}).get("key") == keys[family]
        and ("runs" in kept[family] or family not in cores)
    }
    wanted = [family for family in ENCODERS if family not in found]
    failed = []
    again = {family: {} for family in arguments.families}
    with _folder(arguments.found) as folder:
        for family, row in rows_of(wanted, folder, {**kept, **again}, cores, arguments.jobs):
            print(family, row.get("failed") or cores_cell(row), file=sys.stderr, flush=True)
            if "failed" in row:
                failed.append(family)
                continue
            found[family] = {"key": keys[family], **row}
            if arguments.found is not None:
                text = json.dumps({**kept, **found}, indent=1, sort_keys=True)
                arguments.found.write_text(text + "\n")
    if failed:
        print(f"error: no row of {', '.join(failed)}; {PAGE.name} stays as it was", file=sys.stderr)
        return 1
    replace_block(PAGE, "encoders", "\n".join(table_of(found)))
    return int(any(cores_cell(row).startswith("other") for row in found.values()))


if __name__ == "__main__":
    sys.exit(main())

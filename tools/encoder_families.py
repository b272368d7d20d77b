"""What becomes of every encoder of tests/models/encoders on the host; to docs/models.md.

.venv/bin/python tools/encoder_families.py [--found FILE] [family ...]        (or: make encoders)

`--found` keeps each family's row as soon as it is measured, and takes those that it has: a run that was cut short goes on
where it was. Delete the file to measure all again.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.document import replace_block  # noqa: E402
from mcu_sdk.console import quiet_libraries, set_quiet  # noqa: E402
from mcu_sdk.generation import generate  # noqa: E402
from mcu_sdk.options import CompileOptions, GenerateRequest  # noqa: E402
from mcu_sdk.project.accuracy import accuracy_of  # noqa: E402
from tests.checkpoints import ENCODERS, encoder_length, make_encoder  # noqa: E402

PAGE = ROOT / "docs" / "models.md"
HEAD = (
    "| family | class | calls | int8 | left in float: products, softmax | exported | fused | int8: RMS |",
    "|---|---|---:|---:|---:|---:|---:|---:|",
)
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


def main() -> int:
    """Measure each, and put the table into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("families", nargs="*", help="measure these again")
    parser.add_argument("--found", type=Path, default=None, metavar="FILE")
    arguments = parser.parse_args()
    set_quiet(True)
    found: dict[str, Any] = {}
    if arguments.found is not None and arguments.found.exists():
        found = json.loads(arguments.found.read_text())
    with tempfile.TemporaryDirectory() as folder, quiet_libraries():
        for family in ENCODERS:
            if family in found and family not in arguments.families:
                continue
            print(family, file=sys.stderr, flush=True)
            found[family] = row_of(family, Path(folder))
            if arguments.found is not None:
                arguments.found.write_text(json.dumps(found, indent=1) + "\n")
    rows = [
        f"| {family} | {row['class']} | {row['calls']} | {row['int8']:.0%} | {row['products']} | {row['exported']:.1e} | "
        f"{row['fused']:.1e} | {row['error']:.4f} |"
        for family, row in sorted(found.items())
    ]
    replace_block(PAGE, "encoders", "\n".join([*HEAD, *rows]))
    return 0


if __name__ == "__main__":
    sys.exit(main())

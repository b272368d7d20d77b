"""What the guard finds for every configuration of tests/models and for the bundled model; to docs/verification.md.

.venv/bin/python tools/guard_families.py        (or: make guard)
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.document import replace_block  # noqa: E402
from mcu_sdk.console import quiet_libraries, set_quiet  # noqa: E402
from mcu_sdk.model.load import find_checkpoint  # noqa: E402
from mcu_sdk.options import CompileOptions  # noqa: E402
from tests.checkpoints import FAMILIES, make_checkpoint  # noqa: E402

PAGE = ROOT / "docs" / "verification.md"
HEAD = (
    "| model | positions | allowed | exported | fused | int8: RMS | top-1 alike | KL |",
    "|---|---:|---:|---:|---:|---:|---:|---:|",
)


def main() -> int:
    """Compile each, and put the table of differences into the page."""
    from mcu_sdk.recipes.decoder import quantized_step

    set_quiet(True)
    rows = []
    with tempfile.TemporaryDirectory() as folder, quiet_libraries():
        sources = {"bundled": None, **{name: str(make_checkpoint(name, Path(folder))) for name in FAMILIES}}
        for name, source in sources.items():
            print(name, file=sys.stderr, flush=True)
            _, _, facts = quantized_step(find_checkpoint(source), CompileOptions(cache_length=64))
            guard, accuracy = facts["guard"], facts["accuracy"]
            rows.append(
                f"| {name} | {guard['positions']} | {guard['tolerance']:.1e} | {guard['exported']:.1e} | "
                f"{guard['fused']:.1e} | {accuracy['relative_rms_error']:.4f} | {accuracy['top1_agreement']:.1%} | "
                f"{accuracy['mean_kl_divergence']:.1e} |"
            )
    replace_block(PAGE, "families", "\n".join([*HEAD, *rows]))
    return 0


if __name__ == "__main__":
    sys.exit(main())

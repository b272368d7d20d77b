"""Why int8 costs a mixture of experts as much as it does: its choices of experts, or the rest; to docs/support.md.

.venv/bin/python tools/census_choices.py [--found FILE] name ...

Of each name the tiny model of the census is quantized, and its step is run in PyTorch twice over the census's tokens: as it
is, and with the experts that the float step chooses, whose scores are the int8 step's own. How many choices differ and both
errors are kept in the name's row.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "tools"))

import census  # noqa: E402
from census_page import page, rows_of  # noqa: E402


def _chosen(node: Any, value: Any) -> Any:
    """The places of the greatest values, where a node gives these: a topk's, or that of an argmax; or which scores pass a
    threshold. None elsewhere."""
    name = str(node.target)
    if any(name.startswith(f"aten.{each}.") for each in ("gt", "ge", "lt", "le")):
        return value if node.args[0].meta["val"].is_floating_point() else None
    return value[1] if "topk" in name else value if "argmax" in name else None


def _as_set(places: Any) -> Any:
    """Places in whatever order; what passes a threshold as it is."""
    flat = places.flatten().tolist()
    return flat if str(places.dtype) == "torch.bool" else set(flat)


def choices_of(checkpoint: Path) -> dict[str, Any]:
    """{choices, other, error, with_float_choices} of a tiny mixture. Raises what compiling raises."""
    import torch

    from mcu_sdk.lowering.accuracy import measure
    from mcu_sdk.lowering.calibrate import run_steps
    from mcu_sdk.lowering.guard import checkpoint_logits
    from mcu_sdk.lowering.quantize import quantize
    from mcu_sdk.lowering.reproducible import reproducible
    from mcu_sdk.lowering.run_step import StepRunner
    from mcu_sdk.model.load import find_checkpoint
    from mcu_sdk.options import CompileOptions
    from mcu_sdk.recipes.fused import fused_step

    options = CompileOptions(census.CACHE_LENGTH)
    fused = fused_step(find_checkpoint(str(checkpoint)), options)
    vocabulary = int(fused.model.config.get_text_config().vocab_size)
    tokens = census.tokens_of(vocabulary)
    wanted = checkpoint_logits(fused.model, tokens)
    chosen: list[Any] = []
    other = 0

    def keep(node: Any, value: Any) -> Any:
        places = _chosen(node, value)
        if places is not None:
            chosen.append(places.clone())
        return value

    StepRunner(fused.program, float_cache=True, observe=keep).run(tokens)
    with reproducible():
        quantized = quantize(
            fused.program, options.activations, lambda prepared: run_steps(prepared, fused.windows[:1, :1])
        )
    float_choices = iter(chosen)

    def compare(node: Any, value: Any) -> Any:
        nonlocal other
        places = _chosen(node, value)
        if places is not None:
            theirs = next(float_choices)
            other += _as_set(places) != _as_set(theirs)
        return value

    own = StepRunner(quantized, observe=compare).run(tokens)
    float_choices, values = iter(chosen), {}

    def force(node: Any, value: Any) -> Any:
        if _chosen(node, value) is not None:
            theirs = next(float_choices)
            value = (values[node.args[0]].gather(-1, theirs), theirs) if isinstance(value, tuple) else theirs
        values[node] = value
        return value

    forced = StepRunner(quantized, observe=force).run(tokens)
    with torch.no_grad():
        errors = [measure(found, wanted, logits=True).relative_rms_error for found in (own, forced)]
    return {"choices": len(chosen), "other": other, "error": errors[0], "with_float_choices": errors[1]}


def main() -> int:
    """Measure the names that are given, keep it in their rows, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--found", type=Path, default=census.DEFAULT_FOUND, metavar="FILE")
    arguments = parser.parse_args()
    found = (
        json.loads(arguments.found.read_text())
        if arguments.found.exists()
        else rows_of(census.PAGE.read_text())
    )
    known = census.names()
    for name in arguments.names:
        with tempfile.TemporaryDirectory() as folder:
            found[name]["choices"] = choices_of(census._save(name, known[name], Path(folder) / "model"))
        print(name, found[name]["choices"], file=sys.stderr, flush=True)
        arguments.found.parent.mkdir(parents=True, exist_ok=True)
        arguments.found.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    census.PAGE.write_text(page({name: found[name] for name in known if name in found}))
    return 0


if __name__ == "__main__":
    sys.exit(main())

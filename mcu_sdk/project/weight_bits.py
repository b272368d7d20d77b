"""What `--weights auto` has chosen, as model/report.json keeps it: rows for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def weight_rows(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Label and value of the report's lines; none where nothing was chosen."""
    told = facts.get("weight_bits")
    if facts.get("weights") != "auto" or not isinstance(told, Mapping):
        return []
    bits: Mapping[str, int] = told["bits"]
    few = list(bits.values()).count(4)
    limit = told["flash"]
    size = f"{told['image_bytes']:,} bytes" + (f" of --flash {limit:,}" if limit is not None else "")
    if not few:
        return [("weights", f"int8 throughout: {size}")]
    rows = [("weights", f"int4 in {few} of {len(bits)} layers, as model/report.json names them: {size}")]
    if "predicted_kl_divergence" in told:
        rows.append(
            (
                "int4 costs",
                f"KL {told['measured_kl_divergence']:.3g} on {told['tokens']:,} tokens, the weights alone; "
                f"{told['predicted_kl_divergence']:.3g} as the sum of the layers",
            )
        )
    return rows

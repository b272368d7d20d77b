"""What `--weights` has chosen, as model/report.json keeps it: rows for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

INT8 = 255
"""Levels of int8 with a scale for each row."""


def weight_rows(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Label and value of the report's lines; none where nothing was chosen."""
    told = facts.get("weight_bits")
    if not isinstance(told, Mapping):
        return []
    if "levels" in told:
        return _level_rows(told)
    if facts.get("weights") != "auto":
        return []
    bits: Mapping[str, int] = told["bits"]
    few = list(bits.values()).count(4)
    if not few:
        return [("weights", f"int8 throughout: {_size(told)}")]
    text = f"int4 in {few} of {len(bits)} layers, as model/report.json names them: {_size(told)}"
    return [("weights", text), *_costs(told, "int4 costs")]


def _level_rows(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Of the linears of an NPU."""
    levels = list(told["levels"].values())
    few = [each for each in levels if each < INT8]
    size = f": {_size(told)}" if "image_bytes" in told else ""
    if not few:
        return [("weights", f"int8 throughout{size}")]
    text = f"{min(few)} to {max(few)} levels in {len(few)} of {len(levels)} linears, as model/report.json names them{size}"
    return [("weights", text), *_costs(told, "few levels cost")]


def _size(told: Mapping[str, Any]) -> str:
    """Bytes of the image, and what they were to be at most."""
    limit = told["flash"]
    return f"{told['image_bytes']:,} bytes" + (f" of --flash {limit:,}" if limit is not None else "")


def _costs(told: Mapping[str, Any], label: str) -> list[tuple[str, str]]:
    """What the weights cost, if that was measured."""
    if "predicted_kl_divergence" not in told:
        return []
    text = (
        f"KL {told['measured_kl_divergence']:.3g} on {told['tokens']:,} tokens, the weights alone; "
        f"{told['predicted_kl_divergence']:.3g} as the sum of the layers"
    )
    return [(label, text)]

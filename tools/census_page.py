"""The page that tools/census.py writes: docs/support.md."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

Row = Mapping[str, Any]

INTRODUCTION = """# Decoders: what works

`make census` takes every name that transformers {version} has for causal language models ({decoders}) and for sequence to
sequence ({others}), makes a tiny configuration with random weights, and goes the whole way to firmware for this computer,
whose logits are compared with transformers' own float model over {length} positions, the cache's length, beyond every window.
This page is its result. `error` is the relative RMS error of the logits: what int8 costs, with random weights. `ours` is how
many of a step's calls are `mcu::` operators; *fused* means that attention and rotary embeddings are, wholly: no float product
with a cache, no rotation left to multiplications. Nothing that is listed as right differs from transformers by more than
int8 explains: exported and fused steps are compared in float ([verification](verification.md)). Where int8 costs more than
10 %, it is a mixture of experts, two of which are nearly as likely at some position: [below](#mixtures-of-experts).

{counts}
"""

MEANINGS = {
    "right": "right: the firmware computes what transformers computes",
    "inexact": "compiles, with a warning: int8 costs more than 10 %",
    "refused": "refused, with the reason below",
    "failed": "stopped by an exception that nobody foresaw",
    "no model": "transformers makes no model of the tiny configuration",
}


def page(rows: Mapping[str, Row]) -> str:
    """Markdown of all rows."""
    import transformers

    decoders = {name: row for name, row in rows.items() if not name.endswith("(seq2seq)")}
    others = {name: row for name, row in rows.items() if name not in decoders}
    listed = {name: row for name, row in decoders.items() if "(" not in name}
    text = INTRODUCTION.format(
        version=transformers.__version__,
        decoders=len(listed),
        others=len(others),
        length=32,
        counts=_counts(listed, others),
    )
    return "\n".join(
        [
            text,
            "## Right",
            "",
            *_right(rows),
            "",
            *_mixtures(rows),
            "## Everything else",
            "",
            *_rest({**decoders, **others}),
            "",
        ]
    )


def rows_of(text: str) -> dict[str, dict[str, Any]]:
    """The rows of a page, as far as it has them: what `page` makes the same page of."""
    rows: dict[str, dict[str, Any]] = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == 7 and cells[2].isdigit():
            name, class_name, calls, share, left, error, seconds = cells
            total = int(calls)
            ours = next(n for n in range(total + 1) if f"{n / total:.0%}" == share)
            rows[name] = {
                "class": class_name,
                "outcome": "inexact" if error.endswith("(warned)") else "right",
                "calls": total,
                "ours": ours,
                "left": [] if left == "fused" else left.split(", "),
                "error": float(error.split()[0]),
                "seconds": float(seconds),
            }
        elif len(cells) == 5 and cells[1].isdigit():
            name, *numbers = cells
            keys = ("choices", "other", "error", "with_float_choices")
            kinds = (int, int, float, float)
            rows[name]["choices"] = {
                key: kind(number) for key, kind, number in zip(keys, kinds, numbers, strict=True)
            }
        elif len(cells) == 5 and cells[2] in MEANINGS:
            name, class_name, outcome, why, seconds = cells
            why = why.replace("\\|", "|")
            rows[name] = {"class": class_name, "outcome": outcome, "why": why, "seconds": float(seconds)}
    return rows


def is_fused(row: Row) -> bool:
    """Whether nothing of its attention and rotations is left in float."""
    return row["outcome"] in ("right", "inexact") and not row["left"]


def _counts(listed: Mapping[str, Row], others: Mapping[str, Row]) -> str:
    count, beside = (Counter(row["outcome"] for row in rows.values()) for rows in (listed, others))
    fused, fused_beside = (
        sum(row["outcome"] == "right" and is_fused(row) for row in rows.values()) for rows in (listed, others)
    )
    lines = ["| outcome | causal | sequence to sequence |", "|---|---:|---:|"]
    for outcome, meaning in MEANINGS.items():
        lines.append(f"| {meaning} | {count[outcome]} | {beside[outcome]} |")
    lines.insert(3, f"| ... and wholly fused | {fused} | {fused_beside} |")
    return "\n".join(lines)


def _right(rows: Mapping[str, Row]) -> list[str]:
    lines = [
        "| name | class | calls | ours | left in float | error | seconds |",
        "|---|---|---:|---:|---|---:|---:|",
    ]
    for name, row in sorted(rows.items()):
        if row["outcome"] not in ("right", "inexact"):
            continue
        left = ", ".join(row["left"]) or "fused"
        word = "" if row["outcome"] == "right" else " (warned)"
        lines.append(
            f"| {name} | {row['class']} | {row['calls']} | {row['ours'] / row['calls']:.0%} | {left} | "
            f"{row['error']:.4f}{word} | {row['seconds']} |"
        )
    return lines


MIXTURES = """## Mixtures of experts

Routers are float, but what they read comes from int8 linears. Where two experts are nearly as likely the other one is chosen (and where a
score is near a threshold, which PhiMoE has, another weight), and of random experts that one has nothing in common with the first. `tools/census_choices.py` runs the int8 step in PyTorch with
its own choices, and again with those of the float step: what is left then is what int8 costs any decoder.

| name | choices | other ones | error | with the float step's choices |
|---|---:|---:|---:|---:|"""


def _mixtures(rows: Mapping[str, Row]) -> list[str]:
    """What was found of the choices of mixtures; nothing without any."""
    lines = []
    for name, row in sorted(rows.items()):
        if "choices" in row:
            told = row["choices"]
            lines.append(
                f"| {name} | {told['choices']} | {told['other']} | {told['error']:.4f} | "
                f"{told['with_float_choices']:.4f} |"
            )
    return [MIXTURES, *lines, ""] if lines else []


def _rest(rows: Mapping[str, Row]) -> list[str]:
    lines = ["| name | class | outcome | why | seconds |", "|---|---|---|---|---:|"]
    for name, row in sorted(rows.items()):
        if row["outcome"] in ("right", "inexact"):
            continue
        why = str(row.get("why", "")).replace("|", "\\|").replace("\n", " ")[:240]
        lines.append(f"| {name} | {row['class']} | {row['outcome']} | {why} | {row.get('seconds', '')} |")
    return lines

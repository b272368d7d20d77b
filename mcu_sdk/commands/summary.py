"""What `generate` tells of a project in the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mcu_sdk.generated import Generated
from mcu_sdk.planning.bound import bound_from_json
from mcu_sdk.planning.experts import experts_from_json
from mcu_sdk.planning.step_choice import choice_from_json
from mcu_sdk.project.accuracy import accuracy_of
from mcu_sdk.project.manifest import sliding
from mcu_sdk.project.names import title
from mcu_sdk.project.weight_bits import weight_rows

Summary = Mapping[str, Any]

PARTS = (
    ("weights (.pte)", "model_bytes", "weights"),
    ("arena", "arena_bytes", "arena"),
    ("KV cache", "kv_cache_bytes", "kv_cache"),
    ("tokenizer", "tokenizer_bytes", "tokenizer"),
    ("code", "code_bytes", "code"),
)
"""Label, key of the summary, and section of the image."""


def lines_of(generated: Generated) -> Iterator[str]:
    """All of it: what lies where, what is known of the model, what else is in the firmware, what there is to note."""
    summary = generated.summary()
    yield f"{generated.project}: {title(generated.name)}, {summary['kernel_calls']} kernel calls"
    yield from _parts(summary)
    yield from _reports(generated, summary)
    yield from _methods(summary)
    yield from _runtime(summary)
    if "sinks" in summary:
        yield _line("when full", sliding(summary["cache_length"], summary["sinks"]))
    yield from _texts(summary)
    yield from _chat(summary)
    if summary["chosen"]:
        yield _line("chosen to fit", f"{summary['chosen']}; name these options to choose otherwise")
    for note in summary.get("notes", ()):
        yield f"  note: {note}"
    memory = summary["peak_memory_bytes"] / 2**20
    yield _line("made with", f"{memory:,.0f} MiB of this computer's memory")
    yield f"next: mcu-sdk build {generated.project}"


def _line(label: str, text: str) -> str:
    return f"  {label:15} {text}"


def _parts(summary: Summary) -> Iterator[str]:
    """Of each part its size, and where it lies for which reason."""
    for part, key, section in PARTS:
        if not summary.get(key) and section in ("tokenizer", "code"):
            continue
        region = summary["regions"].get(section)
        reason = _of_code(summary) if section == "code" else summary["placement"].get(section, "")
        place = f"  in {region}: {reason}" if region else ""
        yield _line(part, f"{summary[key]:>12,} bytes{place}")
        for name, piece in summary.get("constants", {}).items() if section == "weights" else ():
            yield (
                f"    {name:13} {piece['bytes']:>12,} bytes  {piece['constants']} constants, of which a step reads "
                f"{piece['traffic']:,} bytes"
            )


def _of_code(summary: Summary) -> str:
    """How its size is known."""
    if "executorch" in summary:
        return "at most, with ExecuTorch's runtime"
    return "at most; no compiler is installed" if summary["code_is_bound"] else "compiled and linked"


def _reports(generated: Generated, summary: Summary) -> Iterator[str]:
    """What the parts of the report say of themselves."""
    told = (
        accuracy_of(generated.facts),
        experts_from_json(summary.get("experts")),
        choice_from_json(summary.get("decode")),
        bound_from_json(summary.get("bound")),
    )
    accuracy, *others = [part.rows() if part is not None else [] for part in told]
    for label, text in [*accuracy, *weight_rows(generated.facts), *(row for rows in others for row in rows)]:
        yield f"  {label:18} {text}"


def _methods(summary: Summary) -> Iterator[str]:
    """What runs beside a step: an encoder before it, and prompts of which several tokens are read at once."""
    if "encoder" in summary and "cross_cache_bytes" in summary["encoder"]:
        told = summary["encoder"]
        yield _line(
            "encoder",
            f"once before each answer, in {told['arena_bytes']:,} bytes of the arena (a step: "
            f"{told['step_arena_bytes']:,}); it leaves {told['cross_cache_bytes']:,} bytes of the KV cache to the steps",
        )
    if "prefill" in summary:
        told = summary["prefill"]
        yield _line(
            "prefill",
            f"{told['rows']} tokens of a prompt at once, in {told['arena_bytes']:,} bytes of the arena; a step "
            f"takes {told['step_arena_bytes']:,}",
        )
        if on_npu := _cycles_on_npu(told.get("npu")):
            yield _line("", on_npu)


def _cycles_on_npu(told: object) -> str:
    """What a prompt's token takes of an NPU; nothing where that is not known."""
    cycles, ours = (
        told.get(f"{which}cycles_per_prompt_token") if isinstance(told, dict) else None
        for which in ("", "our_")
    )
    if cycles is None:
        return ""
    beside = f", {ours:,} by our own" if ours is not None else ""
    return f"on the NPU {cycles:,} cycles a prompt's token by Vela's estimate{beside}"


def _runtime(summary: Summary) -> Iterator[str]:
    """Of a project that ExecuTorch's runtime runs."""
    if "executorch" not in summary:
        return
    told = summary["executorch"]
    methods = ", ".join(f"{name} {size:,}" for name, size in told["method_allocator"].items())
    yield _line(
        "runtime",
        f"ExecuTorch's own, with {len(told['operators'])} operators of ours; of the arena activations take "
        f"{told['activations']:,} bytes, values and instructions {methods}, temporary memory {told['temporary']:,}",
    )
    if told["executorch_operators"]:
        yield _line("", f"its kernel libraries have to bring {', '.join(told['executorch_operators'])}")


def _texts(summary: Summary) -> Iterator[str]:
    """How texts become tokens, and what answers are held to."""
    if "tokenizer" in summary:
        yield _line("tokenizer", summary["tokenizer"])
    if "grammar" in summary:
        told = summary["grammar"]
        yield _line(
            "grammar",
            f"{told['states']:,} states in {told['bytes']:,} bytes; the shortest answer has {told['shortest']} tokens",
        )


def _chat(summary: Summary) -> Iterator[str]:
    """How conversations go."""
    if "chat" not in summary:
        return
    told = summary["chat"]
    system = "a system text of its own" if told["system"] is not None else "the template's opening"
    yield _line(
        "chat", f"{told['template']}; {told['opening_tokens']:,} tokens of {system} begin each conversation"
    )
    if told["date"] is not None:
        yield _line("", f"the day is {told['date']} in all of them")
    if told["rewrites_answers"]:
        yield _line(
            "",
            "a past answer is what the template makes of it: what differs is read again with the next turn",
        )
    if "stored_bytes" in told:
        yield _line("", f"the cache behind them is stored: {told['stored_bytes']:,} bytes")

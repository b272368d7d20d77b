"""`mcu-sdk generate` and `mcu-sdk regenerate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mcu_sdk.commands.options import Given, JsonOption, with_options
from mcu_sdk.options import CompileOptions, GenerateRequest

if TYPE_CHECKING:
    from mcu_sdk.generated import Generated

NoCacheOption = Annotated[bool, typer.Option("--no-cache", help="Neither read nor write the cache.")]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Overwrite generated files that were changed; these are set aside.")
]


@with_options(GenerateRequest, CompileOptions)
def generate_command(
    given: Given, force: ForceOption = False, no_cache: NoCacheOption = False, as_json: JsonOption = False
) -> None:
    """Turn a checkpoint (or a .pte) into a firmware project for a board."""
    from mcu_sdk.generation import generate

    show(generate(given.request(use_cache=not no_cache, force=force)), as_json)


@with_options(
    GenerateRequest,
    CompileOptions,
    only=frozenset({"model", "board", "tokenizer", "calibration_text", "grammar", "json_schema"}),
    optional=True,
    model="Where the checkpoint lies now, if it was moved.",
    board="Where the board's folder lies now, if it was moved.",
    tokenizer="Where the tokenizer.json lies now, if it was moved.",
    calibration_text="Where the text lies now, if it was moved.",
    grammar="The regular expression, if it is no longer in the project.",
    json_schema="The JSON schema, if it is no longer in the project.",
)
def regenerate_command(
    given: Given,
    project: Annotated[Path, typer.Argument(help="A generated project.")],
    force: ForceOption = False,
    no_cache: NoCacheOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write a project's model/ and sdk/ again, with the options and inputs of the first time; app/ stays."""
    from mcu_sdk.regeneration import regenerate

    show(regenerate(project, places=given.places(), use_cache=not no_cache, force=force), as_json)


def show(generated: Generated, as_json: bool) -> None:
    """The result on stdout."""
    from mcu_sdk.console import log
    from mcu_sdk.planning.bound import bound_from_json
    from mcu_sdk.planning.experts import experts_from_json
    from mcu_sdk.planning.step_choice import choice_from_json
    from mcu_sdk.project.accuracy import accuracy_of
    from mcu_sdk.project.manifest import sliding
    from mcu_sdk.project.names import title
    from mcu_sdk.project.weight_bits import weight_rows

    summary, accuracy = generated.summary(), accuracy_of(generated.facts)
    if accuracy is not None and accuracy.warning is not None:
        log(accuracy.warning)
    if as_json:
        print(json.dumps(summary, indent=2))
        return
    print(f"{generated.project}: {title(generated.name)}, {summary['kernel_calls']} kernel calls")
    for part, key, section in (
        ("weights (.pte)", "model_bytes", "weights"),
        ("arena", "arena_bytes", "arena"),
        ("KV cache", "kv_cache_bytes", "kv_cache"),
        ("tokenizer", "tokenizer_bytes", "tokenizer"),
        ("code", "code_bytes", "code"),
    ):
        if not summary.get(key) and section in ("tokenizer", "code"):
            continue
        region = summary["regions"].get(section)
        reason = summary["placement"].get(section, "")
        if section == "code":
            reason = (
                "at most; no compiler is installed" if summary["code_is_bound"] else "compiled and linked"
            )
            if "executorch" in summary:
                reason = "at most, with ExecuTorch's runtime"
        place = f"  in {region}: {reason}" if region else ""
        print(f"  {part:15} {summary[key]:>12,} bytes{place}")
        for name, piece in summary.get("constants", {}).items() if section == "weights" else ():
            print(
                f"    {name:13} {piece['bytes']:>12,} bytes  {piece['constants']} constants, of which a step reads "
                f"{piece['traffic']:,} bytes"
            )
    for label, text in accuracy.rows() if accuracy is not None else ():
        print(f"  {label:18} {text}")
    for label, text in weight_rows(generated.facts):
        print(f"  {label:18} {text}")
    experts = experts_from_json(summary.get("experts"))
    for label, text in experts.rows() if experts is not None else ():
        print(f"  {label:18} {text}")
    choice = choice_from_json(summary.get("decode"))
    for label, text in choice.rows() if choice is not None else ():
        print(f"  {label:18} {text}")
    bound = bound_from_json(summary.get("bound"))
    for label, text in bound.rows() if bound is not None else ():
        print(f"  {label:18} {text}")
    if "encoder" in summary and "cross_cache_bytes" in summary["encoder"]:
        told = summary["encoder"]
        print(
            f"  {'encoder':15} once before each answer, in {told['arena_bytes']:,} bytes of the arena (a step: "
            f"{told['step_arena_bytes']:,}); it leaves {told['cross_cache_bytes']:,} bytes of the KV cache to the steps"
        )
    if "prefill" in summary:
        told = summary["prefill"]
        print(
            f"  {'prefill':15} {told['rows']} tokens of a prompt at once, in {told['arena_bytes']:,} bytes of the arena; a step "
            f"takes {told['step_arena_bytes']:,}"
        )
        if on_npu := _cycles_on_npu(told.get("npu")):
            print(f"  {'':15} {on_npu}")
    if "executorch" in summary:
        told = summary["executorch"]
        methods = ", ".join(f"{name} {size:,}" for name, size in told["method_allocator"].items())
        print(
            f"  {'runtime':15} ExecuTorch's own, with {len(told['operators'])} operators of ours; of the arena activations take "
            f"{told['activations']:,} bytes, values and instructions {methods}, temporary memory {told['temporary']:,}"
        )
        if told["executorch_operators"]:
            print(f"  {'':15} its kernel libraries have to bring {', '.join(told['executorch_operators'])}")
    if "sinks" in summary:
        print(f"  {'when full':15} {sliding(summary['cache_length'], summary['sinks'])}")
    if "tokenizer" in summary:
        print(f"  {'tokenizer':15} {summary['tokenizer']}")
    if "grammar" in summary:
        told = summary["grammar"]
        print(
            f"  {'grammar':15} {told['states']:,} states in {told['bytes']:,} bytes; the shortest answer has "
            f"{told['shortest']} tokens"
        )
    if "chat" in summary:
        told = summary["chat"]
        system = "a system text of its own" if told["system"] is not None else "the template's opening"
        print(
            f"  {'chat':15} {told['template']}; {told['opening_tokens']:,} tokens of {system} begin each conversation"
        )
        if told["date"] is not None:
            print(f"  {'':15} the day is {told['date']} in all of them")
        if told["rewrites_answers"]:
            print(
                f"  {'':15} a past answer is what the template makes of it: what differs is read again with the next turn"
            )
        if "stored_bytes" in told:
            print(f"  {'':15} the cache behind them is stored: {told['stored_bytes']:,} bytes")
    if summary["chosen"]:
        print(f"  {'chosen to fit':15} {summary['chosen']}; name these options to choose otherwise")
    for note in summary.get("notes", ()):
        print(f"  note: {note}")
    print(f"  {'made with':15} {summary['peak_memory_bytes'] / 2**20:,.0f} MiB of this computer's memory")
    print(f"next: mcu-sdk build {generated.project}")


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

"""`mcu-sdk generate` and `mcu-sdk regenerate`."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mcu_sdk.generate import Generated


class Scales(StrEnum):
    """Where a scale comes from."""

    dynamic = "dynamic"
    static = "static"


class ActivationBits(StrEnum):
    """Widths that an Ethos-U computes in."""

    eight = "8"
    sixteen = "16"


class CacheScales(StrEnum):
    """Where the KV cache's scales come from."""

    dynamic = "dynamic"
    calibrated = "calibrated"


class Weights(StrEnum):
    """Widths of a decoder's weights."""

    int8 = "int8"
    int4 = "int4"


class Optimize(StrEnum):
    """What the kernels are compiled for."""

    speed = "speed"
    size = "size"


BoardOption = Annotated[
    str, typer.Option("--board", help="A board's name (see `mcu-sdk boards`) or a folder.")
]
ModelOption = Annotated[
    str | None,
    typer.Option("--model", help="A checkpoint's folder or a hub id. Without it: the bundled model."),
]
CacheLengthOption = Annotated[
    int | None, typer.Option("--max-cache-len", help="Positions in the KV cache. Default: the model's own.")
]
ActivationsOption = Annotated[
    Scales, typer.Option("--activations", help="int8 activation scales: found at run time, or calibrated.")
]
CacheScalesOption = Annotated[
    CacheScales,
    typer.Option("--kv-scales", help="Scales of the int8 KV cache: calibrated, or found at run time."),
]
CalibrationOption = Annotated[
    Path | None,
    typer.Option("--calibration-text", help="UTF-8 text to calibrate on. Default: what the model generates."),
]
WeightsOption = Annotated[
    Weights,
    typer.Option("--weights", help="A decoder's linears: int8, or int4 in groups of 32 (half the size)."),
]
OptimizeOption = Annotated[
    Optimize, typer.Option("--optimize", help="Compile the kernels for speed (-O3) or for size (-Os).")
]
TargetOption = Annotated[
    str | None,
    typer.Option(
        "--target", help="The board's processor or an NPU, such as ethos-u55-128. Default: the board's."
    ),
]
MemoryModeOption = Annotated[
    str | None,
    typer.Option("--memory-mode", help="Vela's memory mode for an NPU. Default: the board's first."),
]
ActivationBitsOption = Annotated[
    ActivationBits, typer.Option("--activation-bits", help="Width of the activations on an NPU.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def generate_command(
    board: BoardOption = "corstone-300",
    model: ModelOption = None,
    pte: Annotated[
        Path | None, typer.Option("--pte", help="An exported program instead of a checkpoint.")
    ] = None,
    tokenizer: Annotated[
        Path | None, typer.Option("--tokenizer", help="A tokenizer.json for a .pte, or its folder.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "--out", "-o", help="The project's folder. Default: MODEL-BOARD."),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="What to call the model in comments.")] = None,
    max_cache_len: CacheLengthOption = None,
    activations: ActivationsOption = Scales.dynamic,
    kv_scales: CacheScalesOption = CacheScales.calibrated,
    calibration_text: CalibrationOption = None,
    weights: WeightsOption = Weights.int8,
    target: TargetOption = None,
    memory_mode: MemoryModeOption = None,
    activation_bits: ActivationBitsOption = ActivationBits.eight,
    optimize: OptimizeOption = Optimize.speed,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Neither read nor write the cache.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Turn a checkpoint (or a .pte) into a firmware project for a board."""
    from mcu_sdk.generate import GenerateRequest, generate
    from mcu_sdk.recipes.decoder import CompileOptions

    request = GenerateRequest(
        board=board,
        compile_options=CompileOptions(
            max_cache_len, activations.value, kv_scales.value, calibration_text, weights=weights.value
        ),
        model=model,
        pte=pte,
        tokenizer=tokenizer,
        output=output,
        name=name,
        target=target,
        memory_mode=memory_mode,
        activation_bits=16 if activation_bits is ActivationBits.sixteen else 8,
        use_cache=not no_cache,
        optimize=optimize.value,
    )
    show(generate(request), as_json)


def regenerate_command(
    project: Annotated[Path, typer.Argument(help="A generated project.")],
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Neither read nor write the cache.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a project's model/ and sdk/ again, with the options it was generated with; app/ stays."""
    from mcu_sdk.generate import regenerate

    show(regenerate(project, use_cache=not no_cache), as_json)


def show(generated: Generated, as_json: bool) -> None:
    """The result on stdout."""
    summary = generated.summary()
    if as_json:
        print(json.dumps(summary, indent=2))
        return
    from mcu_sdk.project.render import title

    print(f"{generated.project}: {title(generated.name)}, {summary['kernel_calls']} kernel calls")
    for part, key, section in (
        ("weights (.pte)", "model_bytes", "weights"),
        ("arena", "arena_bytes", "arena"),
        ("KV cache", "kv_cache_bytes", "kv_cache"),
    ):
        region = summary["regions"].get(section)
        place = f"  in {region}: {summary['placement'].get(section, '')}" if region else ""
        print(f"  {part:15} {summary[key]:>12,} bytes{place}")
    if "tokenizer" in summary:
        print(f"  {'tokenizer':15} {summary['tokenizer']}")
    print(f"  {'made with':15} {summary['peak_memory_bytes'] / 2**20:,.0f} MiB of this computer's memory")
    print(f"next: mcu-sdk build {generated.project}")

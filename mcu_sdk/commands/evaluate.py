"""`mcu-sdk evaluate`: what quantization costs, on a text of the user's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from mcu_sdk.commands.generate import (
    ActivationsOption,
    CacheLengthOption,
    CacheScales,
    CacheScalesOption,
    CalibrationOption,
    JsonOption,
    ModelOption,
    Scales,
)


def evaluate_command(
    text: Annotated[Path, typer.Argument(help="A UTF-8 text that the model was not trained on.")],
    model: ModelOption = None,
    begin: Annotated[
        float, typer.Option("--begin", help="Skip this fraction of the text: 0.9 measures the last tenth.")
    ] = 0.0,
    every: Annotated[bool, typer.Option("--all", help="Measure every combination of scales.")] = False,
    max_cache_len: CacheLengthOption = None,
    activations: ActivationsOption = Scales.dynamic,
    kv_scales: CacheScalesOption = CacheScales.calibrated,
    calibration_text: CalibrationOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure bits per byte: the float checkpoint against the int8 firmware, run on this machine."""
    from mcu_sdk.evaluate import evaluate
    from mcu_sdk.pipeline import CompileOptions

    chosen = [(a, k) for a in Scales for k in CacheScales] if every else [(activations, kv_scales)]
    variants = [CompileOptions(max_cache_len, a.value, k.value, calibration_text) for a, k in chosen]
    scores = evaluate(model, text, variants, begin=begin)
    if as_json:
        print(json.dumps([vars(score) for score in scores], indent=2))
        return
    for score in scores:
        print(f"{score.name:52} {score.bits_per_byte:.5f} bits per byte  {score.over_float_percent:+.3f} %")

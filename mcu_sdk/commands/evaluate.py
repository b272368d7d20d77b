"""`mcu-sdk evaluate`: what quantization costs, on a text of the user's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mcu_sdk.commands.generate import (
    ActivationBits,
    ActivationBitsOption,
    ActivationsOption,
    CacheLengthOption,
    CacheScales,
    CacheScalesOption,
    CalibrationOption,
    JsonOption,
    ModelOption,
    Scales,
    Weights,
    WeightsOption,
)

if TYPE_CHECKING:
    from mcu_sdk.evaluate import Score


def evaluate_command(
    text: Annotated[Path, typer.Argument(help="A UTF-8 text that the model was not trained on.")],
    model: ModelOption = None,
    begin: Annotated[
        float, typer.Option("--begin", help="Skip this fraction of the text: 0.9 measures the last tenth.")
    ] = 0.0,
    every: Annotated[
        bool, typer.Option("--all", help="Measure every combination of scales, or both widths of an NPU.")
    ] = False,
    max_cache_len: CacheLengthOption = None,
    activations: ActivationsOption = Scales.dynamic,
    kv_scales: CacheScalesOption = CacheScales.calibrated,
    calibration_text: CalibrationOption = None,
    weights: WeightsOption = Weights.int8,
    target: Annotated[
        str | None, typer.Option("--target", help="Measure an NPU's step instead, such as ethos-u55-128.")
    ] = None,
    activation_bits: ActivationBitsOption = ActivationBits.eight,
    as_json: JsonOption = False,
) -> None:
    """Measure bits per byte: the float checkpoint against the quantized one, run on this machine."""
    from mcu_sdk.evaluate import evaluate
    from mcu_sdk.recipes.decoder import CompileOptions

    if target is not None:
        from mcu_sdk.board.npu_target import default_target

        widths: list[Literal[8, 16]] = (
            [8, 16] if every else [16 if activation_bits == ActivationBits.sixteen else 8]
        )
        npus = [default_target(target, bits) for bits in widths]
        for npu in npus:
            npu.check()
        variants = [
            CompileOptions(max_cache_len, calibration_text=calibration_text, npu=npu, weights=weights.value)
            for npu in npus
        ]
        _show(evaluate(model, text, variants, begin=begin), as_json)
        return
    chosen = [(a, k) for a in Scales for k in CacheScales] if every else [(activations, kv_scales)]
    variants = [
        CompileOptions(max_cache_len, a.value, k.value, calibration_text, weights=weights.value)
        for a, k in chosen
    ]
    _show(evaluate(model, text, variants, begin=begin), as_json)


def _show(scores: Sequence[Score], as_json: bool) -> None:
    if as_json:
        print(json.dumps([vars(score) for score in scores], indent=2))
        return
    for score in scores:
        print(f"{score.name:52} {score.bits_per_byte:.5f} bits per byte  {score.over_float_percent:+.3f} %")

"""`mcu-sdk evaluate`: what quantization costs, on a text or on labelled texts of the user's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from mcu_sdk.board.npu_target import ActivationBits
from mcu_sdk.commands.options import Given, JsonOption, with_options
from mcu_sdk.errors import UsageError
from mcu_sdk.option import options_of
from mcu_sdk.options import (
    Activations,
    CacheScales,
    CompileOptions,
    GenerateRequest,
    Kind,
)

if TYPE_CHECKING:
    from mcu_sdk.evaluate import Score
    from mcu_sdk.evaluate_dataset import SpanScore

TAKEN = frozenset(options_of(CompileOptions)) | {"model", "target", "activation_bits", "flash"}


@with_options(
    GenerateRequest,
    CompileOptions,
    only=TAKEN,
    target="Measure an NPU's step instead, such as ethos-u55-128.",
    flash="With --weights auto: bytes of the .pte at most, such as 512K.",
)
def evaluate_command(
    given: Given,
    text: Annotated[
        Path | None,
        typer.Argument(
            help="A UTF-8 text that the model was not trained on; with --dataset a project, or a checkpoint.",
            show_default=False,
        ),
    ] = None,
    dataset: Annotated[
        Path | None,
        typer.Option(
            "--dataset",
            help="For encoders: a .csv or .jsonl file, or its folder, with the columns text, text_pair (where the model "
            "reads two) and, of a classifier of texts or tokens, label.",
        ),
    ] = None,
    begin: Annotated[
        float, typer.Option("--begin", help="Skip this fraction of the text: 0.9 measures the last tenth.")
    ] = 0.0,
    every: Annotated[
        bool, typer.Option("--all", help="Measure every combination of scales, or both widths of an NPU.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Measure bits per byte, or a classifier's accuracy: the float checkpoint against the quantized one, on this machine."""
    from mcu_sdk.evaluate import evaluate
    from mcu_sdk.model.tokenizer import read_text

    if dataset is not None:
        if begin or every:
            raise UsageError("--begin and --all are for a text.", hint="Leave them out.")
        _evaluate_dataset(given, text, dataset, as_json)
        return
    if text is None:
        raise UsageError(
            "A text to measure on was expected, or --dataset.",
            hint="Name a UTF-8 file: mcu-sdk evaluate TEXT.",
        )
    request = given.request()
    options = request.compile_options
    request.check_kind(Kind.DECODER if request.target is None else Kind.DECODER_NPU)
    request.check_flash(on_host=True)
    if options.calibration_text is not None:
        read_text(options.calibration_text, "to calibrate on")
    measured = {"activation_bits"} if request.target is not None else {"activations", "cache_scales"}
    for option in (options_of(GenerateRequest) | options_of(CompileOptions)).values():
        if every and option.name in measured & given.named:
            raise UsageError(
                f"--all measures every {option.flags[0]}; one was given.", hint="Leave one of them out."
            )
    if request.target is not None:
        from mcu_sdk.board.npu_target import default_target

        widths = get_args(ActivationBits) if every else [request.activation_bits]
        npus = [default_target(request.target, bits) for bits in widths]
        for npu in npus:
            npu.check()
        variants = [replace(options, npu=npu) for npu in npus]
    elif every:
        variants = [
            replace(options, activations=activations, cache_scales=scales)
            for activations in get_args(Activations)
            for scales in get_args(CacheScales)
        ]
    else:
        variants = [options]
    _show(evaluate(request.model, text, variants, begin=begin, flash=request.flash), as_json)


def _evaluate_dataset(given: Given, place: Path | None, dataset: Path, as_json: bool) -> None:
    """A project's classifier, or a checkpoint's, on labelled texts."""
    from dataclasses import asdict

    from mcu_sdk.evaluate_dataset import OutputScore, SpanScore, evaluate_dataset, is_project
    from mcu_sdk.model.tokenizer import read_text

    request = given.request()
    options = request.compile_options
    if place is not None and "model" in given.named:
        raise UsageError(f"{str(place)!r} and --model both name a model.", hint="Leave one of them out.")
    if place is not None and is_project(str(place)):
        for option in (options_of(GenerateRequest) | options_of(CompileOptions)).values():
            if option.name in given.named:
                raise UsageError(
                    f"{option.flags[0]} is for a checkpoint; {str(place)!r} is a project, which was made already.",
                    hint=f"Leave {option.flags[0]} out.",
                )
    elif request.target is not None:
        raise UsageError(
            "--dataset generates a checkpoint for this computer, which has no NPU.",
            hint="Name a project in its place: mcu-sdk generate --board BOARD --target "
            f"{request.target} --model ... --output PROJECT, then mcu-sdk evaluate PROJECT --dataset ...",
        )
    else:
        request.check_kind(Kind.ENCODER)
        if options.calibration_text is not None:
            read_text(options.calibration_text, "to calibrate on")
    score = evaluate_dataset(str(place) if place is not None else request.model, dataset, options)
    if as_json:
        print(json.dumps(asdict(score), indent=2))
        return
    cut = f", of which {score.cut:,} were cut to what it reads" if score.cut else ""
    print(f"{score.name} on {score.rows:,} {score.unit}{cut}")
    if isinstance(score, OutputScore):
        print(
            f"cosine of the firmware's outputs and the float checkpoint's: {score.mean_cosine:.4f}, ", end=""
        )
        print(f"at least {score.least_cosine:.4f}")
        return
    if isinstance(score, SpanScore):
        _show_spans(score)
        return
    for name, quality in (
        ("float32 checkpoint (PyTorch)", score.checkpoint),
        ("firmware, int8", score.firmware),
    ):
        if quality is not None:
            print(
                f"{name:32} accuracy {100 * quality.accuracy:6.2f} %  macro F1 {100 * quality.macro_f1:6.2f} %"
            )
    if score.agreement is not None:
        print(f"{'the same label':32} {100 * score.agreement:15.2f} %")


def _show_spans(score: SpanScore) -> None:
    sides = (("float32 checkpoint (PyTorch)", score.checkpoint), ("firmware, int8", score.firmware))
    for name, quality in sides:
        if quality is None:
            continue
        own = "" if quality.text_label is None else f"  the text's label {100 * quality.text_label:6.2f} %"
        print(
            f"{name:32} exact match {100 * quality.exact:6.2f} %{own}  F1 of spans {100 * quality.f1:6.2f} %"
        )
    if score.agreement is not None:
        print(f"{'the same answer':32} {100 * score.agreement:18.2f} %")


def _show(scores: Sequence[Score], as_json: bool) -> None:
    if as_json:
        print(json.dumps([vars(score) for score in scores], indent=2))
        return
    for score in scores:
        print(f"{score.name:52} {score.bits_per_byte:.5f} bits per byte  {score.over_float_percent:+.3f} %")

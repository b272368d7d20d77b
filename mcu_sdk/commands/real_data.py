"""What `run` and `verify` do with a user's own data: tensors from files, prompts from a file or as they are typed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mcu_sdk.console import log

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mcu_sdk.api import Answered
    from mcu_sdk.project.asked import Sampling, Where
    from mcu_sdk.project.labels import Label
    from mcu_sdk.project.opened import Project
    from mcu_sdk.project.prompts import Answer
    from mcu_sdk.project.tensors import Border

_SHOWN = 16
"""Elements of an output that are printed."""


def say(text: str) -> None:
    """Pass on the model's text at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


# ---- tensors


@dataclass(frozen=True)
class Media:
    """A file that is prepared as the checkpoint says: an image or a sound."""

    kind: Literal["image", "audio"]
    path: Path


Files = Mapping[str | None, Path] | Media
"""Arrays by name, or an image or a sound."""


def media(image: Path | None, audio: Path | None) -> Media | None:
    """The file of --image or --audio; None without either."""
    if image is not None:
        return Media("image", image)
    return None if audio is None else Media("audio", audio)


def read_inputs(opened: Project, files: Files) -> dict[str, NDArray[Any]]:
    """The arrays by the model's names; errors as `borders_of`, `choose`, `read_npy`, `read_image` and `read_sound` raise
    them."""
    from mcu_sdk.project.images import read_image
    from mcu_sdk.project.sounds import read_sound
    from mcu_sdk.project.tensors import borders_of, choose, read_npy

    if isinstance(files, Media):
        return (read_image if files.kind == "image" else read_sound)(opened, files.path)
    chosen = choose(borders_of(opened).inputs, files, "--input")
    return {name: read_npy(path, name) for name, path in chosen.items()}


def run_tensors(
    opened: Project,
    inputs: Files,
    outputs: Mapping[str | None, Path],
    where: Where,
    *,
    as_json: bool,
    markdown: bool,
) -> None:
    """Run a model on arrays from files, on an image or a sound, write its outputs to files, and report."""
    from mcu_sdk.api import run_inputs
    from mcu_sdk.project import tensors
    from mcu_sdk.project.accuracy import read_facts
    from mcu_sdk.project.labels import labels_in
    from mcu_sdk.project.report import print_report
    from mcu_sdk.project.sounds import step_seconds

    labels = labels_in(read_facts(opened.folder / "model"))
    arrays = read_inputs(opened, inputs)
    borders = tensors.borders_of(opened)
    prepared = tensors.prepare(borders.inputs, arrays)
    files = tensors.choose(borders.outputs, outputs, "--output")
    tensors.check_writable(files, [inputs.path] if isinstance(inputs, Media) else list(inputs.values()))
    ran = run_inputs(opened, borders, prepared, **where)
    for name, path in files.items():
        tensors.write_npy(path, ran.outputs[name])
    if as_json:
        told = [
            output_json(border, ran.outputs[border.name], files.get(border.name))
            for border in borders.outputs
        ]
        for entry in told if labels is not None else ():
            if labels is not None and entry["name"] == labels.output:
                entry["labels"] = [label.to_json() for label in labels.read(ran.outputs[labels.output])]
        print(json.dumps({**ran.report.to_json(), "outputs": told}, indent=2))
    elif markdown:
        print("\n" + ran.report.to_markdown(), end="")
    else:
        for border in borders.outputs:
            print(output_line(ran.outputs[border.name], border, files.get(border.name)))
            if labels is not None and border.name == labels.output:
                found = labels.read(ran.outputs[border.name])
                seconds = step_seconds(opened) if isinstance(inputs, Media) and prepared.stacked else None
                print(labels_line(found) if seconds is None else label_times(found, seconds))
        print()
        print_report(ran.report)


def output_line(array: NDArray[Any], border: Border, file: Path | None) -> str:
    """An output on the terminal: where it was written, else its values, or the beginning of them."""
    head = f"{border.name}  {array.dtype}{list(array.shape)}"
    if file is not None:
        return f"{head}  {file}"
    values = ", ".join(
        f"{value:.6g}" if array.dtype.kind == "f" else str(value) for value in array.ravel()[:_SHOWN]
    )
    more = f", ... ({array.size:,} in all; --output writes them)" if array.size > _SHOWN else ""
    return f"{head}  {values}{more}"


def labels_line(labels: Sequence[Label]) -> str:
    """The labels on the terminal, or the first of them."""
    more = f", ... ({len(labels):,} in all)" if len(labels) > _SHOWN else ""
    return "label  " + (", ".join(map(str, labels[:_SHOWN])) + more if labels else "none")


def label_times(labels: Sequence[Label], seconds: float) -> str:
    """A line for each time that one label is the likeliest of a stream, with its greatest share; `seconds`: of a step."""
    lines, begin = [], 0
    for name, group in groupby(labels, key=lambda label: label.name):
        scores = [label.score for label in group]
        end = begin + len(scores)
        best = max((score for score in scores if score is not None), default=None)
        told = "not finite" if best is None else f"{best:.4g}"
        lines.append(f"{begin * seconds:7.2f} to {end * seconds:.2f} s  {name} {told}")
        begin = end
    return "\n".join(lines)


def output_json(border: Border, array: NDArray[Any], file: Path | None) -> dict[str, Any]:
    """An output as JSON; its values, null for what is not finite, where no file has them."""
    import numpy as np

    told = {"name": border.name, "dtype": str(array.dtype), "shape": list(array.shape)}
    if file is not None:
        return {**told, "file": str(file)}
    values = array.astype(object)
    values[~np.isfinite(array)] = None
    return {**told, "values": values.tolist()}


# ---- prompts


def read_lines(file: Path) -> list[str]:
    """The prompts in a file, or, with "-", of standard input; errors as `read_prompts` raises them."""
    from mcu_sdk.project.prompts import prompts_in, read_prompts

    return prompts_in(_standard_input(), "standard input") if str(file) == "-" else read_prompts(file)


def can_converse(opened: Project) -> bool:
    """Whether somebody sits there who could type, and the model takes text."""
    is_terminal = all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))
    takes_text = opened.is_language_model and not opened.answers_tensors
    return is_terminal and takes_text and bool(opened.manifest.model.tokenizer)


def run_prompts(
    opened: Project, file: Path | None, sampling: Sampling, where: Where, *, as_json: bool
) -> None:
    """Give a firmware the lines of `file` ("-": of standard input), or, without one, what is typed until Ctrl-D.

    Each answer is printed as it comes; the report follows. Raises the first refusal when all have been asked.
    """
    from mcu_sdk import api
    from mcu_sdk.project.prompts import require

    is_typed = file is None or (str(file) == "-" and can_converse(opened) and not as_json)
    prompts = None if is_typed or file is None else read_lines(file)
    found = api.run_prompts(
        opened,
        prompts if prompts is not None else _typed(),
        **_shown(not as_json, "Ctrl-D ends.\n" if is_typed else "", "" if is_typed else "{}"),
        **sampling,
        **where,
    )
    _report_answers(found, as_json)
    if not is_typed:
        require(found.answers)


def run_chat(
    opened: Project,
    texts: Sequence[str] | None,
    file: Path | None,
    system: str | None,
    sampling: Sampling,
    where: Where,
    *,
    as_json: bool,
) -> None:
    """Hold a conversation of `texts`, of the lines of `file`, or, without either, of what is typed until Ctrl-D; without a
    terminal, of the lines of standard input.

    Each answer is printed as it comes; the report follows. Raises the first refusal when all have been asked.
    """
    from mcu_sdk import api
    from mcu_sdk.project.chat import NEW, check_holds_chats
    from mcu_sdk.project.prompts import require

    check_holds_chats(opened)
    is_typed = texts is None and str(file or "-") == "-" and can_converse(opened) and not as_json
    lines = texts if texts is not None or is_typed else read_lines(file or Path("-"))
    found = api.chat(
        opened,
        lines if lines is not None else _typed(),
        system=system,
        **_shown(
            not as_json,
            f"{NEW} begins a new conversation, Ctrl-D ends.\n" if is_typed else "",
            "" if is_typed else "> {}\n",
        ),
        **sampling,
        **where,
    )
    _report_answers(found, as_json)
    if not is_typed:
        require(found.answers)


def _shown(shows: bool, hint: str, prompt: str) -> dict[str, Any]:
    """The callbacks of a run on several prompts, which print what comes. `hint`: before the first; `prompt`: how one is
    printed that nobody typed."""
    if not shows:
        return {}

    def on_answer(answer: Answer) -> None:
        say("\n")
        if answer.error is not None:
            log(f"refused: {answer.error}")

    return {
        "on_text": say,
        "on_start": lambda: say(hint),
        "on_prompt": lambda text: say(prompt.replace("{}", text)),
        "on_answer": on_answer,
    }


def _report_answers(found: Answered, as_json: bool) -> None:
    """The answers as JSON, or the report on the last of them."""
    from mcu_sdk.project.report import print_report, transcript_json

    if as_json:
        told = [
            {"prompt": answer.prompt}
            | ({"error": str(answer.error)} if answer.error else transcript_json(answer.transcript))
            for answer in found.answers
        ]
        report = {key: value for key, value in found.report.to_json().items() if key != "run"}
        print(json.dumps({"answers": told, **report}, indent=2))
    else:
        print()
        print_report(found.report)


def _typed() -> Iterator[str]:
    """Lines of a terminal that are not blank, until Ctrl-D."""
    import contextlib

    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  lets input() edit the line
    while True:
        try:
            line = input("> ")
        except EOFError:
            return
        if line.strip():
            yield line.encode("utf-8", "replace").decode()


def _standard_input() -> Iterator[str]:
    """Its lines, without a byte order mark before the first. Raises TextError for what is no UTF-8."""
    from mcu_sdk.errors import TextError

    for number, line in enumerate(sys.stdin.buffer, start=1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise TextError(
                f"Line {number} of standard input was expected to be text in UTF-8; byte {error.start} is not.",
                hint="Save it as UTF-8.",
            ) from error

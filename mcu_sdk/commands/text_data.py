"""What `run` and `verify` do with texts for encoders."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcu_sdk.commands.real_data import labels_line, output_json, output_line

if TYPE_CHECKING:
    from mcu_sdk.project.asked import Where
    from mcu_sdk.project.opened import Project
    from mcu_sdk.project.texts import TextAnswer
    from mcu_sdk.targets.texts import TextRequest


def run_text(
    opened: Project,
    request: TextRequest,
    outputs: Mapping[str | None, Path],
    where: Where,
    *,
    as_json: bool,
    markdown: bool,
) -> None:
    """Give a firmware a text, say what its outputs mean, write them to files, and report."""
    from mcu_sdk.api import run_texts
    from mcu_sdk.project import tensors
    from mcu_sdk.project.report import print_report
    from mcu_sdk.project.texts import check_takes_texts

    check_takes_texts(opened)
    borders = tensors.borders_of(opened)
    files = tensors.choose(borders.outputs, outputs, "--output")
    tensors.check_writable(files)
    read = run_texts(opened, [request], whole=bool(files), **where)
    (answer,) = read.answers
    for name, path in files.items():
        tensors.write_npy(path, answer.outputs[name])
    whole = [border for border in borders.outputs if answer.outputs[border.name].shape == border.shape]
    if as_json:
        told = [output_json(border, answer.outputs[border.name], files.get(border.name)) for border in whole]
        print(json.dumps({**read.report.to_json(), **answer_json(answer), "outputs": told}, indent=2))
    elif markdown:
        print("\n" + read.report.to_markdown(), end="")
    else:
        print(answer_text(answer))
        for border in whole:
            print(output_line(answer.outputs[border.name], border, files.get(border.name)))
        print()
        print_report(read.report)


def answer_text(answer: TextAnswer) -> str:
    """The labels, and how many tokens the text is."""
    lines = [labels_line(answer.labels)] if answer.labels else []
    count = len(answer.transcript.prompt_ids)
    cut = f"; {answer.dropped:,} more were cut off, since the model reads no more" if answer.dropped else ""
    return "\n".join([*lines, f"tokens  {count:,}{cut}"])


def answer_json(answer: TextAnswer) -> dict[str, Any]:
    """The same as plain data."""
    return {
        "text": answer.request.text,
        "text_pair": answer.request.pair,
        "labels": [label.to_json() for label in answer.labels],
        "prompt_ids": list(answer.transcript.prompt_ids),
        "dropped": answer.dropped,
    }

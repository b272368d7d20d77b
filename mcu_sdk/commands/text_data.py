"""What `run` does with texts for encoders, and with tables of texts or numbers."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcu_sdk.commands.real_data import labels_line, output_json, output_line

if TYPE_CHECKING:
    from mcu_sdk.project.asked import Where
    from mcu_sdk.project.labels import Label
    from mcu_sdk.project.opened import Project
    from mcu_sdk.project.report import Report
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
    """The labels, and how many tokens the text is. Where a text has a label of its own, its words' are told by spans."""
    own = [label for label in answer.labels if label.position is None]
    lines = [labels_line(own or answer.labels)] if answer.labels else []
    if answer.spans:
        lines.append("spans  " + ", ".join(map(_span, answer.spans)))
    count = len(answer.transcript.prompt_ids)
    cut = f"; {answer.dropped:,} more were cut off, since the model reads no more" if answer.dropped else ""
    return "\n".join([*lines, f"tokens  {count:,}{cut}"])


def answer_json(answer: TextAnswer) -> dict[str, Any]:
    """The same as plain data."""
    return {
        "text": answer.request.text,
        "text_pair": answer.request.pair,
        "labels": [label.to_json() for label in answer.labels],
        **_spans_json(answer),
        "prompt_ids": list(answer.transcript.prompt_ids),
        "dropped": answer.dropped,
    }


def _spans_json(answer: TextAnswer) -> dict[str, Any]:
    return {} if answer.spans is None else {"spans": [span.to_json() for span in answer.spans]}


def _span(span: Label) -> str:
    return f"{span.name}={span.text} {'' if span.score is None else format(span.score, '.4g')}"


# ---- tables


def run_table(opened: Project, path: Path, where: Where, *, as_json: bool) -> None:
    """Give a firmware the rows of a table; on standard output a line of CSV for each, or JSON with the report.

    Raises UsageError for a table that is not as the model's inputs are, before anything is built.
    """
    from mcu_sdk.project.tensors import borders_of

    borders_of(opened)  # a language model has none
    answered = _texts(opened, path, where) if opened.takes_texts else _numbers(opened, path, where)
    rows, report = answered
    if as_json:
        print(json.dumps({**report.to_json(), "rows": rows}, indent=2))
        return
    writer = csv.writer(sys.stdout, lineterminator="\n")
    names = [name for name in rows[0] if name not in ("labels", "spans", "outputs")]
    has_labels = "labels" in rows[0]
    outputs = [] if has_labels else [_column(*place) for place, _ in _flat(rows[0])]
    writer.writerow([*names, *(["label", "score"] if has_labels else outputs)])
    for row in rows:
        if has_labels:
            labels = _told(row)
            told = [
                "; ".join(_wording(label) for label in labels),
                "; ".join(_score(label) for label in labels),
            ]
        else:
            told = [f"{value:.6g}" if isinstance(value, float) else str(value) for _, value in _flat(row)]
        writer.writerow([*(row[name] for name in names), *told])


def _texts(opened: Project, path: Path, where: Where) -> tuple[list[dict[str, Any]], Report]:
    """Of each row its line, label and what was cut off; what was expected, where the table says so."""
    from mcu_sdk.api import run_texts
    from mcu_sdk.project.rows import read_examples
    from mcu_sdk.targets.texts import TextRequest

    examples = read_examples(path, labels=False)
    read = run_texts(opened, [TextRequest(each.text, each.pair) for each in examples], **where)
    rows = []
    for example, answer in zip(examples, read.answers, strict=True):
        row: dict[str, Any] = {"line": example.line}
        if any(each.label for each in examples):
            row["expected"] = example.label
        row["dropped"] = answer.dropped
        if answer.labels or answer.outputs.keys() == {"logits"}:
            row["labels"] = [label.to_json() for label in answer.labels]
            row |= _spans_json(answer)
        else:
            row["outputs"] = {name: array.tolist() for name, array in answer.outputs.items()}
        rows.append(row)
    return rows, read.report


def _numbers(opened: Project, path: Path, where: Where) -> tuple[list[dict[str, Any]], Report]:
    """The same for rows of features; each is a step of one series."""
    from mcu_sdk.api import run_inputs
    from mcu_sdk.project.accuracy import read_facts
    from mcu_sdk.project.features import inputs_of
    from mcu_sdk.project.labels import labels_in
    from mcu_sdk.project.rows import read_rows
    from mcu_sdk.project.tensors import borders_of

    borders = borders_of(opened)
    kept, inputs = inputs_of(read_rows(path), borders.inputs, path)
    labels = labels_in(read_facts(opened.folder / "model"))
    ran = run_inputs(opened, borders, inputs, **where)
    rows: list[dict[str, Any]] = []
    for number, row in enumerate(kept):
        outputs = {name: array[number] for name, array in ran.outputs.items()}
        if labels is not None:
            found = [label.to_json() for label in labels.read(outputs[labels.output])]
            rows.append({"line": row.line, "labels": found})
        else:
            rows.append(
                {"line": row.line, "outputs": {name: array.tolist() for name, array in outputs.items()}}
            )
    return rows, ran.report


def _flat(row: Mapping[str, Any]) -> list[tuple[tuple[str, int], Any]]:
    """Every number of the outputs, with its output's name and its place."""
    import numpy as np

    return [
        ((name, place), value)
        for name, values in row["outputs"].items()
        for place, value in enumerate(np.asarray(values).ravel().tolist())
    ]


def _column(name: str, place: int) -> str:
    return f"{name}[{place}]"


def _told(row: Mapping[str, Any]) -> list[Any]:
    """The labels of a row; of a token classifier its text's own one and the spans, as a dataset has them."""
    labels: list[Any] = row["labels"]
    if "spans" not in row:
        return labels
    return [*(label for label in labels if "text" not in label), *row["spans"]]


def _wording(label: Mapping[str, Any]) -> str:
    part = label.get("text")
    return str(label["name"]) if part is None else f"{label['name']}={part}"


def _score(label: Mapping[str, Any]) -> str:
    return "" if label["score"] is None else f"{label['score']:.4g}"

"""An encoder on a user's texts, sounds or images: a classifier's accuracy and macro F1 with the firmware's code, or a token classifier's exact
match and F1, and the agreement with float; of others how close their outputs are to the float ones.

The texts are encoded and computed by the C++ sources that run on the device, built for this computer; `verify` shows that
the device has the same bits.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcu_sdk.console import step
from mcu_sdk.errors import UsageError
from mcu_sdk.evaluate_files import IMAGES, KINDS, find_files, labels_of, score_files
from mcu_sdk.origin import checkpoint_of, text_encoder_of
from mcu_sdk.project.accuracy import read_facts
from mcu_sdk.project.heads import TOKENS, Head
from mcu_sdk.project.host_library import HostModel
from mcu_sdk.project.images import Preprocessing
from mcu_sdk.project.labels import Labels
from mcu_sdk.project.manifest import FILE
from mcu_sdk.project.opened import open_project
from mcu_sdk.project.rows import Example, find_table, read_examples
from mcu_sdk.project.texts import Asked, Reader, check_takes_texts
from mcu_sdk.project.token_labels import (
    Answer,
    SpanQuality,
    WrongAnswer,
    answer_of,
    parse_answer,
    span_quality,
)
from mcu_sdk.quality import DatasetScore, agreement, quality
from mcu_sdk.targets.texts import TextRequest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mcu_sdk.options import CompileOptions
    from mcu_sdk.project.opened import Project


CLASSIFICATION = "text-classification"
TEXTS = (
    CLASSIFICATION, TOKENS, "fill-mask", "question-answering", "next-sentence-prediction", "feature-extraction",
)  # fmt: skip
"""Tasks of models that may read texts."""


@dataclass(frozen=True)
class OutputScore:
    """Of what is no classifier: the cosine of the firmware's outputs and the float checkpoint's, of each text's own tokens
    where there is a vector for each."""

    name: str
    rows: int
    cut: int
    mean_cosine: float
    least_cosine: float
    unit: str = "texts"


@dataclass(frozen=True)
class SpanScore:
    """Of a token classifier, as `DatasetScore`; `agreement`: the share of texts with the same answer."""

    name: str
    rows: int
    cut: int
    firmware: SpanQuality
    checkpoint: SpanQuality | None
    agreement: float | None
    unit: str = "texts"


Score = DatasetScore | OutputScore | SpanScore


def is_project(place: str) -> bool:
    """Whether it is a folder that `generate` wrote."""
    return (Path(place) / FILE).is_file()


def evaluate_dataset(
    place: str | None, dataset: Path, options: CompileOptions, *, use_cache: bool = True
) -> Score:
    """`place`: a project, or a checkpoint, which is generated for this computer with `options`.

    Raises UsageError, before anything slow is done, for a dataset that cannot be read and for a model that it cannot be
    measured on; and what generating and building raise.
    """
    if place is not None and is_project(place):
        project = open_project(Path(place))
        kind = KINDS.get(str(read_facts(project.folder / "model").get("task")))
        if kind is not None:
            labels_of(project, kind)
            return score_files(project, find_files(dataset, kind), kind)
        check_takes_texts(project)
        task = Head.of(read_facts(project.folder / "model")).task
    else:
        project, task = None, _task_of(place)
    if task in KINDS:
        files = find_files(dataset, KINDS[task])
        with tempfile.TemporaryDirectory(prefix="mcu-sdk-evaluate-") as folder:
            made = _generate(place, options, Path(folder) / "project", use_cache)
            return score_files(open_project(made), files, KINDS[task])
    table = find_table(dataset)
    with step("Reading the dataset"):
        examples = read_examples(table, labels=task == CLASSIFICATION)
    if project is not None:
        return score(project, table, examples)
    with tempfile.TemporaryDirectory(prefix="mcu-sdk-evaluate-") as folder:
        made = _generate(place, options, Path(folder) / "project", use_cache)
        return score(open_project(made), table, examples)


def score(project: Project, table: Path, examples: Sequence[Example]) -> Score:
    """Build the project for this computer, and measure. `table`: what the examples are from, for messages."""
    check_takes_texts(project)
    reader = Reader.of(project, text_encoder_of(project))
    if reader.head.task == TOKENS and any(example.label for example in examples):
        return _score_spans(project, reader, table, examples)
    if reader.head.task != CLASSIFICATION:
        return _score_outputs(project, reader, [_ask(reader, example, table) for example in examples])
    labels = _labels(project, reader.head)
    right = [_place(example, labels, table) for example in examples]
    asked = [_ask(reader, example, table) for example in examples]
    model = HostModel.of(project.folder)
    with step(f"Measuring the firmware's code on {len(asked):,} texts"):
        chosen = [_choose(model, each, reader, labels) for each in asked]
    found = _float_outputs(project, reader, asked)
    float_choices = None
    if found is not None:
        place = [border.name for border in reader.borders.outputs].index(labels.output)
        float_choices = [int(outputs[place].argmax()) for outputs in found]
    return DatasetScore(
        project.manifest.name,
        len(asked),
        sum(each.encoded.dropped > 0 for each in asked),
        quality(right, chosen),
        None if float_choices is None else quality(right, float_choices),
        None if float_choices is None else agreement(chosen, float_choices),
    )


def _float_outputs(
    project: Project, reader: Reader, asked: Sequence[Asked]
) -> list[list[NDArray[Any]]] | None:
    """The checkpoint's outputs for each text, flat; None where it is not at hand."""
    reference = checkpoint_of(project)
    if reference is None:
        return None
    with step(f"Measuring the float checkpoint on {len(asked):,} texts"):
        return reference.outputs([reader.arrays(each) for each in asked])


def _score_spans(project: Project, reader: Reader, table: Path, examples: Sequence[Example]) -> SpanScore:
    labels = _labels(project, reader.head)
    right = [_answer(example, labels, table) for example in examples]
    asked = [_ask(reader, example, table) for example in examples]
    model = HostModel.of(project.folder)
    with step(f"Measuring the firmware's code on {len(asked):,} texts"):
        found = [_read(reader, each, _outputs_of(model, each, reader)) for each in asked]
    float_found = None
    outputs = _float_outputs(project, reader, asked)
    if outputs is not None:
        float_found = [
            _read(reader, each, _shaped(reader, flat)) for each, flat in zip(asked, outputs, strict=True)
        ]
    return SpanScore(
        project.manifest.name,
        len(asked),
        sum(each.encoded.dropped > 0 for each in asked),
        span_quality(right, found),
        None if float_found is None else span_quality(right, float_found),
        None if float_found is None else sum(map(Answer.equals, found, float_found)) / len(found),
    )


def _answer(example: Example, labels: Labels, table: Path) -> Answer:
    try:
        return parse_answer(example.label, labels, example.text)
    except WrongAnswer as error:
        raise UsageError(
            f"{str(table)!r}, line {example.line}: {error}.",
            hint="The column label has what is right of a text, such as set; room=kitchen; device=lamp.",
        ) from error


def _read(reader: Reader, asked: Asked, outputs: dict[str, NDArray[Any]]) -> Answer:
    found = reader.labels(asked, outputs)
    return answer_of(found, reader.head.spans(asked.request, asked.encoded, found) or ())


def _shaped(reader: Reader, flat: Sequence[NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The outputs by name, each in its shape."""
    borders = reader.borders.outputs
    return {border.name: array.reshape(border.shape) for border, array in zip(borders, flat, strict=True)}


def _score_outputs(project: Project, reader: Reader, asked: Sequence[Asked]) -> OutputScore:
    """Raises UsageError where there is no checkpoint to compare with."""
    reference = checkpoint_of(project)
    with step(f"Measuring the float checkpoint on {len(asked):,} texts"):
        right = None if reference is None else reference.outputs([reader.arrays(each) for each in asked])
    if right is None:
        raise UsageError(
            f"The checkpoint of {project.manifest.name} is needed to compare with; it is not where it was, or another one.",
            hint="Name the checkpoint itself in place of the project.",
        )
    model = HostModel.of(project.folder)
    found = []
    with step(f"Measuring the firmware's code on {len(asked):,} texts"):
        for each, outputs in zip(asked, right, strict=True):
            model.reset()
            model.read(each.sent.text, each.sent.pair)
            found.append(_cosine(model.run_read(), outputs, len(each.encoded.ids)))
    cut = sum(each.encoded.dropped > 0 for each in asked)
    return OutputScore(project.manifest.name, len(asked), cut, sum(found) / len(found), min(found))


def _cosine(ours: Sequence[NDArray[Any]], right: Sequence[NDArray[Any]], tokens: int) -> float:
    """Of all outputs as one vector. `right`: flat; of outputs with a row for each token those of the text's `tokens`."""
    import numpy as np

    sides: tuple[list[NDArray[Any]], list[NDArray[Any]]] = ([], [])
    for left, flat in zip(ours, right, strict=True):
        for side, output in zip(sides, (left, flat.reshape(left.shape)), strict=True):
            side.append((output[:, :tokens] if output.ndim == 3 else output).astype(np.float64).ravel())
    a, b = (np.concatenate(side) for side in sides)
    return float(a @ b / max(float(np.sqrt((a @ a) * (b @ b))), 1e-60))


def _labels(project: Project, head: Head) -> Labels:
    """Raises UsageError for what is no classifier with one right label."""
    labels = head.labels
    if labels is not None and labels.scores == "softmax":
        twice = next((name for name, times in Counter(labels.names).items() if times > 1), None)
        if twice is not None:
            raise UsageError(
                f"Labels of different names were expected; {project.manifest.name} has {twice!r} twice, and which of them is "
                "right cannot be told.",
                hint="Name them in id2label of the checkpoint's config.json, and generate again.",
            )
        return labels
    kinds = {"sigmoid": "several labels of a text may be right", "value": "it gives a value"}
    why = f": {kinds[labels.scores]}" if labels is not None and labels.scores in kinds else ""
    raise UsageError(
        f"Of a classifier's labels one has to be right; {project.manifest.name} has others{why}.",
        hint="`mcu-sdk run PROJECT --csv FILE` says what it makes of each text.",
    )


def _place(example: Example, labels: Labels, table: Path) -> int:
    """The number of the right label: by its name, or by its number where no label is called so."""
    if example.label in labels.names:
        return labels.names.index(example.label)
    if example.label.isdecimal() and int(example.label) < len(labels.names):
        return int(example.label)
    known = ", ".join(labels.names[:20]) + (", ..." if len(labels.names) > 20 else "")
    raise UsageError(
        f"{str(table)!r}, line {example.line}: the model has no label {example.label!r}.",
        hint=f"Its labels are {known}; a number from 0 to {len(labels.names) - 1} names one, too.",
    )


def _ask(reader: Reader, example: Example, table: Path) -> Asked:
    from mcu_sdk.errors import TextError

    try:
        return reader.ask(TextRequest(example.text, example.pair), for_answer=False)
    except TextError as error:
        raise TextError(f"{str(table)!r}, line {example.line}: {error.message}", hint=error.hint) from error


def _choose(model: HostModel, asked: Asked, reader: Reader, labels: Labels) -> int:
    """The label that the firmware's code gives a text."""
    return int(_outputs_of(model, asked, reader)[labels.output].argmax())


def _outputs_of(model: HostModel, asked: Asked, reader: Reader) -> dict[str, NDArray[Any]]:
    """What the firmware's code gives for a text, by name and in its shape."""
    model.reset()
    model.read(asked.sent.text, asked.sent.pair)
    return _shaped(reader, model.run_read())


def _task_of(model: str | None) -> str:
    """Of a checkpoint, by its configuration: before it is compiled. Raises UsageError for one that reads neither texts nor
    files of a kind that is known."""
    from mcu_sdk.model.load import find_checkpoint
    from mcu_sdk.model.tokenizer import tokenizer_file

    with step("Reading the checkpoint"):
        checkpoint = find_checkpoint(model)
        from mcu_sdk.model.encoder import encoder_architecture, task_of

        architecture = encoder_architecture(checkpoint)
        task = "text generation" if architecture is None else task_of(architecture, checkpoint.name).name
    if architecture is None or (task not in TEXTS and task not in KINDS):
        raise UsageError(
            f"--dataset is for encoders of texts and classifiers of sounds and images; {checkpoint.name} is for {task}.",
            hint="Name one, or measure a language model on a text: mcu-sdk evaluate TEXT.",
        )
    if KINDS.get(task) is IMAGES:
        from mcu_sdk.model.image_processor import image_facts

        Preprocessing.of({"images": image_facts(checkpoint.folder)}, checkpoint.name)
    if task in TEXTS and not tokenizer_file(checkpoint.folder).is_file():
        raise UsageError(
            f"--dataset needs texts to become tokens; {checkpoint.name} has no tokenizer.json.",
            hint="Save its tokenizer beside the model.",
        )
    return task


def _generate(model: str | None, options: CompileOptions, folder: Path, use_cache: bool) -> Path:
    from mcu_sdk.generation import generate
    from mcu_sdk.options import GenerateRequest

    request = GenerateRequest("host", options, model=model, output=folder, use_cache=use_cache)
    return generate(request).project

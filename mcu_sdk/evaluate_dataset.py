"""A classifier of texts on a user's dataset: accuracy and macro F1 of the firmware's code, and its agreement with float.

The texts are encoded and computed by the C++ sources that run on the device, built for this computer; `verify` shows that
the device has the same bits.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcu_sdk.console import step
from mcu_sdk.errors import UsageError
from mcu_sdk.origin import checkpoint_of, text_encoder_of
from mcu_sdk.project.heads import Head
from mcu_sdk.project.host_library import HostModel
from mcu_sdk.project.labels import Labels
from mcu_sdk.project.manifest import FILE
from mcu_sdk.project.opened import open_project
from mcu_sdk.project.rows import Example, find_table, read_examples
from mcu_sdk.project.texts import Asked, Reader, check_takes_texts
from mcu_sdk.targets.texts import TextRequest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mcu_sdk.options import CompileOptions
    from mcu_sdk.project.opened import Project


@dataclass(frozen=True)
class Quality:
    """Shares of 1. `macro_f1`: the mean over the labels that are right somewhere or were chosen somewhere."""

    accuracy: float
    macro_f1: float


@dataclass(frozen=True)
class DatasetScore:
    """`rows`: texts; `cut`: those of which the model does not read all; `firmware`: of the int8 code; `checkpoint`: of the
    float one in PyTorch, and `agreement`: the share of texts with the same label, None where that is not at hand."""

    name: str
    rows: int
    cut: int
    firmware: Quality
    checkpoint: Quality | None
    agreement: float | None


def is_project(place: str) -> bool:
    """Whether it is a folder that `generate` wrote."""
    return (Path(place) / FILE).is_file()


def evaluate_dataset(
    place: str | None, dataset: Path, options: CompileOptions, *, use_cache: bool = True
) -> DatasetScore:
    """`place`: a project, or a checkpoint, which is generated for this computer with `options`.

    Raises UsageError, before anything slow is done, for a dataset that cannot be read and for a model that is no
    classifier of texts; and what generating and building raise.
    """
    table = find_table(dataset)
    with step("Reading the dataset"):
        examples = read_examples(table, labels=True)
    if place is not None and is_project(place):
        return score(open_project(Path(place)), table, examples)
    _check_checkpoint(place)
    with tempfile.TemporaryDirectory(prefix="mcu-sdk-evaluate-") as folder:
        project = _generate(place, options, Path(folder) / "project", use_cache)
        return score(open_project(project), table, examples)


def score(project: Project, table: Path, examples: Sequence[Example]) -> DatasetScore:
    """Build the project for this computer, and measure. `table`: what the examples are from, for messages."""
    check_takes_texts(project)
    reader = Reader.of(project, text_encoder_of(project))
    labels = _labels(project, reader.head)
    right = [_place(example, labels, table) for example in examples]
    asked = [_ask(reader, example, table) for example in examples]
    model = HostModel.of(project.folder)
    with step(f"Measuring the firmware's code on {len(asked):,} texts"):
        chosen = [_choose(model, each, reader, labels) for each in asked]
    float_choices = None
    reference = checkpoint_of(project)
    if reference is not None:
        with step(f"Measuring the float checkpoint on {len(asked):,} texts"):
            found = reference.outputs([reader.arrays(each) for each in asked])
        place = [border.name for border in reader.borders.outputs].index(labels.output)
        float_choices = None if found is None else [int(outputs[place].argmax()) for outputs in found]
    return DatasetScore(
        project.manifest.name,
        len(asked),
        sum(each.encoded.dropped > 0 for each in asked),
        quality(right, chosen),
        None if float_choices is None else quality(right, float_choices),
        None if float_choices is None else _share(chosen, float_choices),
    )


def quality(right: Sequence[int], chosen: Sequence[int]) -> Quality:
    """Accuracy and macro F1 of labels by their numbers."""
    scores = []
    for label in sorted({*right, *chosen}):
        both = sum(a == b == label for a, b in zip(right, chosen, strict=True))
        scores.append(2 * both / (right.count(label) + chosen.count(label)))
    return Quality(_share(right, chosen), sum(scores) / len(scores))


def _share(left: Sequence[int], right: Sequence[int]) -> float:
    return sum(a == b for a, b in zip(left, right, strict=True)) / len(left)


def _labels(project: Project, head: Head) -> Labels:
    """Raises UsageError for what is no classifier with one right label."""
    labels = head.labels
    if head.task == "text-classification" and labels is not None and labels.scores == "softmax":
        return labels
    kinds = {"sigmoid": "several labels of a text may be right", "value": "it gives a value"}
    why = f": {kinds[labels.scores]}" if labels is not None and labels.scores in kinds else ""
    raise UsageError(
        f"--dataset is for classifiers of texts, of whose labels one is right; {project.manifest.name} is for "
        f"{head.task or 'another task'}{why}.",
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
        return reader.ask(TextRequest(example.text, example.pair))
    except TextError as error:
        raise TextError(f"{str(table)!r}, line {example.line}: {error.message}", hint=error.hint) from error


def _choose(model: HostModel, asked: Asked, reader: Reader, labels: Labels) -> int:
    """The label that the firmware's code gives a text."""
    model.reset()
    model.read(asked.sent.text, asked.sent.pair)
    outputs: dict[str, NDArray[Any]] = {
        border.name: output for border, output in zip(reader.borders.outputs, model.run_read(), strict=True)
    }
    return int(outputs[labels.output].argmax())


def _check_checkpoint(model: str | None) -> None:
    """Raises UsageError for a checkpoint that is no classifier of texts, by its configuration: before it is compiled."""
    from mcu_sdk.model.load import find_checkpoint

    with step("Reading the checkpoint"):
        checkpoint = find_checkpoint(model)
        from mcu_sdk.model.encoder import encoder_architecture, task_of

        architecture = encoder_architecture(checkpoint)
        task = "language models" if architecture is None else task_of(architecture, checkpoint.name).name
    if task != "text-classification":
        raise UsageError(
            f"--dataset is for classifiers of texts; {checkpoint.name} is for {task}.",
            hint="Name a classifier, or measure a language model on a text: mcu-sdk evaluate TEXT.",
        )


def _generate(model: str | None, options: CompileOptions, folder: Path, use_cache: bool) -> Path:
    from mcu_sdk.generation import generate
    from mcu_sdk.options import GenerateRequest

    request = GenerateRequest("host", options, model=model, output=folder, use_cache=use_cache)
    return generate(request).project

"""A classifier of sounds or of images on a user's files: accuracy and macro F1 of the firmware's code, and its agreement with
float.

What a file becomes goes through the C++ sources that run on the device, with the front end where that is a part of the
model, built for this computer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcu_sdk.console import step
from mcu_sdk.errors import UsageError
from mcu_sdk.origin import checkpoint_of
from mcu_sdk.project.accuracy import read_facts
from mcu_sdk.project.host_library import HostModel
from mcu_sdk.project.images import read_image
from mcu_sdk.project.labels import Labels, labels_in
from mcu_sdk.project.sounds import Listening, inputs_of, read_wav
from mcu_sdk.project.tensors import borders_of
from mcu_sdk.quality import DatasetScore, agreement, quality

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mcu_sdk.project.opened import Project


@dataclass(frozen=True)
class Kind:
    """Of files: what they are, how their names end, and how another file becomes one."""

    unit: str
    endings: tuple[str, ...]
    convert: str

    @property
    def files(self) -> str:
        return f"{', '.join(self.endings)} files"


SOUNDS = Kind("sounds", (".wav",), "sox IN -b 16 -c 1 OUT.wav")
IMAGES = Kind(
    "images",
    (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"),
    "convert IN OUT.png",
)
KINDS = {"audio-classification": SOUNDS, "image-classification": IMAGES}
"""By the task of the model."""


def find_files(folder: Path, kind: Kind) -> dict[str, list[Path]]:
    """The files of a folder with one folder for each label, by the folders' names. Raises UsageError for a folder without any,
    and for what would not be measured: other files in a label's folder, files beside them. Hidden ones do not count."""
    if not folder.is_dir():
        raise UsageError(
            f"A folder of {kind.unit} was expected, not {str(folder)!r}.",
            hint=f"It has a folder of {kind.files} for each label.",
        )
    inside = sorted(each for each in folder.iterdir() if not each.name.startswith("."))
    found = {
        place.name: [
            _checked(file, kind) for file in sorted(place.iterdir()) if not file.name.startswith(".")
        ]
        for place in inside
        if place.is_dir()
    }
    beside = next((each for each in inside if each.is_file() and each.suffix.lower() in kind.endings), None)
    if beside is not None:
        raise UsageError(
            f"{str(beside)!r} lies in no label's folder.", hint="Move it into the folder of its label."
        )
    if not found:
        raise UsageError(
            f"{str(folder)!r} has no {kind.unit}.",
            hint=f"Give a folder with a folder of {kind.files} for each label.",
        )
    return found


def _checked(file: Path, kind: Kind) -> Path:
    if file.suffix.lower() not in kind.endings or not file.is_file():
        raise UsageError(
            f"A label's folder was expected to have {kind.files} alone; {str(file)!r} is none.",
            hint=f"Convert it, or take it out: {kind.convert}.",
        )
    return file


def score_files(project: Project, files: Mapping[str, Sequence[Path]], kind: Kind) -> DatasetScore:
    """Build the project for this computer, and measure it on `files` by the name of their label. Raises UsageError for a model
    that is no classifier of this kind with one right label each, or takes sounds step by step, for names that are no labels,
    and for files that it does not take."""
    facts, labels = read_facts(project.folder / "model"), labels_of(project, kind)
    numbers = {label: _number(label, labels) for label in files}
    right = [numbers[label] for label, paths in files.items() for _ in paths]
    paths = [path for each in files.values() for path in each]
    if not paths:
        raise UsageError(
            f"No folder of a label has any of the {kind.unit} that were expected.",
            hint=f"Put {kind.files} into them.",
        )
    with step(f"Reading the {kind.unit}"):
        asked, cut = _read(project, facts, paths, kind)
    outputs = borders_of(project).outputs
    place = [border.name for border in outputs].index(labels.output)
    model, chosen = HostModel.of(project.folder), []
    with step(f"Measuring the firmware's code on {len(asked):,} {kind.unit}"):
        for inputs in asked:
            model.reset()
            chosen.append(int(model.run(inputs)[place].argmax()))
    floats = None
    reference = checkpoint_of(project)
    if reference is not None:
        with step(f"Measuring the float checkpoint on {len(asked):,} {kind.unit}"):
            found = reference.outputs(asked)
        floats = None if found is None else [int(each[place].argmax()) for each in found]
    return DatasetScore(
        project.manifest.name,
        len(asked),
        cut,
        quality(right, chosen),
        None if floats is None else quality(right, floats),
        None if floats is None else agreement(chosen, floats),
        kind.unit,
    )


def labels_of(project: Project, kind: Kind) -> Labels:
    """Of what the project's model tells whole files of this kind apart by. Raises UsageError for a model that does not."""
    facts, name = read_facts(project.folder / "model"), project.manifest.name
    labels = labels_in(facts)
    streams = kind is SOUNDS and Listening.of(facts, name).streams
    if labels is None or labels.scores != "softmax" or streams:
        option = "--audio" if kind is SOUNDS else "--image"
        advice = "Generate it without --stream; `" if streams else "`"
        raise UsageError(
            f"A classifier of whole {kind.unit}, one label each, was expected; {name} is none.",
            hint=f"{advice}mcu-sdk run PROJECT {option} FILE` says what it makes of one.",
        )
    twice = next((label for label, times in Counter(labels.names).items() if times > 1), None)
    if twice is not None:
        raise UsageError(
            f"Labels of different names were expected; {name} has {twice!r} twice, and which of them is right cannot be told.",
            hint="Name them in id2label of the checkpoint's config.json, and generate again.",
        )
    return labels


def _number(label: str, labels: Labels) -> int:
    """Raises UsageError for a folder that is called as no label is."""
    if label not in labels.names:
        raise UsageError(
            f"The model has no label {label!r}, which a folder of the dataset is called.",
            hint=f"Its labels are {', '.join(labels.names[:20])}{', ...' if len(labels.names) > 20 else ''}.",
        )
    return labels.names.index(label)


def _read(
    project: Project, facts: Mapping[str, Any], paths: Sequence[Path], kind: Kind
) -> tuple[list[list[NDArray[Any]]], int]:
    """The inputs that each file becomes, and of how many the model does not take all."""
    if kind is IMAGES:
        return [list(read_image(project, path).values()) for path in paths], 0
    listening, borders = Listening.of(facts, project.manifest.name), borders_of(project).inputs
    sounds = [read_wav(path, listening.rate) for path in paths]
    asked = [list(inputs_of(each, listening, borders, project.manifest.name).values()) for each in sounds]
    return asked, sum(len(each) > listening.samples for each in sounds)

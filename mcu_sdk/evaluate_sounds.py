"""A classifier of sounds on a user's files: accuracy and macro F1 of the firmware's code, and its agreement with float.

The samples go through the C++ sources that run on the device, front end and model, built for this computer.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mcu_sdk.console import step
from mcu_sdk.errors import UsageError
from mcu_sdk.origin import checkpoint_of
from mcu_sdk.project.accuracy import read_facts
from mcu_sdk.project.host_library import HostModel
from mcu_sdk.project.labels import Labels, labels_in
from mcu_sdk.project.sounds import Listening, inputs_of, read_wav
from mcu_sdk.project.tensors import borders_of
from mcu_sdk.quality import DatasetScore, agreement, quality

if TYPE_CHECKING:
    from mcu_sdk.project.opened import Project

WAV = ".wav"


def find_sounds(folder: Path, labels: Labels) -> list[tuple[Path, int]]:
    """The .wav files of a folder with one folder for each label, and the number of each file's label. Raises UsageError for
    a folder without any, for one that is called as no label is, and for what would not be measured: other files in a label's
    folder, sounds beside them. Hidden files do not count."""
    if not folder.is_dir():
        raise UsageError(
            f"A folder of sounds was expected, not {str(folder)!r}.",
            hint="It has a folder of .wav files for each label.",
        )
    found = []
    for place in sorted(each for each in folder.iterdir() if each.is_dir()):
        if place.name not in labels.names:
            raise UsageError(
                f"The model has no label {place.name!r}, which a folder in {str(folder)!r} is called.",
                hint=f"Its labels are {', '.join(labels.names[:20])}{', ...' if len(labels.names) > 20 else ''}.",
            )
        number = labels.names.index(place.name)
        found += [
            (_checked(file), number) for file in sorted(place.iterdir()) if not file.name.startswith(".")
        ]
    beside = next((each for each in sorted(folder.iterdir()) if each.suffix.lower() == WAV), None)
    if beside is not None and beside.is_file():
        raise UsageError(
            f"{str(beside)!r} lies in no label's folder.", hint="Move it into the folder of its label."
        )
    if not found:
        raise UsageError(
            f"{str(folder)!r} has no sounds.",
            hint="Give a folder with a folder of .wav files for each label.",
        )
    return found


def _checked(file: Path) -> Path:
    if file.suffix.lower() != WAV or not file.is_file():
        raise UsageError(
            f"A label's folder was expected to have .wav files alone; {str(file)!r} is none.",
            hint="Convert it, or take it out: sox IN -b 16 -c 1 OUT.wav.",
        )
    return file


def score_sounds(project: Project, folder: Path) -> DatasetScore:
    """Build the project for this computer, and measure. Raises UsageError for a model that is no classifier of sounds with
    one right label each, or takes them step by step, and for files that it does not take."""
    facts, name = read_facts(project.folder / "model"), project.manifest.name
    listening, labels = Listening.of(facts, name), labels_in(facts)
    if labels is None or labels.scores != "softmax" or listening.streams:
        raise UsageError(
            f"A classifier of whole sounds, one label each, was expected; {name} is none.",
            hint="Generate it without --stream; `mcu-sdk run PROJECT --audio FILE` says what it makes of a sound.",
        )
    borders = borders_of(project)
    with step("Reading the sounds"):
        files = find_sounds(folder, labels)
        sounds = [read_wav(path, listening.rate) for path, _ in files]
        asked = [list(inputs_of(each, listening, borders.inputs, name).values()) for each in sounds]
    right = [number for _, number in files]
    place = [border.name for border in borders.outputs].index(labels.output)
    model, chosen = HostModel.of(project.folder), []
    with step(f"Measuring the firmware's code on {len(asked):,} sounds"):
        for inputs in asked:
            model.reset()
            chosen.append(int(model.run(inputs)[place].argmax()))
    floats = None
    reference = checkpoint_of(project)
    if reference is not None:
        with step(f"Measuring the float checkpoint on {len(asked):,} sounds"):
            outputs = reference.outputs(asked)
        floats = None if outputs is None else [int(each[place].argmax()) for each in outputs]
    return DatasetScore(
        name,
        len(asked),
        sum(len(each) > listening.samples for each in sounds),
        quality(right, chosen),
        None if floats is None else quality(right, floats),
        None if floats is None else agreement(chosen, floats),
        "sounds",
    )

"""A sound file as a model's input: a .wav of 16-bit samples, one channel, at the rate that the checkpoint was trained at.

A model with its front end on the device takes the samples; of another (an NPU's) the features are computed here, by the
same operators.
"""

from __future__ import annotations

import wave
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcu_sdk.console import log
from mcu_sdk.errors import UsageError
from mcu_sdk.project.accuracy import read_facts
from mcu_sdk.project.preparation import reading, said_of
from mcu_sdk.project.tensors import Border, borders_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mcu_sdk.project.opened import Project

CONVERT = "Convert it: sox IN.wav -b 16 -c 1 -r {rate} OUT.wav, or ffmpeg -i IN -ac 1 -ar {rate} -sample_fmt s16 OUT.wav"

STREAMED = 1 << 30
"""Samples that no file has: what is written to a pipe says so, because its length is not known at the beginning."""

SAMPLES = "samples"
"""The input of a model that takes sound itself."""


@dataclass(frozen=True)
class Listening:
    """What model/report.json says of sounds: `rate` in samples a second, `samples` of one input, whether the model takes
    samples (`on_device`), and whether it takes a sound step by step (`streams`)."""

    rate: int
    samples: int
    on_device: bool
    streams: bool
    facts: Mapping[str, Any]

    @classmethod
    def of(cls, facts: Mapping[str, Any], name: str) -> Listening:
        """Raises UsageError where it says nothing, or why it does not know."""
        said = said_of(facts, "sounds", name, "no feature extractor is known of it")
        with reading("sounds", name):
            return cls(
                int(said["rate"]), int(said["samples"]), said["front"] == "device", "stream" in said, said
            )


def read_sound(project: Project, path: Path) -> dict[str, NDArray[Any]]:
    """The project's inputs, by their names, from a .wav file: cut or filled up to the model's length, which is said. Raises
    UsageError for a model that takes no sound, and for a file that is none it could take."""
    if (project.is_language_model and not project.answers_tensors) or project.takes_texts:
        raise UsageError(
            f"--audio is for models of sound; {project.manifest.name} takes a text.",
            hint="Give it what it takes: --prompt or --text.",
        )
    borders = borders_of(project).inputs
    listening = Listening.of(read_facts(project.folder / "model"), project.manifest.name)
    sound = read_wav(path, listening.rate)
    if listening.streams:
        return {borders[0].name: steps_of(sound, listening)}
    _say_length(len(sound), listening)
    return inputs_of(sound, listening, borders, project.manifest.name)


def step_seconds(project: Project) -> float | None:
    """How long the sound of one step is, of a model that takes it step by step; None of another."""
    said = read_facts(project.folder / "model").get("sounds")
    if not isinstance(said, Mapping) or "stream" not in said:
        return None
    listening = Listening.of({"sounds": said}, project.manifest.name)
    return listening.samples / listening.rate


def steps_of(sound: NDArray[Any], listening: Listening) -> NDArray[Any]:
    """A series of steps, int16[steps, 1, samples]; the last one is filled up with silence."""
    import numpy as np

    count = -(-len(sound) // listening.samples)
    filled = np.zeros(count * listening.samples, np.int16)
    filled[: len(sound)] = sound
    return filled.reshape(count, 1, listening.samples)


def inputs_of(
    sound: NDArray[Any], listening: Listening, borders: tuple[Border, ...], name: str
) -> dict[str, NDArray[Any]]:
    """The inputs of int16 samples. Raises UsageError where the model's are others than model/report.json says."""
    import numpy as np

    used = sound[: listening.samples]
    filled = np.zeros((1, listening.samples), np.int16)
    filled[0, : len(used)] = used
    if listening.on_device:
        given: tuple[NDArray[Any], ...] = (
            filled,
            np.array([len(used)], np.int64),
            *_mask(listening, len(used)),
        )
        given = given[: len(borders)]
    else:
        given = (_features(used, listening.facts),)
    for border, array in zip(borders, given, strict=False):
        if border.shape != array.shape or border.dtype != str(array.dtype):
            raise UsageError(
                f"{name} takes {border} as {border.name}; a sound becomes {array.dtype}{list(array.shape)}.",
                hint="Generate the project again.",
            )
    return {border.name: array for border, array in zip(borders, given, strict=True)}


def _mask(listening: Listening, heard: int) -> list[NDArray[Any]]:
    """Which rows of an encoder count, int64[1, rows], of one that a decoder attends to and that tells (model/sound_rows.py)."""
    import numpy as np

    rows = listening.facts.get("rows")
    if not isinstance(rows, Mapping):
        return []
    begins = np.arange(int(rows["count"])) * int(rows["stride"])
    return [(begins < heard).astype(np.int64)[None]]


def _features(sound: NDArray[Any], facts: Mapping[str, Any]) -> NDArray[Any]:
    from mcu_sdk.operators.reference.sound_front import SoundFront

    front = SoundFront(facts)
    features: NDArray[Any] = front(*front.inputs_of(sound)).numpy()
    return features


def _say_length(samples: int, listening: Listening) -> None:
    apart, length = samples - listening.samples, f"{samples / listening.rate:.2f} s"
    if apart > 0:
        log(
            f"sound  {length}; the last {apart / listening.rate:.2f} s were cut off, since the model takes no more"
        )
    elif apart < 0:
        log(f"sound  {length}; {-apart / listening.rate:.2f} s of the model's input were left empty")


def read_wav(path: Path, rate: int) -> NDArray[Any]:
    """Its samples, int16[n], n > 0. Raises UsageError for what is no .wav file of 16-bit samples of one channel at `rate`."""
    import numpy as np

    convert = CONVERT.format(rate=rate)
    try:
        with wave.open(str(path), "rb") as file:
            channels, width, found, frames = file.getparams()[:4]
            if channels != 1:
                raise UsageError(f"{str(path)!r} has {channels} channels; one is wanted.", hint=convert)
            if width != 2:
                raise UsageError(
                    f"{str(path)!r} has samples of {8 * width} bits; 16 are wanted.", hint=convert
                )
            if found != rate:
                raise UsageError(
                    f"{str(path)!r} has {found:,} samples a second; the model was trained at {rate:,}.",
                    hint=convert,
                )
            content = file.readframes(frames)
    except (wave.Error, EOFError) as error:
        raise UsageError(
            f"{str(path)!r} cannot be read as a .wav file of plain samples: {error or 'it ends too early'}.",
            hint=convert,
        ) from error
    except OSError as error:
        raise UsageError(
            f"{str(path)!r} cannot be read: {error.strerror or error}.", hint="Check the path."
        ) from error
    samples = np.frombuffer(content[: len(content) // 2 * 2], "<i2").astype(np.int16)
    if len(samples) < frames < STREAMED:
        raise UsageError(
            f"{str(path)!r} says that it has {frames:,} samples; {len(samples):,} are there.",
            hint=f"Fetch or record it again. {convert}",
        )
    if not len(samples):
        raise UsageError(f"{str(path)!r} has no samples.", hint="Give a file with sound in it.")
    return samples

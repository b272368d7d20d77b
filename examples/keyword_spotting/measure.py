"""Measure the model: python examples/keyword_spotting/measure.py --data FOLDER --project PROJECT --stream STREAM

PROJECT takes a second of sound, STREAM (generated with --stream) tenths of one; both run as C++ built for this computer.
Prints the accuracy of the float checkpoint and of the firmware's int8 code on voices that were held out, words that are
found in a stream of them, and false alarms an hour of sentences and noise without any.
"""

from __future__ import annotations

import argparse
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from speech import (
    HELD_OUT_SENTENCES,
    HELD_OUT_VOICES,
    LABELS,
    RATE,
    WORDS,
    any_voice,
    noise,
    recorded,
    speak,
)

from mcu_sdk.origin import checkpoint_of
from mcu_sdk.project.host_library import HostModel
from mcu_sdk.project.opened import open_project

THRESHOLD, STEPS, PAUSE = 0.9, 3, 8
"""A word is heard where its share in the mean of so many steps reaches the threshold; then not again for some steps."""


class Detector:
    """step(logits) -> the number of the word that was just heard, or None."""

    def __init__(self, threshold: float = THRESHOLD) -> None:
        self._threshold, self._shares, self._pause = threshold, deque(maxlen=STEPS), 0

    def step(self, logits: NDArray[np.float32]) -> int | None:
        shares = np.exp(logits - logits.max())
        self._shares.append(shares / shares.sum())
        self._pause = max(0, self._pause - 1)
        mean = np.mean(self._shares, axis=0)
        best = int(mean.argmax())
        heard = len(self._shares) == STEPS and mean[best] >= self._threshold and LABELS[best] in WORDS
        if not heard or self._pause:
            return None
        self._pause = PAUSE
        return best


def accuracy(project: Path, samples: NDArray[np.int16], labels: NDArray[np.int64]) -> None:
    """Of whole windows: the firmware's code and the float checkpoint."""
    model, count = HostModel.of(project), np.array([samples.shape[1]])
    calls = [[each[None], count] for each in samples]
    found = np.array([model.run(call)[0].argmax() for call in calls])
    print(f"int8, the firmware's code   {100 * np.mean(found == labels):6.2f} % of {len(labels):,}")
    reference = checkpoint_of(open_project(project))
    outputs = None if reference is None else reference.outputs(calls)
    if outputs is not None:
        floats = np.array([each[0].argmax() for each in outputs])
        print(f"float32, PyTorch            {100 * np.mean(floats == labels):6.2f} %")
        print(f"the same label              {100 * np.mean(floats == found):6.2f} %")
    for number, label in enumerate(LABELS):
        print(f"  {label:8} {100 * np.mean(found[labels == number] == number):6.1f} %")


def scores_of(model: HostModel, sound: NDArray[np.int16]) -> NDArray[np.float64]:
    """The logits of each step of a stream."""
    model.reset()
    step = model.inputs[0].size
    steps = sound[: len(sound) // step * step].reshape(-1, 1, step)
    return np.array([model.run([each])[0][0] for each in steps], np.float64)


def heard_in(scores: NDArray[np.float64], seconds: float, threshold: float) -> Iterator[tuple[float, int]]:
    """The words and when they are heard; `seconds` of a step."""
    detector = Detector(threshold)
    for number, logits in enumerate(scores, start=1):
        word = detector.step(logits)
        if word is not None:
            yield number * seconds, word


def false_alarms(random: np.random.Generator, minutes: int) -> NDArray[np.int16]:
    """Sentences of held-out voices, pauses and noise."""
    parts: list[NDArray[np.int16]] = []
    while sum(map(len, parts)) < minutes * 60 * RATE:
        sentence = speak(str(random.choice(HELD_OUT_SENTENCES)), *any_voice(random, HELD_OUT_VOICES))
        padded = np.pad(sentence, (0, int(random.integers(RATE // 4, 2 * RATE))))
        background = noise(random, len(padded))
        parts.append(recorded(random, padded, background, random.uniform(5, 30)))
    return np.concatenate(parts)


def words_in_a_row(
    random: np.random.Generator, count: int
) -> tuple[NDArray[np.int16], list[tuple[float, int]]]:
    """Words with a second or more between them; each with the time at which it ends."""
    parts, ends, at = [], [], 0
    for _ in range(count):
        word = int(random.integers(len(WORDS)))
        said = speak(WORDS[word], *any_voice(random, HELD_OUT_VOICES))
        before, behind = int(random.integers(RATE // 2, RATE)), int(random.integers(RATE // 2, RATE))
        padded = np.pad(said, (before, behind))
        parts.append(recorded(random, padded, noise(random, len(padded)), random.uniform(10, 30)))
        ends.append(((at + before + len(said)) / RATE, word))
        at += len(padded)
    return np.concatenate(parts), ends


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--project", type=Path)
    parser.add_argument("--stream", type=Path)
    parser.add_argument("--minutes", type=int, default=20)
    parser.add_argument("--words", type=int, default=200)
    parser.add_argument("--seed", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.project is not None:
        held = np.load(arguments.data / "test.npz")
        accuracy(arguments.project, held["samples"], held["labels"])
    if arguments.stream is None:
        return
    random, model = np.random.default_rng(arguments.seed), HostModel.of(arguments.stream)
    quiet = false_alarms(random, arguments.minutes)
    spoken, ends = words_in_a_row(random, arguments.words)
    seconds, scores = model.inputs[0].size / RATE, [scores_of(model, sound) for sound in (quiet, spoken)]
    for threshold in (0.6, 0.7, 0.8, 0.9, 0.95):
        alarms = len(list(heard_in(scores[0], seconds, threshold)))
        found = list(heard_in(scores[1], seconds, threshold))
        hits = sum(
            any(0 <= at - end + 0.5 <= 1.6 and word == right for at, word in found) for end, right in ends
        )
        print(
            f"threshold {threshold}: {100 * hits / len(ends):5.1f} % of {len(ends)} words heard, "
            f"{alarms * 3600 * RATE / len(quiet):.1f} false alarms an hour ({alarms} in {len(quiet) / RATE / 60:.0f} min)"
        )


if __name__ == "__main__":
    main()

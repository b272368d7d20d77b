"""Make the data: python examples/keyword_spotting/make_data.py --out FOLDER

FOLDER/train.npz has spectrograms float16[n, 98, 40] with labels, of training voices; FOLDER/validation.npz and
FOLDER/test.npz have samples int16[n, 15920] of other voices, and FOLDER/test has some of the latter as .wav files, by label.
"""

from __future__ import annotations

import argparse
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from speech import (
    HELD_OUT_SENTENCES,
    HELD_OUT_VOICES,
    HELD_OUT_WORDS,
    LABELS,
    OTHER_WORDS,
    RATE,
    SILENCE,
    TRAINING_SENTENCES,
    TRAINING_VOICES,
    UNKNOWN,
    WINDOW,
    WORDS,
    Sound,
    any_voice,
    noise,
    placed,
    recorded,
    speak,
)

from mcu_sdk.model.sound_processor import sound_facts
from mcu_sdk.operators.reference.sound_front import SoundFront

Clip = tuple[str, Sound]


def clips(
    random: np.random.Generator,
    voices: Sequence[str],
    others: Sequence[str],
    sentences: Sequence[str],
    count: int,
) -> list[Clip]:
    """Words of `count` voices, and as many of others and of parts of sentences as make a tenth of all each."""
    made = [(word, speak(word, *any_voice(random, voices))) for word in WORDS for _ in range(count)]
    made += [(UNKNOWN, speak(str(random.choice(others)), *any_voice(random, voices))) for _ in range(count)]
    for _ in range(count // 4):
        whole = speak(str(random.choice(sentences)), *any_voice(random, voices))
        made += [(UNKNOWN, whole[int(random.integers(len(whole) // 2)) :][:WINDOW]) for _ in range(4)]
    return made + [(SILENCE, np.zeros(WINDOW)) for _ in range(count)]


def windows(
    random: np.random.Generator, made: Sequence[Clip], loudness: tuple[float, float], times: int
) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
    """Each clip `times` over: int16[n, WINDOW], labels[n]."""
    babble = [sound for label, sound in made if label == UNKNOWN and len(sound) > RATE // 2]
    samples, labels = [], []
    for label, sound in made:
        for _ in range(times):
            background = noise(random, WINDOW, babble)
            above = random.uniform(*loudness)
            if label == SILENCE:  # of any level, down to nothing
                background, above = background * random.choice([0.0, 0.03, 0.3, 1.0]), 0.0
            samples.append(recorded(random, placed(random, sound), background, above))
            labels.append(LABELS.index(label))
    return np.stack(samples), np.array(labels)


def spectrograms(samples: NDArray[np.int16]) -> NDArray[np.float16]:
    """Natural logarithms float16[n, 98, 40], by the kernel's own specification."""
    front = plain_front()
    return np.stack([front(*front.inputs_of(each))[0].numpy().astype(np.float16) for each in samples])


def plain_front() -> SoundFront:
    """AST's front end without its normalization."""
    import tempfile

    from transformers import ASTFeatureExtractor

    with tempfile.TemporaryDirectory() as folder:
        ASTFeatureExtractor(max_length=98, num_mel_bins=40, do_normalize=False).save_pretrained(folder)
        return SoundFront(sound_facts(Path(folder), (1, 98, 40)))


def write_wav(path: Path, samples: NDArray[np.int16]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(samples.astype("<i2").tobytes())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=350, help="clips of each word")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(arguments.seed)
    made = clips(random, TRAINING_VOICES, OTHER_WORDS, TRAINING_SENTENCES, arguments.count)
    samples, labels = windows(random, made, (3, 35), 5)
    np.savez(out / "train.npz", features=spectrograms(samples), labels=labels)
    # Every third voice that was held out decides when to stop, the others are the test.
    for name, voices in (
        ("validation", HELD_OUT_VOICES[::3]),
        ("test", sorted({*HELD_OUT_VOICES} - {*HELD_OUT_VOICES[::3]})),
    ):
        made = clips(random, voices, HELD_OUT_WORDS, HELD_OUT_SENTENCES, arguments.count // 5)
        samples, labels = windows(random, made, (10, 35), 1)
        np.savez(out / f"{name}.npz", samples=samples, labels=labels)
    for number in range(0, len(samples), 7):
        write_wav(out / "test" / LABELS[labels[number]] / f"{number}.wav", samples[number])


if __name__ == "__main__":
    main()

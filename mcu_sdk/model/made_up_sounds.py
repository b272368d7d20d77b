"""Sounds to calibrate on where nobody gives any: voices of pulses and noise through the resonances of a mouth, by syllables,
above noise of several levels; where white noise alone would leave out what filters for pitches and vowels answer to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SECOND = 16_000
"""Samples that are made; of a longer sound they are repeated."""

SYLLABLE = 1_600
"""Samples between one loudness and the next."""

LEVELS = (0.5, 0.2, 0.05, 0.01)
"""The greatest magnitude, of 1, that the sounds have by turns."""

BACKGROUNDS = (0.0, 0.003, 0.03, 0.3)
"""Noise beside the voice, of its loudest."""

MOUTHS = (
    ((1.9, -0.92), (1.5, -0.85), (-0.4, -0.8)),
    ((1.93, -0.95), (0.7, -0.85), (-0.9, -0.82)),
    ((1.85, -0.9), (1.7, -0.86), (0.0, -0.8)),
    ((1.94, -0.96), (1.2, -0.84), (-0.2, -0.85)),
)
"""Vowels: y[t] = x[t] + a y[t - 1] + b y[t - 2], three times over."""


def made_up_sounds(length: int, count: int) -> list[NDArray[np.int16]]:
    """`count` sounds of `length` samples, from a fixed seed; the last is silent. Nothing but additions and products, so
    that every computer makes the same."""
    random = np.random.default_rng(0)
    samples = min(length, SECOND)
    noise = random.integers(-1000, 1001, (samples, count)) / 1000
    voices = _through_mouths(_pulses(random, samples, count) + 0.05 * noise) * _syllables(
        random, samples, count
    )
    voices /= np.maximum(np.abs(voices).max(0), 1e-9)
    found = []
    for number in range(count):
        sound = voices[:, number] + BACKGROUNDS[number % len(BACKGROUNDS)] * noise[:, -1 - number]
        sound *= LEVELS[number // len(BACKGROUNDS) % len(LEVELS)] / max(float(np.abs(sound).max()), 1e-9)
        found.append(np.resize(np.rint(sound * 32767), length).astype(np.int16))
    found[-1] = np.zeros(length, np.int16)
    return found


def _pulses(random: np.random.Generator, samples: int, count: int) -> NDArray[np.float64]:
    """[samples, count]: a pulse each 50 to 200 samples."""
    pulses = np.zeros((samples, count))
    for number, period in enumerate(random.integers(50, 201, count)):
        pulses[:: int(period), number] = 1
    return pulses


def _through_mouths(sources: NDArray[np.float64]) -> NDArray[np.float64]:
    mouths = np.array([MOUTHS[number % len(MOUTHS)] for number in range(sources.shape[1])])
    for formant in range(mouths.shape[1]):
        a, b = mouths[:, formant].T
        before, earlier = np.zeros(len(a)), np.zeros(len(a))
        out = np.empty_like(sources)
        for place, x in enumerate(sources):
            before, earlier = x + a * before + b * earlier, before
            out[place] = before
        sources = out
    return sources


def _syllables(random: np.random.Generator, samples: int, count: int) -> NDArray[np.float64]:
    """[samples, count]: loudness that rises or falls from one syllable to the next, sometimes to nothing."""
    steps = samples // SYLLABLE + 2
    loud = np.maximum(random.integers(-300, 1001, (steps, count)) / 1000, 0)
    place = np.arange(samples)
    step, part = place // SYLLABLE, (place % SYLLABLE)[:, None] / SYLLABLE
    return np.asarray(loud[step] * (1 - part) + loud[step + 1] * part)

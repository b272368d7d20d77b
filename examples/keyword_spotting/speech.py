"""Speech to train and test on, made by espeak-ng (`apt-get install espeak-ng`): what is said, by which voices, how noisy.

Everything follows from the seed; the audio is never committed. MBROLA's voices are left out, and so are the robots'.
"""

from __future__ import annotations

import io
import subprocess
import wave
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

RATE = 16_000
WINDOW = RATE - 80
"""Samples of one input: 98 frames of 25 ms each 10 ms."""

WORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
UNKNOWN, SILENCE = "unknown", "silence"
LABELS = (*WORDS, UNKNOWN, SILENCE)

ACCENTS = (
    "en-gb", "en-us", "en-gb-scotland", "en-gb-x-gbclan", "en-gb-x-rp", "en-gb-x-gbcwmd", "en-029", "en-us-nyc",
)  # fmt: skip

TRAINING_VOICES = (
    "Alex", "Alicia", "Andrea", "Andy", "Annie", "Denis", "Diogo", "Gene", "Henrique", "Hugo", "Jacky", "Lee", "Marco",
    "Mario", "Michael", "Mike", "Mr serious", "Nguyen", "adam", "anika", "announcer", "antonio", "belinda", "benjamin",
    "boris", "caleb", "david", "ed", "edward", "f1", "f3", "f4", "grandma", "gustave", "iven", "iven2", "john",
    "kaukovalta", "klatt", "klatt3", "linda", "m1", "m2", "m4", "m5", "m7", "marcelo", "max", "miguel", "pablo", "pedro",
    "quincy", "robert", "sandro", "steph", "steph3", "travis", "victor",
)  # fmt: skip
HELD_OUT_VOICES = (
    "AnxiousAndy", "Gene2", "Storm", "Tweaky", "aunty", "edward2", "f2", "f5", "grandpa", "iven3", "klatt2", "m3", "m6",
    "m8", "michel", "norbert", "paul", "rob", "shelby", "steph2", "zac",
)  # fmt: skip

OTHER_WORDS = (
    "bed", "bird", "cat", "dog", "happy", "house", "marvin", "sheila", "tree", "wow", "zero", "one", "two", "three",
    "four", "five", "six", "seven", "eight", "nine", "water", "table", "window", "river", "music", "paper", "garden",
    "summer", "kitchen", "letter", "number", "people", "mother", "father", "brother", "sister", "morning", "evening",
    "picture", "story", "island", "mountain", "silver", "yellow", "purple", "orange", "apple", "banana", "tomato",
    "pepper", "coffee", "simple", "little", "better", "again", "always", "never", "maybe", "perhaps", "because",
    "between", "under", "through", "against", "before", "after", "open", "close", "start", "push", "pull", "turn",
    "light", "sound", "voice", "call", "play", "read", "write", "hello", "thanks", "please",
)  # fmt: skip
HELD_OUT_WORDS = (
    "lamp", "bottle", "winter", "doctor", "twenty", "engine", "forest", "ladder", "planet", "button", "candle",
    "market",
)  # fmt: skip

TRAINING_SENTENCES = (
    "the farmer carried a heavy basket across the field",
    "she bought three tickets for the evening train",
    "my brother likes to paint small wooden boats",
    "we should finish this chapter before dinner",
    "the weather was warm and the children played outside",
    "please put the clean dishes in the cupboard",
    "he wrote a long letter to his best friend",
    "every morning a blackbird sings near the window",
    "the museum has a fine collection of old maps",
    "they walked along the river until it became dark",
    "a cup of tea with milk would be lovely",
    "our neighbour repairs clocks and watches",
    "the teacher explained the lesson very clearly",
    "fresh bread smells better than anything else",
    "the captain counted all of his passengers twice",
    "yesterday it rained for almost seven hours",
    "could you remember where the keys are kept",
    "the library opens at nine and closes at six",
    "several students asked difficult questions",
    "the old bridge was painted green and white",
)
HELD_OUT_SENTENCES = (
    "the gardener planted roses behind the stone wall",
    "a small orange cat slept under the kitchen table",
    "it takes forty minutes to travel to the city",
    "her grandmother tells wonderful stories about the sea",
    "the orchestra practised the same piece all afternoon",
    "fishermen mended their nets beside the harbour",
    "we visited a castle with eleven towers",
    "most people prefer coffee with their breakfast",
    "the engineer measured the temperature of the water",
    "snow covered the quiet village in december",
    "his uncle keeps bees and sells honey",
    "the train arrived twenty minutes late this evening",
    "children were laughing in the school playground",
    "a gentle breeze moved the silver curtains",
    "the baker prepared a hundred little cakes",
    "nobody could explain the strange yellow light",
)

Sound = NDArray[np.float64]
"""Samples within [-1, 1)."""


def speak(text: str, voice: str, speed: int, pitch: int) -> Sound:
    """Speech at RATE, without the silence before and behind it. `voice`: "en-gb+f2"."""
    command = ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout", text]
    said = subprocess.run(command, check=True, capture_output=True).stdout
    with wave.open(io.BytesIO(said)) as file:
        rate = file.getframerate()
        samples = np.frombuffer(file.readframes(1 << 24), "<i2")
    sound = resample_poly(samples / 32768, RATE // 50, rate // 50)
    loud = np.flatnonzero(np.abs(sound) > 0.02 * np.abs(sound).max())
    return sound[loud[0] : loud[-1] + 1] if len(loud) else sound


def any_voice(random: np.random.Generator, voices: Sequence[str]) -> tuple[str, int, int]:
    """A voice with one of the accents, words a minute and pitch, of 0 to 99."""
    voice = f"{random.choice(ACCENTS)}+{random.choice(voices)}"
    return voice, int(random.integers(110, 211)), int(random.integers(25, 76))


def noise(random: np.random.Generator, length: int, babble: Sequence[Sound] = ()) -> Sound:
    """White, pink or brown noise, the hum of mains, a room of speakers or nothing, of a mean square of 1 (or 0)."""
    kind = int(random.integers(0, 6 if babble else 5))
    if kind < 3:
        spectrum = np.fft.rfft(random.standard_normal(length))
        shaped = np.fft.irfft(spectrum / np.maximum(np.arange(len(spectrum)), 20.0) ** (kind / 2), length)
    elif kind == 3:
        t, tone = np.arange(length) / RATE, random.choice([50.0, 60.0, 100.0])
        shaped = sum(np.sin(2 * np.pi * (tone * k * t + random.random())) / k for k in range(1, 9))
        shaped = shaped + 0.3 * random.standard_normal(length)
    elif kind == 4:
        return np.zeros(length)
    else:
        shaped = np.zeros(length)
        for _ in range(4):
            other = babble[int(random.integers(len(babble)))]
            shaped += np.resize(np.roll(other, int(random.integers(len(other)))), length)
    power = np.sqrt(np.mean(shaped**2))
    return np.asarray(shaped / power if power else shaped)


def placed(random: np.random.Generator, speech: Sound) -> Sound:
    """A window with the speech anywhere in it; of longer speech a part."""
    spare = WINDOW - len(speech)
    at = int(random.integers(0, abs(spare) + 1))
    if spare < 0:
        return speech[at : at + WINDOW]
    return np.pad(speech, (at, spare - at))


def recorded(
    random: np.random.Generator, window: Sound, background: Sound, loudness: float
) -> NDArray[np.int16]:
    """int16 samples of a window at any level, `loudness` dB above its background (from 5 to 30 are usual)."""
    power = np.sqrt(np.mean(window**2)) or 1.0
    mixed = window / power + background * 10 ** (-loudness / 20)
    level = 10 ** (random.uniform(-38, -14) / 20)
    return np.clip(np.rint(mixed * level * 32768), -32768, 32767).astype(np.int16)

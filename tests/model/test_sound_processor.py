"""preprocessor_config.json becomes a front end whose features are those of transformers' own classes, within a bound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import (
    ASTFeatureExtractor,
    ViTImageProcessor,
    Wav2Vec2FeatureExtractor,
    WhisperFeatureExtractor,
)

from mcu_sdk.model.made_up_sounds import made_up_sounds
from mcu_sdk.model.sound_processor import sound_facts
from mcu_sdk.operators.reference.sound_front import SoundFront

MEASURED = 7e-4
"""The greatest difference, of features whose deviation is one half; that of a sweep beside next to nothing."""


def sounds() -> dict[str, np.ndarray[Any, Any]]:
    """A second and a half of each: int16."""
    rng, t = np.random.default_rng(0), np.arange(24_000) / 16_000
    made = {
        "noise": rng.normal(size=24_000) * 3000,
        "quiet": rng.normal(size=24_000),
        "tone": 20_000 * np.sin(2 * np.pi * 440 * t),
        "sweep": 8000 * np.sin(2 * np.pi * (100 + 3000 * t) * t) + rng.normal(size=24_000) * 3,
        "offset": 12_000 + rng.normal(size=24_000),
        "silence": np.zeros(24_000),
        "short": rng.normal(size=7_000) * 100,
    }
    voices = {f"voice {n}": sound for n, sound in enumerate(made_up_sounds(24_000, 8))}
    return {name: np.rint(x).clip(-32768, 32767).astype(np.int16) for name, x in {**made, **voices}.items()}


def front_of(extractor: Any, folder: Path, shape: tuple[int, ...]) -> SoundFront:
    extractor.save_pretrained(folder)
    facts = sound_facts(folder, shape)
    assert "refused" not in facts, facts
    return SoundFront(facts)


@pytest.mark.parametrize(
    ("extractor", "shape"),
    [
        (ASTFeatureExtractor(max_length=98, num_mel_bins=40), (1, 98, 40)),
        (ASTFeatureExtractor(max_length=60, num_mel_bins=128, do_normalize=False), (1, 60, 128)),
        (WhisperFeatureExtractor(chunk_length=1), (1, 80, 100)),
        (WhisperFeatureExtractor(chunk_length=1, feature_size=16, n_fft=512, hop_length=200), (1, 16, 80)),
    ],
)
def test_spectrograms(extractor: Any, shape: tuple[int, ...], tmp_path: Path) -> None:
    front = front_of(extractor, tmp_path, shape)
    scale = 1.0 if getattr(extractor, "do_normalize", True) else 2 * extractor.std
    for name, sound in sounds().items():
        wave = sound[: front.samples].astype(np.float32) / 32768
        theirs = extractor(wave, sampling_rate=16_000, return_tensors="np")[extractor.model_input_names[0]]
        ours = front(*front.inputs_of(sound)).numpy()
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=MEASURED * scale, err_msg=name)


@pytest.mark.parametrize("normalizes", [True, False])
def test_waveforms(normalizes: bool, tmp_path: Path) -> None:
    extractor = Wav2Vec2FeatureExtractor(do_normalize=normalizes, return_attention_mask=True)
    front = front_of(extractor, tmp_path, (1, 16_000))
    for name, sound in sounds().items():
        wave = sound[: front.samples].astype(np.float32) / 32768
        given = {"padding": "max_length", "max_length": 16_000, "return_tensors": "np"}
        theirs = extractor(wave, sampling_rate=16_000, **given)["input_values"]
        np.testing.assert_allclose(
            front(*front.inputs_of(sound)).numpy(), theirs, rtol=0, atol=2e-4, err_msg=name
        )


@pytest.mark.parametrize(
    ("extractor", "shape", "why"),
    [
        (ASTFeatureExtractor(max_length=98), (1, 98, 40), "num_mel_bins are 98 and 128"),
        (ASTFeatureExtractor(max_length=98, sampling_rate=8000), (1, 98, 128), "sampling_rate is 8000"),
        (WhisperFeatureExtractor(), (1, 80, 100), "make 80 x 3000"),
        (WhisperFeatureExtractor(chunk_length=1, dither=0.1), (1, 80, 100), "dither"),
        (WhisperFeatureExtractor(chunk_length=1, n_fft=480), (1, 80, 100), "n_fft is 480"),
        (Wav2Vec2FeatureExtractor(padding_value=1.0), (1, 16_000), "padding_value is 1.0"),
        (Wav2Vec2FeatureExtractor(feature_size=2), (1, 16_000), "feature_size is 2"),
        (ViTImageProcessor(), (1, 16_000), "the class None"),
    ],
)
def test_what_is_refused(extractor: Any, shape: tuple[int, ...], why: str, tmp_path: Path) -> None:
    extractor.save_pretrained(tmp_path)
    assert why in sound_facts(tmp_path, shape)["refused"]


def test_nothing_said(tmp_path: Path) -> None:
    assert "has no preprocessor_config.json" in sound_facts(tmp_path, (1, 16_000))["refused"]
    (tmp_path / "preprocessor_config.json").write_text("[")
    assert "preprocessor_config.json" in sound_facts(tmp_path, (1, 16_000))["refused"]


def test_made_up_sounds() -> None:
    """The same each time, of every level, the last one silent; longer ones go on from the beginning."""
    first, second = made_up_sounds(20_000, 16), made_up_sounds(20_000, 16)
    assert all(
        (a == b).all() and a.dtype == np.int16 and a.shape == (20_000,)
        for a, b in zip(first, second, strict=True)
    )
    assert not first[-1].any()
    greatest = [int(np.abs(sound.astype(int)).max()) for sound in first[:-1]]
    assert min(greatest) < 400 and max(greatest) > 16_000
    assert (first[0][:4000] == first[0][16_000:]).all()

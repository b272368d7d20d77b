"""What a checkpoint's preprocessor_config.json says of sound: read once, at generation, as plain data.

The defaults are those of transformers' own classes. What the file says and is not used is refused by name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mcu_sdk.json_file import JsonFileError, read_object
from mcu_sdk.model.image_processor import FILE, Unknown, flag

RATE = 16_000
"""Samples a second where the file says nothing, and the only rate for which AST's frames are defined."""

LONGEST_WINDOW = 512
"""Samples of a frame (planning/emitters/mcu_sound.py)."""

_SAME_ANYWAY = frozenset(
    [
        "feature_extractor_type",
        "processor_class",
        "_processor_class",
        "return_tensors",
        "padding_side",
        "return_attention_mask",
        "nb_max_frames",
        "n_samples",
        "chunk_length_s",
        "mel_filters",
    ]
)
"""Keys that make no difference to one sound of the model's own length, or follow from others."""


def sound_facts(folder: Path, shape: tuple[int, ...]) -> dict[str, Any]:
    """How a sound becomes the model's main input of `shape`: {"kind": "log-mel" or "waveform", "rate", "samples",
    "counted", ...}, or {"refused": why} where that is not known.

    `samples`: how many make one input; `counted`: whether their number tells what is only filled up.
    """
    if not (folder / FILE).is_file():
        return {"refused": f"its checkpoint has no {FILE}"}
    try:
        return _facts(read_object(folder / FILE), shape)
    except (JsonFileError, Unknown) as error:
        return {"refused": f"in the checkpoint's {FILE} {error}"}


def _facts(said: Mapping[str, Any], shape: tuple[int, ...]) -> dict[str, Any]:
    """Raises Unknown."""
    name = said.get("feature_extractor_type")
    reader = EXTRACTORS.get(str(name))
    if reader is None:
        raise Unknown(f"the class {name!r} is named; known are {', '.join(EXTRACTORS)}")
    return reader(said, shape)


def _ast(said: Mapping[str, Any], shape: tuple[int, ...]) -> dict[str, Any]:
    """Kaldi's: windows of 25 ms each 10 ms, in 512 points."""
    _check_keys(said, {"feature_size", "num_mel_bins", "max_length", "do_normalize", "mean", "std"})
    frames, bins = _whole(said, "max_length", 1024), _whole(said, "num_mel_bins", 128)
    if shape != (1, frames, bins):
        raise Unknown(f"max_length and num_mel_bins are {frames} and {bins}; the model reads {list(shape)}")
    if _rate(said) != RATE:
        raise Unknown(f"sampling_rate is {_rate(said)}; frames are known of {RATE}")
    mean, std = _number(said, "mean", -4.2677393), _number(said, "std", 4.5689974)
    if not flag(said, "do_normalize", True):
        mean, std = 0.0, 0.5
    if not std > 0:
        raise Unknown(f"std is {std}, not above 0")
    return {
        "kind": "log-mel",
        "extractor": "ast",
        "rate": RATE,
        "samples": 400 + 160 * (frames - 1),
        "counted": True,
        "frames": frames,
        "bins": bins,
        "window": 400,
        "points": 512,
        "hop": 160,
        "centered": False,
        "from_mean": True,
        "bins_first": False,
        "preemphasis": 0.97,
        "floor": 1.192092955078125e-07,
        "gain": 1 / (2 * std),
        "offset": -mean / (2 * std),
        "reach": 0.0,
    }


def _whisper(said: Mapping[str, Any], shape: tuple[int, ...]) -> dict[str, Any]:
    """Frames around each hop; logarithms to base 10, no more than 8 below the greatest."""
    _check_keys(said, {"feature_size", "hop_length", "chunk_length", "n_fft", "dither"})
    bins, hop = _whole(said, "feature_size", 80), _whole(said, "hop_length", 160)
    window, rate = _whole(said, "n_fft", 400), _rate(said)
    samples = _whole(said, "chunk_length", 30) * rate
    frames = samples // hop
    if shape != (1, bins, frames):
        raise Unknown(
            f"feature_size, chunk_length and hop_length make {bins} x {frames}; the model reads {list(shape)}"
        )
    if _number(said, "dither", 0.0):
        raise Unknown("dither is not 0, which is chance")
    if window % 2 or window > LONGEST_WINDOW or not _only_2_and_5(window // 2):
        raise Unknown(
            f"n_fft is {window}; even numbers with factors 2 and 5, up to {LONGEST_WINDOW}, are known"
        )
    return {
        "kind": "log-mel",
        "extractor": "whisper",
        "rate": rate,
        "samples": samples,
        "counted": False,
        "frames": frames,
        "bins": bins,
        "window": window,
        "points": window,
        "hop": hop,
        "centered": True,
        "from_mean": False,
        "bins_first": True,
        "preemphasis": 0.0,
        "floor": 1e-10,
        "gain": 1 / (4 * math.log(10)),
        "offset": 1.0,
        "reach": 2.0,
    }


def _waveform(said: Mapping[str, Any], shape: tuple[int, ...]) -> dict[str, Any]:
    """Samples of mean 0 and variance 1 (do_normalize), or as they are."""
    _check_keys(said, {"feature_size", "do_normalize"})
    if _whole(said, "feature_size", 1) != 1 or len(shape) != 2:
        raise Unknown(f"feature_size is {said.get('feature_size')}; one value a sample is known")
    return {
        "kind": "waveform",
        "rate": _rate(said),
        "samples": shape[1],
        "counted": True,
        "normalizes": flag(said, "do_normalize", True),
    }


EXTRACTORS = {
    "ASTFeatureExtractor": _ast,
    "WhisperFeatureExtractor": _whisper,
    "Wav2Vec2FeatureExtractor": _waveform,
}
"""By name; HuBERT, WavLM, Moonshine and others use Wav2Vec2's."""


def _only_2_and_5(points: int) -> bool:
    for factor in (2, 5):
        while points > 1 and points % factor == 0:
            points //= factor
    return points == 1


def _check_keys(said: Mapping[str, Any], used: set[str]) -> None:
    for key, value in said.items():
        if key in used or key in _SAME_ANYWAY or key == "sampling_rate" or value is None or value is False:
            continue
        if key == "padding_value" and value == 0:
            continue
        raise Unknown(f"{key} is {value!r}, which nothing here does")


def _rate(said: Mapping[str, Any]) -> int:
    return _whole(said, "sampling_rate", RATE)


def _whole(said: Mapping[str, Any], key: str, default: int) -> int:
    value = said.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 1 << 24:
        raise Unknown(f"{key} is {value!r}, not a whole number above 0")
    return value


def _number(said: Mapping[str, Any], key: str, default: float) -> float:
    value = said.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise Unknown(f"{key} is {value!r}, not a number")
    return float(value)

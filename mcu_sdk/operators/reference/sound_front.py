"""Samples -> a model's main input, as a part of the model: transformers' feature extractors as operators of ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mcu_sdk.errors import UsageError
from mcu_sdk.operators.reference.fourier import roots_of
from mcu_sdk.operators.reference.sound import log_mel  # noqa: F401  registers the operators

SAMPLES, COUNT = "samples", "sample_count"
"""The names of its inputs."""


class SoundFront(nn.Module):
    """forward(samples int16[1, N][, count int64[1]]) -> the main input. `facts`: of sound_facts, nothing refused; `count`
    where they say `counted`: of shorter sounds how many samples count."""

    window: torch.Tensor
    roots: torch.Tensor
    filters: torch.Tensor
    spans: torch.Tensor

    def __init__(self, facts: Mapping[str, Any]) -> None:
        super().__init__()
        self.facts = dict(facts)
        self.samples = int(facts["samples"])
        self.input_names: tuple[str, ...] = (SAMPLES, COUNT) if facts["counted"] else (SAMPLES,)
        if facts["kind"] == "log-mel":
            bank = _bank(facts)
            filters, spans = _packed(bank)
            tables = {
                "window": torch.from_numpy(_window(facts)),
                "roots": torch.from_numpy(roots_of(facts["points"])),
                "filters": torch.from_numpy(filters),
                "spans": torch.from_numpy(spans),
            }
            for name, table in tables.items():
                self.register_buffer(name, table)

    def take(self, shape: tuple[int, ...]) -> None:
        """Of a waveform: make inputs of this shape, [1, samples]; a spectrogram's is what it is."""
        if self.facts["kind"] == "waveform":
            self.samples = self.facts["samples"] = shape[1]

    def forward(self, samples: torch.Tensor, count: torch.Tensor | None = None) -> torch.Tensor:
        if self.facts["kind"] == "waveform":
            wave: torch.Tensor = torch.ops.mcu.normalize_wave(samples, count, self.facts["normalizes"])
            return wave
        return self.spectrogram(samples, count, self.facts["frames"])

    def spectrogram(self, samples: torch.Tensor, count: torch.Tensor | None, frames: int) -> torch.Tensor:
        """float32[1, frames, bins], or with the bins first, of a log-mel front."""
        facts = self.facts
        flags = (facts[name] for name in ("centered", "from_mean", "bins_first"))
        numbers = (facts[name] for name in ("preemphasis", "floor", "gain", "offset", "reach"))
        tables = (self.window, self.roots, self.filters, self.spans)
        out: torch.Tensor = torch.ops.mcu.log_mel(
            samples, count, *tables, frames, facts["hop"], *flags, *numbers
        )[0]
        return out

    @property
    def heard(self) -> int:
        """Samples of a sound to calibrate on."""
        return self.samples

    def calls_of(self, sounds: Sequence[NDArray[Any]]) -> list[tuple[torch.Tensor, ...]]:
        """The calls of sounds of int16 samples."""
        return [self.inputs_of(sound) for sound in sounds]

    def inputs_of(self, samples: NDArray[Any]) -> tuple[torch.Tensor, ...]:
        """The inputs of a sound of int16 samples: cut, or filled up with zeros, to the length of one."""
        used = samples[: self.samples]
        filled = np.zeros((1, self.samples), np.int16)
        filled[0, : len(used)] = used
        given = torch.from_numpy(filled), torch.tensor([len(used)])
        return given[: len(self.input_names)]


class StreamFront(SoundFront):
    """forward(samples int16[1, step * hop]) -> the newest window of frames: what was heard before stays in a ring of frames
    and in the samples that the next frame reaches back to. Before anything was heard the frames are 0, the mean."""

    ring: torch.Tensor
    tail: torch.Tensor

    def __init__(self, facts: Mapping[str, Any], step: int) -> None:
        """`step`: frames in one. Raises UsageError for a front end of another kind, and more frames than it has."""
        super().__init__(facts)
        streams = facts["kind"] == "log-mel" and not (
            facts["centered"] or facts["bins_first"] or facts["reach"]
        )
        if not streams or step > facts["frames"]:
            what = f"--stream takes frames of an ASTFeatureExtractor one after the other, at most {facts.get('frames', 0)}"
            raise UsageError(f"{what}; asked for are {step}, of a front end of the kind {facts['kind']}.")
        self.step, self.samples = step, step * facts["hop"]
        self.facts.update(stream=step, samples=self.samples, counted=False)
        self.input_names = (SAMPLES,)
        self.register_buffer("ring", torch.zeros(1, facts["frames"], facts["bins"]))
        self.register_buffer("tail", torch.zeros(1, facts["window"] - facts["hop"], dtype=torch.int16))

    def forward(self, samples: torch.Tensor, count: torch.Tensor | None = None) -> torch.Tensor:
        heard = torch.cat([self.tail, samples], 1)
        newest = torch.cat([self.ring[:, self.step :], self.spectrogram(heard, None, self.step)], 1)
        self.tail.copy_(heard[:, -self.tail.shape[1] :])
        self.ring.copy_(newest)
        return newest

    @property
    def heard(self) -> int:
        """As many steps as fill the ring."""
        return -(-int(self.facts["frames"]) // self.step) * self.samples

    def calls_of(self, sounds: Sequence[NDArray[Any]]) -> list[tuple[torch.Tensor, ...]]:
        """The sounds one after the other, a call for each step."""
        joined = np.concatenate([np.resize(sound, self.heard) for sound in sounds])
        return [(part,) for part in torch.from_numpy(joined).reshape(-1, 1, self.samples)]


def _window(facts: Mapping[str, Any]) -> NDArray[Any]:
    from transformers.audio_utils import window_function

    periodic = facts["extractor"] == "whisper"
    return np.asarray(window_function(facts["window"], "hann", periodic=periodic), np.float32)


def _bank(facts: Mapping[str, Any]) -> NDArray[Any]:
    """float64[powers, bins], as the extractor's class makes it."""
    from transformers.audio_utils import mel_filter_bank

    powers, bins, rate = 1 + facts["points"] // 2, facts["bins"], facts["rate"]
    if facts["extractor"] == "whisper":
        bank = mel_filter_bank(powers, bins, 0.0, 8000.0, rate, norm="slaney", mel_scale="slaney")
    else:
        bank = mel_filter_bank(
            powers, bins, 20, rate // 2, rate, mel_scale="kaldi", triangularize_in_mel_space=True
        )
    return np.asarray(bank)


def _packed(bank: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The weights that are not 0, bin by bin, and of each bin the first power and the number of them."""
    weights, spans = [], []
    for column in bank.T.astype(np.float32):
        places = np.flatnonzero(column)
        first, end = (int(places[0]), int(places[-1]) + 1) if len(places) else (0, 0)
        weights.append(column[first:end])
        spans.append((first, end - first))
    return np.concatenate(weights), np.array(spans, np.int32)

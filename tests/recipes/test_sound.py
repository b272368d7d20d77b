"""A stream of sound gives the frames of the whole, to the bit, however many come at a time."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import ASTFeatureExtractor, Wav2Vec2FeatureExtractor

from mcu_sdk.errors import ModelError, UsageError
from mcu_sdk.lowering.memoryless import without_memory
from mcu_sdk.model.made_up_sounds import made_up_sounds
from mcu_sdk.model.sound_processor import sound_facts
from mcu_sdk.operators.reference.sound_front import SoundFront, StreamFront
from mcu_sdk.recipes.sound import compare_with_transformers

FRAMES = 20
SHAPE = (1, FRAMES, 12)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("checkpoint")
    ASTFeatureExtractor(max_length=FRAMES, num_mel_bins=12).save_pretrained(place)
    return place


@pytest.mark.parametrize("step", [1, 3, 10, FRAMES])
def test_a_stream_is_the_whole(folder: Path, step: int) -> None:
    facts = sound_facts(folder, SHAPE)
    whole, stream = SoundFront(facts), StreamFront(facts, step)
    steps = FRAMES // step + 3
    sound = made_up_sounds(steps * step * 160, 8)[2]
    for part in torch.from_numpy(sound.reshape(-1, 1, step * 160)):
        newest = stream(part)
    window = sound[-(whole.samples) :]
    assert torch.equal(newest, whole(*whole.inputs_of(window)))
    assert torch.equal(newest, stream.ring)


def test_a_stream_begins_anew(folder: Path) -> None:
    stream = StreamFront(sound_facts(folder, SHAPE), 5)
    part = torch.from_numpy(made_up_sounds(800, 8)[0][None])
    with without_memory(stream):
        first = stream(part)
        assert not torch.equal(first, stream(part))
    assert not stream.ring.any() and torch.equal(stream(part), first)


def test_streams_that_do_not_go(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at most 20; asked for are 21"):
        StreamFront(sound_facts(folder, SHAPE), 21)
    Wav2Vec2FeatureExtractor().save_pretrained(tmp_path)
    with pytest.raises(UsageError, match="of the kind waveform"):
        StreamFront(sound_facts(tmp_path, (1, 400)), 1)


@pytest.mark.parametrize("step", [None, 7])
def test_compared_with_transformers(folder: Path, step: int | None) -> None:
    """And refused where it computes something else."""
    facts, checkpoint = sound_facts(folder, SHAPE), SimpleNamespace(folder=folder)
    front = SoundFront(facts) if step is None else StreamFront(facts, step)
    sounds = made_up_sounds(8000, 8)
    calls = front.calls_of(sounds)
    assert compare_with_transformers(front, checkpoint, calls) < 1e-4
    front.facts["preemphasis"] = 0.9
    with pytest.raises(ModelError, match="ASTFeatureExtractor"):
        compare_with_transformers(front, checkpoint, calls)


def test_inputs_are_cut_and_filled(folder: Path) -> None:
    front = SoundFront(sound_facts(folder, SHAPE))
    samples, count = front.inputs_of(np.arange(5000, dtype=np.int16))
    assert samples.shape == (1, 3440) and count.tolist() == [3440] and samples[0, -1] == 3439
    samples, count = front.inputs_of(np.arange(1, 100, dtype=np.int16))
    assert count.tolist() == [99] and samples[0, 98:101].tolist() == [99, 0, 0]

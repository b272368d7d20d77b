"""The front end of a model of sound: made from what its checkpoint says, and held against transformers' own class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mcu_sdk.errors import ModelError, UsageError
from mcu_sdk.model.encoder import sound_facts_of
from mcu_sdk.model.load import Checkpoint
from mcu_sdk.operators.reference.sound_front import SoundFront, StreamFront

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BOUND = 2e-3
"""The greatest difference from transformers' features that is explained: float32 against float64 where a bin has next to
nothing beside bins that have nearly everything (measured: 7e-4)."""


def make_sound_front(model: PreTrainedModel, checkpoint: Checkpoint, stream: int | None) -> SoundFront | None:
    """The front end of a model, None where its checkpoint does not say how sounds are prepared. `stream`: frames of a step;
    then raises UsageError for a model that takes no sound so."""
    facts = sound_facts_of(model, checkpoint)
    if facts is not None and "refused" not in facts:
        return SoundFront(facts) if stream is None else StreamFront(facts, stream)
    if stream is not None:
        why = (
            "is for something else"
            if facts is None
            else f"is not known to prepare sounds: {facts['refused']}"
        )
        raise UsageError(
            f"--stream is for models of sound; {checkpoint.name} {why}.", hint="Leave --stream out."
        )
    return None


def compare_with_transformers(
    front: SoundFront, checkpoint: Checkpoint, calls: Sequence[Sequence[Any]]
) -> float:
    """The greatest difference from what the checkpoint's own feature extractor makes of the same sounds. Raises ModelError
    where it is beyond BOUND."""
    import transformers

    extractor = transformers.AutoFeatureExtractor.from_pretrained(checkpoint.folder)
    greatest = 0.0
    if isinstance(front, StreamFront):
        front, calls = _whole(front, calls)
    for call in calls:
        wave = call[0][0].numpy().astype(np.float32) / 32768
        filling: dict[str, Any] = {}
        if front.facts["kind"] == "waveform":
            wave = wave[: int(call[1])]
            filling = {"padding": "max_length", "max_length": front.samples, "return_attention_mask": True}
        made = extractor(wave, sampling_rate=front.facts["rate"], return_tensors="np", **filling)
        theirs = np.asarray(made[extractor.model_input_names[0]])
        ours = front(*call[: len(front.input_names)]).numpy()
        apart = np.abs(ours - theirs).max() if ours.shape == theirs.shape else np.inf
        greatest = max(greatest, float(apart))
    if not greatest <= BOUND:
        raise ModelError(
            f"The features of sounds were expected to be those of the checkpoint's own {type(extractor).__name__}, within "
            f"{BOUND}; they differ by {greatest:.3g}.",
            hint="That is a defect in mcu-sdk's front end; please report it with preprocessor_config.json. Without that "
            "file the model takes features instead of samples.",
        )
    return greatest


def _whole(front: StreamFront, calls: Sequence[Sequence[Any]]) -> tuple[SoundFront, list[Any]]:
    """The front end without a stream, and the same sounds for it."""
    frames, hop, window = (front.facts[name] for name in ("frames", "hop", "window"))
    length = window + hop * (frames - 1)
    whole = SoundFront({**front.facts, "samples": length, "counted": True})
    heard = torch.cat([call[0][0] for call in calls]).numpy()
    return whole, [whole.inputs_of(heard[at:]) for at in range(0, len(heard) - length + 1, length)]

"""Which rows of an encoder of sound count, where a sound is shorter than its input: of one that tells so itself, as
Moonshine's does, whose rows each begin so many samples behind the one before."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from mcu_sdk.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MASK = "attention_mask"


@dataclass(frozen=True)
class Rows:
    """`count` rows, of which row i counts where sample `stride` * i does, of an input of `samples`."""

    count: int
    stride: int
    samples: int

    def mask(self, heard: int) -> torch.Tensor:
        """Of `heard` samples, 1 or more: int64[1, count]."""
        return (torch.arange(self.count)[None] * self.stride < heard).to(torch.int64)

    def of_samples(self, mask: torch.Tensor) -> torch.Tensor:
        """The mask that the model reads, int64[1, samples], by that of its rows: what it makes the same of again."""
        wide = mask.repeat_interleave(self.stride, 1)[:, : self.samples]
        return torch.nn.functional.pad(wide, (0, self.samples - wide.shape[1]))


@torch.no_grad()
def find_rows(model: PreTrainedModel, samples: int) -> Rows | None:
    """Of an encoder of waveforms that is given which of `samples` count and tells which of its rows do; None for another.

    It is asked with a mask whose values number the samples, which it passes on. Raises ModelError where they are not evenly
    apart from the first on.
    """
    if MASK not in inspect.signature(model.forward).parameters:
        return None
    numbers = torch.arange(1, samples + 1)[None]
    found = getattr(model(torch.zeros(1, samples), attention_mask=numbers), MASK, None)
    if not isinstance(found, torch.Tensor) or found.ndim != 2:
        return None
    places = found[0].to(torch.int64) - 1
    stride = int(places[1]) if len(places) > 1 else samples
    if not torch.equal(places, torch.arange(len(places)) * stride):
        raise ModelError(
            f"An encoder whose rows each follow one sample, evenly apart, was expected; those of a "
            f"{type(model).__name__} follow the samples {places[:6].tolist()} ....",
            hint="Save it as a checkpoint of its own, or lower it yourself and pass it with --pte.",
        )
    return Rows(len(places), stride, samples)

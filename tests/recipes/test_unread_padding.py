"""Encoders are calibrated on texts without padding, where nothing reads it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from mcu_sdk.recipes.unread_padding import without_padding

LENGTH = 6


class Encoder(nn.Module):
    """A vector for each token, and their mean where `attention_mask` counts them; `reads`: of all of them."""

    def __init__(self, reads: bool = False, names: tuple[str, ...] = ("input_ids", "attention_mask")) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table, self.reads, self.input_names = nn.Embedding(9, 4), reads, names

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, *rest: torch.Tensor) -> Any:
        rows = self.table(ids)
        counts = torch.ones_like(mask) if self.reads else mask
        return rows, (rows * counts[..., None]).sum(1) / counts.sum(1)


def call(*ids: int) -> tuple[torch.Tensor, ...]:
    rest = LENGTH - len(ids)
    return torch.tensor([[*ids, *[0] * rest]]), torch.tensor([[1] * len(ids) + [0] * rest])


def filled(encoder: Any, calls: list[tuple[torch.Tensor, ...]]) -> list[Any]:
    return [[tensor.tolist()[0] for tensor in each] for each in without_padding(encoder, calls)]


def test_a_text_goes_on_where_nothing_counts() -> None:
    calls = [call(1, 2, 3, 4, 5, 6), call(7, 8), call(3)]
    assert filled(Encoder(), calls) == [
        [[1, 2, 3, 4, 5, 6], [1] * 6],
        [[7, 8, 7, 8, 7, 8], [1, 1, 0, 0, 0, 0]],
        [[3] * 6, [1, 0, 0, 0, 0, 0]],
    ]
    assert calls[1][0].tolist() == [[7, 8, 0, 0, 0, 0]]


@pytest.mark.parametrize(
    "encoder", [Encoder(reads=True), Encoder(names=("input_ids",)), Encoder(names=("pixel_values",))]
)
def test_what_is_read_stays(encoder: Encoder) -> None:
    calls = [call(1, 2, 3), call(7, 8)]
    assert without_padding(encoder, calls) == calls  # type: ignore[arg-type]  # all that it asks for

"""Which rows of an encoder of sound count: what transformers makes of a mask of samples."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig, MoonshineModel

from mcu_sdk.errors import ModelError
from mcu_sdk.model.sound_rows import Rows, find_rows

SIZES = {"hidden_size": 16, "intermediate_size": 16, "encoder_num_hidden_layers": 1, "vocab_size": 20}
HEADS = {"encoder_num_attention_heads": 2, "decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 2}


def test_rows_are_those_of_transformers() -> None:
    torch.manual_seed(0)
    model = MoonshineModel(AutoConfig.for_model("moonshine", **SIZES, **HEADS)).get_encoder().eval()
    rows = find_rows(model, 4000)
    assert rows == Rows(count=9, stride=384, samples=4000)
    for heard in (1, 384, 385, 2000, 3072, 3073, 4000):
        wide = (torch.arange(4000)[None] < heard).long()
        with torch.no_grad():
            theirs = model(torch.zeros(1, 4000), attention_mask=wide).attention_mask
            ours = model(
                torch.zeros(1, 4000), attention_mask=rows.of_samples(rows.mask(heard))
            ).attention_mask
        assert torch.equal(rows.mask(heard), theirs.long()) and torch.equal(ours, theirs)


class Other(torch.nn.Module):
    """Gives what it is told as the rows' mask."""

    def __init__(self, places: list[int] | None) -> None:
        super().__init__()
        self.places = places

    def forward(self, values: torch.Tensor, attention_mask: torch.Tensor) -> object:
        mask = None if self.places is None else attention_mask[:, self.places]
        return type("Output", (), {"attention_mask": mask})()


def test_rows_that_are_not_told_or_uneven() -> None:
    assert find_rows(Other(None), 100) is None  # type: ignore[arg-type]
    assert find_rows(torch.nn.Linear(1, 1), 100) is None  # type: ignore[arg-type]
    assert find_rows(Other([0, 10, 20]), 100) == Rows(3, 10, 100)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="evenly"):
        find_rows(Other([0, 10, 30]), 100)  # type: ignore[arg-type]

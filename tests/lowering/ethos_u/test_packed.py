"""Bytes of packed weights: few levels take few, and nothing goes below their entropy."""

from __future__ import annotations

import sys

import pytest
import torch

from mcu_sdk.errors import ToolMissingError
from mcu_sdk.lowering.ethos_u.packed import packed_bytes
from mcu_sdk.lowering.levels_by_cost import entropy, nearest
from tests.lowering.test_gptq import normal


def test_few_levels_take_few_bytes() -> None:
    """No fewer than their entropy, and a tenth and 64 bytes more at most: what Golomb and Rice's codes lose, and a stream's head."""
    weight = normal(1, 96, 128)
    sizes = []
    for side in (3, 7, 31, 127):
        values = nearest(weight, side)
        least = entropy(values) * values.numel() / 8
        sizes.append(packed_bytes(values))
        assert least < sizes[-1] < 1.1 * least + 64
    assert sizes == sorted(sizes)


def test_without_vela(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ethosu", None)
    with pytest.raises(ToolMissingError, match="ethos-u-vela") as refused:
        packed_bytes(torch.zeros(8, 8, dtype=torch.int8))
    assert refused.value.exit_code == 4

"""Weight streams through the codec's process: what is corrupt ends that process, and not this one."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from mcu_sdk.errors import ToolMissingError
from mcu_sdk.npu import weight_decoder


def compressed(weights: list[int]) -> bytes:
    from ethosu import mlw_codec

    return bytes(mlw_codec.encode(weights))


def weights(seed: int, count: int = 3000) -> list[int]:
    rng = np.random.default_rng(seed)
    return [int(w) for w in np.clip(rng.normal(0, 30, count), -127, 127)]


@pytest.mark.parametrize("count", [1, 16, 3000, 70_000])
def test_what_was_encoded_comes_back(count: int) -> None:
    """70,000 weights take several slices."""
    values = weights(count, count)
    assert weight_decoder.shared.decode(compressed(values)).tolist() == values


def test_a_corrupt_stream_is_refused_and_the_next_one_is_decoded() -> None:
    values = weights(1)
    whole = compressed(values)
    for _ in range(2):
        with pytest.raises(ValueError, match="the weight stream of 50 bytes is corrupt"):
            weight_decoder.shared.decode(whole[:50])
        assert weight_decoder.shared.decode(whole).tolist() == values


def test_without_the_codec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ethosu", None)
    monkeypatch.delitem(sys.modules, "ethosu.mlw_codec", raising=False)
    with pytest.raises(ToolMissingError, match="ethos-u-vela") as caught:
        weight_decoder.WeightDecoder().decode(bytes([0xFF]))
    assert "pip install" in caught.value.hint

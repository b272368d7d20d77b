"""Attention by elements: the same as in matrix products, in planes of a cache as many as have room."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mcu_sdk.lowering.ethos_u import elementwise_attention
from mcu_sdk.lowering.ethos_u.attention import CachedAttention, attend
from mcu_sdk.lowering.ethos_u.elementwise_attention import attend_by_elements

BATCH, LENGTH, SIZE = 3, 9, 4


def operands(heads: int, kv_heads: int, scaled: bool) -> tuple[Any, ...]:
    """One layer's attention in the middle of caches of several, and what it reads."""
    torch.manual_seed(heads * 8 + kv_heads)
    scales = torch.rand(2, kv_heads, SIZE) + 0.5
    attention = CachedAttention(
        *[torch.fx.Graph().placeholder("x")] * 3, *scales, 0.3, heads, 2, scaled, scaled
    )
    rows = [torch.randn(BATCH, count, 1, SIZE) for count in (heads, kv_heads, kv_heads)]
    hidden = torch.arange(LENGTH)[None] >= torch.tensor([0, 4, 9])[:, None]
    mask = torch.nn.functional.pad(torch.where(hidden, -60.0, 0.0), (0, 1)).unsqueeze(1)
    keys, values = torch.randn(2, BATCH, kv_heads + 3, LENGTH, SIZE)
    return (attention, *rows, mask, (keys, values.transpose(2, 3).contiguous()))


@pytest.mark.parametrize("planes", [1, 2, 100])
@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 4), (4, 2), (6, 3), (3, 1)])
def test_the_forms_agree(
    heads: int, kv_heads: int, scaled: bool, planes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """5e-6: float32's order of additions."""
    monkeypatch.setattr(elementwise_attention, "PRODUCT_BYTES", planes * 2 * LENGTH * SIZE)
    given = operands(heads, kv_heads, scaled)
    seen: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])
    products = attend(*given, seen[0].append)
    elements = attend_by_elements(*given, seen[1].append)
    for one, other in zip(products, elements, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=5e-6)
    torch.testing.assert_close(seen[0][0], torch.cat(seen[1], 2), rtol=0, atol=5e-6)


def test_what_is_hidden_counts_for_nothing() -> None:
    attention, *rows, mask, (keys, values) = operands(4, 2, False)
    out, _, _ = attend_by_elements(attention, *rows, mask, (keys, values))
    noise = torch.where(mask[..., :LENGTH] < 0, 5.0, 0.0).reshape(BATCH, 1, LENGTH, 1)
    other, _, _ = attend_by_elements(attention, *rows, mask, (keys, values + noise.transpose(2, 3)))
    torch.testing.assert_close(out, other, rtol=0, atol=1e-6)

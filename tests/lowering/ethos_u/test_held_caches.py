"""What a step's graph reads of its caches at its end."""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import GraphModule

from mcu_sdk.lowering.ethos_u.held_caches import hold_caches
from mcu_sdk.lowering.ethos_u.tables import dequantize, quantize

LIMITS = (1.0, 0, -127, 127, torch.int8)
WIDE = (0.5, 0, -32767, 32767, torch.int16)


def test_the_last_output_depends_on_both_caches_and_the_others_stay() -> None:
    def step(x: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> Any:
        held = [dequantize(quantize(cache, *LIMITS), *LIMITS) for cache in (keys, values)]
        logits = dequantize(quantize(x + held[0].sum(), *WIDE), *WIDE)
        return logits, held[1][:, :, 1:]

    class Step(torch.nn.Module):
        forward = staticmethod(step)

    example = (torch.ones(1, 1, 5), *torch.ones(2, 1, 3, 4, 5))
    plain, held = (torch.export.export(Step(), example).module(check_guards=False) for _ in range(2))
    assert isinstance(held, GraphModule)
    hold_caches(held)
    caches = torch.randint(-9, 9, (2, 1, 3, 4, 5), generator=torch.Generator().manual_seed(2)).float()
    caches[:, 0, 0, 0, 0] = torch.tensor([3.0, -7.0])
    x = torch.tensor([[[2.0, -1.0, 0.0, 0.0, 0.0]]]) - caches[0].sum()
    *others, products = held(x, *caches)
    for one, other in zip(others, plain(x, *caches), strict=True):
        assert torch.equal(one, other)
    assert torch.equal(products, torch.tensor([[[[6.0, -3.0, -14.0, 7.0]]]]))

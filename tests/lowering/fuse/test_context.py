"""One context for all positions, as MobileViTv2 has it, is attention of one query, and what it is multiplied by stays int8."""

from __future__ import annotations

from collections import Counter

import torch
from torch import nn

import mcu_sdk
from mcu_sdk.planning.pte.read import read_pte
from mcu_sdk.project.interpret import Interpreter


class OneContext(nn.Module):
    """Of an image of patches [1, C, pixels of a patch, patches]."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Conv2d(8, 17, 1), nn.Conv2d(8, 8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        query, key, value = torch.split(self.qkv(x), [1, 8, 8], 1)
        shares = torch.softmax(query, -1)
        context = torch.sum(key * shares, -1, keepdim=True)
        return self.out(torch.relu(value) * context.expand_as(value))


def test_one_context_is_attention() -> None:
    torch.manual_seed(4)
    module, xs = OneContext(), [torch.randn(1, 8, 4, 9) for _ in range(6)]
    made = read_pte(mcu_sdk.compile_module(module, xs[0], calibration=xs).pte)
    counts = Counter(instruction.operator for instruction in made.instructions)
    assert counts["mcu::sequence_attention_s8"] == counts["cortex_m::quantized_mul"] == 1
    assert not {"aten::mul", "aten::sum", "aten::_softmax"} & set(counts)
    interpreter = Interpreter(made)
    found = torch.cat([interpreter.run(x)[0] for x in xs])
    wanted = torch.cat([module(x).detach() for x in xs])
    assert (found - wanted).norm() / wanted.norm() < 0.05

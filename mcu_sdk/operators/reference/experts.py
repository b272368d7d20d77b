"""Linears of a mixture of experts: mcu::expert_linear_s8, its overload with packed weights, and mcu::expert_linear_s4.

Of the weights of all experts a step reads those that its router has chosen.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from mcu_sdk.operators.reference.define import define
from mcu_sdk.operators.reference.int4 import linear_s4
from mcu_sdk.operators.reference.linear import linear_s8
from mcu_sdk.operators.reference.packed import unpack


@define(
    "expert_linear_s8",
    lambda x, x_scale, weight, weight_scale, bias, expert: x.new_empty(
        (expert.shape[0], weight.shape[1]), dtype=torch.float32
    ),
)
def expert_linear_s8(
    x: torch.Tensor,
    x_scale: torch.Tensor,
    weight: torch.Tensor,
    weight_scale: torch.Tensor,
    bias: torch.Tensor | None,
    expert: torch.Tensor,
) -> torch.Tensor:
    """Row s is linear_s8 of row s of x, or of its only row, with the weights of expert[s].

    x int8[S or 1, K], x_scale float32[S or 1], weight int8[E, N, K], weight_scale float32[E, N], bias float32[E, N] or
    None, expert int64[S] -> float32[S, N]. An expert that there is not gives a row of zeros.
    """

    def of(row: torch.Tensor, scale: torch.Tensor, index: int) -> torch.Tensor:
        found: torch.Tensor = linear_s8(row, scale, weight[index], weight_scale[index], _of(bias, index))
        return found

    return _over_experts(x, x_scale, expert, weight.shape[0], weight.shape[1], of)


def _over_experts(
    x: torch.Tensor,
    x_scale: torch.Tensor,
    expert: torch.Tensor,
    experts: int,
    n: int,
    linear: Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor],
) -> torch.Tensor:
    """float32[S, n] of linear([1, K], its scale, expert): zeros where there is no such expert."""
    out = x.new_zeros((expert.shape[0], n), dtype=torch.float32)
    for place, index in enumerate(expert.tolist()):
        if 0 <= index < experts:
            row = place if x.shape[0] > 1 else 0
            out[place] = linear(x[row : row + 1], x_scale[row : row + 1], index)[0]
    return out


def _of(bias: torch.Tensor | None, index: int) -> torch.Tensor | None:
    return None if bias is None else bias[index]


@define(
    "expert_linear_s8.packed",
    lambda x, x_scale, weight, weight_scale, bias, expert, n: x.new_empty(
        (expert.shape[0], n), dtype=torch.float32
    ),
)
def expert_linear_s8_packed(
    x: torch.Tensor,
    x_scale: torch.Tensor,
    weight: torch.Tensor,
    weight_scale: torch.Tensor,
    bias: torch.Tensor | None,
    expert: torch.Tensor,
    n: int,
) -> torch.Tensor:
    """As expert_linear_s8, n channels: weight int8[E, ceil(n / 8), ceil(K / 16), 8, 16], weight_scale
    float32[E, 8 * ceil(n / 8)], bias the same or None."""
    rows = torch.stack([unpack(each, n, x.shape[-1]) for each in weight])
    biases = None if bias is None else bias[:, :n]
    result: torch.Tensor = expert_linear_s8(x, x_scale, rows, weight_scale[:, :n], biases, expert)
    return result


@define(
    "expert_linear_s4",
    lambda x, x_scale, weight, bias, expert, n: x.new_empty((expert.shape[0], n), dtype=torch.float32),
)
def expert_linear_s4(
    x: torch.Tensor,
    x_scale: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    expert: torch.Tensor,
    n: int,
) -> torch.Tensor:
    """Row s is linear_s4 of row s of x, or of its only row, with the weights of expert[s].

    x int8[S or 1, K], x_scale float32[S or 1], weight int8[E, ceil(n / 8), ceil(K / 32), 144] (reference/int4.py), bias
    float32[E, n] or None, expert int64[S] -> float32[S, n]. An expert that there is not gives a row of zeros.
    """

    def of(row: torch.Tensor, scale: torch.Tensor, index: int) -> torch.Tensor:
        found: torch.Tensor = linear_s4(row, scale, weight[index], _of(bias, index), n)
        return found

    return _over_experts(x, x_scale, expert, weight.shape[0], n, of)

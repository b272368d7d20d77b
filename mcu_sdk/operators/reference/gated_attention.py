"""mcu::gated_attention_s8: attention with a bias that each query of each head multiplies by a number of its own, in int8."""

from __future__ import annotations

import torch

from mcu_sdk.operators.reference.define import define, to_numpy, to_torch
from mcu_sdk.operators.reference.exact_math import F32
from mcu_sdk.operators.reference.sequence_attention import attended, outputs, rows_of


@define("gated_attention_s8", lambda q, k, v, gates, bias, heads, *numbers: outputs(q, k, v, heads))
def gated_attention_s8(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    gates: torch.Tensor,
    bias: torch.Tensor,
    heads: int,
    score_scale: float,
    out_scale: float,
    out_zero_point: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """softmax(q k score_scale + gates[h, i] bias[h, i, j]) v out_scale for each head h, query i and key j. Returns (out
    int8[1, Lq, H * m], scratch).

    q int8[1, Lq, H * n], k int8[1, Lk, H * n], v int8[1, Lk, H * m], zero points 0. gates float32[H, Lq]. bias float32
    [1, 1 or H, Lq, Lk], or [1, 1 or H, 1, Lq + Lk - 1] by distance, entry Lq - 1 - i + j. Scores are float(dot) *
    score_scale + gate * bias, each rounded to float32; the rest is as mcu::sequence_attention_s8 has it.
    """
    out, scratch = outputs(q, k, v, heads)
    one, keys, values = (to_numpy(x)[0] for x in (q, k, v))
    added = to_numpy(gates)[:, :, None] * rows_of(to_numpy(bias)[0], q.shape[1], k.shape[1])
    scales = F32(score_scale), F32(out_scale)
    out[0] = to_torch(attended(one, keys, values, None, added, heads, *scales, out_zero_point))
    return out, scratch.zero_()

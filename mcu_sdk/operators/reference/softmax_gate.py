"""mcu::softmax_gate_s8: a row times the softmax of its scores, in int8."""

from __future__ import annotations

import numpy as np
import torch

from mcu_sdk.operators.reference.define import define, to_numpy, to_torch
from mcu_sdk.operators.reference.exact_math import F32, exp, lane_sum, round_clamped


@define("softmax_gate_s8", lambda self, *rest: torch.empty_like(self))
def softmax_gate_s8(
    self: torch.Tensor,
    scores: torch.Tensor,
    score_scale: float,
    ratio: float,
    zero_point: int,
    out_zero_point: int,
) -> torch.Tensor:
    """clamp(rint((e * (x - zero_point)) * (ratio / lane_sum(e))) + out_zero_point) to int8, e = exp((s - max s) * score_scale)
    along the last axis.

    self, scores int8[..., n] -> int8[..., n]; ratio is x's scale over the result's. A softmax does not feel what is added to
    all of a row, so the scores' zero point is left out. Its numerators stay float32, and so does their sum: each
    product is rounded once, however small a share is.
    """
    given, x = to_numpy(scores).astype(np.int32), to_numpy(self).astype(np.int32) - zero_point
    greatest = given.max(-1, keepdims=True, initial=-128)
    shares = exp((given - greatest).astype(F32) * F32(score_scale))
    factor = F32(ratio) / lane_sum(shares)
    real = (shares * x.astype(F32)) * factor[..., None]
    out = round_clamped(real, -128 - out_zero_point, 127 - out_zero_point) + out_zero_point
    return to_torch(out.astype(np.int8))

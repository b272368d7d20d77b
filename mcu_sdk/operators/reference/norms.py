"""mcu::rms_norm and mcu::layer_norm."""

from __future__ import annotations

import numpy as np
import torch

from mcu_sdk.operators.reference.define import define, to_numpy, to_torch
from mcu_sdk.operators.reference.exact_math import F32, fma, lane_sum, lane_sum_of_squares


@define("rms_norm", lambda x, weight, eps: torch.empty_like(x))
def rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """(x * r) * weight, r = 1 / sqrt(lane_sum(x^2) / n + eps). x float32[..., n], weight float32[n] -> like x."""
    values, n = to_numpy(x), F32(x.shape[-1])
    root = F32(1) / np.sqrt(lane_sum_of_squares(values) / n + F32(eps))
    return to_torch((values * root[..., None]) * to_numpy(weight))


@define("layer_norm", lambda x, weight, bias, eps: torch.empty_like(x))
def layer_norm(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, eps: float) -> torch.Tensor:
    """fma(d * r, weight, bias), d = x - mean, r = 1 / sqrt(lane_sum(d^2) / n + eps).

    x float32[..., n], weight and bias float32[n] -> like x. The mean is lane_sum(x) / n.
    """
    values, n = to_numpy(x), F32(x.shape[-1])
    centred = values - (lane_sum(values) / n)[..., None]
    root = F32(1) / np.sqrt(lane_sum_of_squares(centred) / n + F32(eps))
    return to_torch(fma(centred * root[..., None], to_numpy(weight), to_numpy(bias)))

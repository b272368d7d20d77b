"""mcu::lookup_add_s16: a function of int8 values, added to a stream in int16."""

from __future__ import annotations

import numpy as np
import torch

from mcu_sdk.operators.reference.define import define, to_numpy, to_torch


@define("lookup_add_s16", lambda self, x, table: torch.empty_like(self))
def lookup_add_s16(self: torch.Tensor, x: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """self + table[x + 128], saturated to int16: self int16[...], x int8 of as many elements, table int16[256] -> as self."""
    added = to_numpy(table).astype(np.int32)[to_numpy(x).astype(np.int64).reshape(self.shape) + 128]
    total = np.clip(to_numpy(self).astype(np.int32) + added, -(1 << 15), (1 << 15) - 1)
    return to_torch(total.astype(np.int16))

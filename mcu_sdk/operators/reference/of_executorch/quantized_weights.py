"""`quantized_decomposed::mixed_linear` and `embedding_byte`: int8 weights, a scale for each row, float32 activations."""

from __future__ import annotations

import torch
from executorch.exir.passes import _quant_patterns_and_replacements  # noqa: F401  defines both, and computes the second

_NAME, _KIND = "quantized_decomposed::mixed_linear", "CompositeExplicitAutograd"
_LIBRARY = torch.library.Library("quantized_decomposed", "FRAGMENT")
"""Its registrations last as long as it does."""


def mixed_linear(
    x: torch.Tensor,
    weight: torch.Tensor,
    scales: torch.Tensor,
    zero_points: torch.Tensor | None,
    dtype: torch.dtype | None = None,
) -> torch.Tensor:
    """What ExecuTorch's kernel computes (kernels/quantized/cpu/op_mixed_linear.cpp) of float32[m, k], int8[n, k] and a scale for
    each row, which comes behind the sum: float32[m, n]. Raises ValueError for what that kernel or ours refuses."""
    if zero_points is not None or scales.dim() != 1 or dtype not in (None, torch.float32):
        raise ValueError("weights around 0 with one scale for each row, and float32, were expected")
    return torch.nn.functional.linear(x, weight.to(x.dtype)) * scales


if not torch._C._dispatch_has_kernel_for_dispatch_key(_NAME, _KIND):  # a later ExecuTorch may have its own
    _LIBRARY.impl("mixed_linear", mixed_linear, _KIND)

"""From float weights to integers of few levels: GPTQ, with a scale for each group, or row, that is searched for.

GPTQ (Frantar et al., 2022) rounds one column after the other and moves what it lost into the columns to come, as the
inputs' second moments say. Without moments every input counts the same, and nothing can be moved.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mcu_sdk.operators.layouts import GROUP
from mcu_sdk.operators.reference.int4 import HIGHEST, LOWEST

Grouped = tuple[torch.Tensor, torch.Tensor]
"""int8[N, K] and scales [N, groups of columns]: a weight is value * scale. Of int4: within -8 .. 7, and
bfloat16[N, ceil(K / 32)]."""

DAMPING = 0.01
"""Of the mean second moment, added to each: GPTQ's. Moments of few inputs have no inverse without."""
LEAST = 2.0**-100
"""Scales below are zero: a group of such weights is."""


@dataclass(frozen=True)
class Grid:
    """The integers that weights are rounded to, `lowest` .. `highest`, and the columns that have one scale, `group` of
    them (None: all of a row). `shrinkage`: the smallest fraction of a group's whole range that is tried for its scale, what
    is beyond being clipped; `tries`: how many are. `scales`: their type."""

    lowest: int
    highest: int
    group: int | None
    shrinkage: float
    tries: int
    scales: torch.dtype = torch.float32


INT4 = Grid(LOWEST, HIGHEST, GROUP, 0.5, 26, torch.bfloat16)
"""What mcu::linear_s4 reads."""

LEVELS = 15
"""Of weights on an NPU, or as many on the average."""


def few_levels(greatest: int = LEVELS // 2) -> Grid:
    """-greatest .. greatest and a scale for each row: int8 weights that the lossless coder of an Ethos-U's compiler packs."""
    return Grid(-greatest, greatest, None, 0.3, 71)


INT8 = few_levels(127)
"""All that a weight on an NPU may be."""


def quantize_groups(weight: torch.Tensor, moments: torch.Tensor | None, grid: Grid = INT4) -> Grouped:
    """Weights float32[N, K] and the inputs' second moments float[K, K] (sums of x x^T; None: of
    uncorrelated inputs of one size). Deterministic for one number of threads."""
    remaining = weight.double().clone()
    factor, importance = None, torch.ones(weight.shape[1], dtype=torch.float64)
    if moments is not None:
        moments = damped(moments.double())
        factor, importance = _inverse_factor(moments), moments.diagonal()
    values = torch.empty(weight.shape, dtype=torch.int8)
    shared = grid.group or weight.shape[1]
    scales = torch.empty(weight.shape[0], -(-weight.shape[1] // shared), dtype=grid.scales)
    for group in range(scales.shape[1]):
        end = min((group + 1) * shared, weight.shape[1])
        whole = slice(group * shared, end)
        found = best_scales(remaining[:, whole], importance[whole], grid)
        scales[:, group] = found
        for start in range(group * shared, end, GROUP):
            columns = slice(start, min(start + GROUP, end))
            if factor is None:
                values[:, columns] = _nearest(remaining[:, columns], found[:, None], grid)
            else:
                values[:, columns] = _round_group(remaining, factor, columns, found, grid)
    return values, scales


def dequantize_groups(values: torch.Tensor, scales: torch.Tensor, grid: Grid = INT4) -> torch.Tensor:
    """The weights that the integers mean: float32[..., N, K]."""
    columns = values.shape[-1]
    return values.float() * scales.float().repeat_interleave(grid.group or columns, -1)[..., :columns]


def best_scales(weights: torch.Tensor, importance: torch.Tensor, grid: Grid = INT4) -> torch.Tensor:
    """The scale of each row of float64[N, 32] that gives the least squared error, each column's times its importance
    float64[32]: [N].

    Tried are fractions of the greatest magnitude's, which is `lowest` times the scale: scales have the sign that takes it
    there, and none where both ends are as far. Of equally good ones the largest magnitude stays.
    """
    position = weights.abs().argmax(1, keepdim=True)
    whole = weights.gather(1, position)[:, 0] / grid.lowest
    whole = whole.abs() if grid.lowest == -grid.highest else whole
    best = torch.zeros(weights.shape[0], dtype=grid.scales)
    least = (weights**2 * importance).sum(1)
    for fraction in torch.linspace(1.0, grid.shrinkage, grid.tries, dtype=torch.float64):
        scale = (whole * fraction).to(grid.scales)
        scale = torch.where(scale.abs() < LEAST, torch.zeros_like(scale), scale)
        error = weights - _nearest(weights, scale[:, None], grid) * scale.double()[:, None]
        error = (error**2 * importance).sum(1)
        best, least = torch.where(error < least, scale, best), torch.minimum(error, least)
    return best


def _nearest(weights: torch.Tensor, scale: torch.Tensor, grid: Grid) -> torch.Tensor:
    """The integers nearest to float64 weights / scale, ties to even; 0 where the scale is 0."""
    divisor = torch.where(scale == 0, torch.ones_like(scale), scale).double()
    values = torch.round(weights / divisor).clamp(grid.lowest, grid.highest)
    return torch.where(scale == 0, torch.zeros_like(values), values)


def damped(moments: torch.Tensor) -> torch.Tensor:
    """Moments that have an inverse, and count inputs a little that were never there: float64[K, K]."""
    mean = moments.diagonal().mean().clamp(min=1e-30)
    return moments + DAMPING * mean * torch.eye(moments.shape[0], dtype=torch.float64)


def _inverse_factor(moments: torch.Tensor) -> torch.Tensor:
    """The upper Cholesky factor of the moments' inverse: float64[K, K]."""
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(moments))
    factor: torch.Tensor = torch.linalg.cholesky(inverse, upper=True)
    return factor


def _round_group(
    remaining: torch.Tensor, factor: torch.Tensor, columns: slice, scale: torch.Tensor, grid: Grid
) -> torch.Tensor:
    """The integers of some columns; what rounding lost moves to the columns behind, in place."""
    values = torch.empty(remaining.shape[0], columns.stop - columns.start, dtype=torch.int8)
    errors = torch.empty(values.shape, dtype=torch.float64)
    for i, column in enumerate(range(columns.start, columns.stop)):
        rounded = _nearest(remaining[:, column], scale, grid)
        values[:, i] = rounded
        errors[:, i] = (remaining[:, column] - rounded * scale.double()) / factor[column, column]
        behind = slice(column + 1, columns.stop)
        remaining[:, behind] -= errors[:, i, None] * factor[column, behind]
    remaining[:, columns.stop :] -= errors @ factor[columns, columns.stop :]
    return values

"""Rounding a weight by what it reads and by what its outputs count, both sides' correlations used.

Of an error E the divergence of the model's probabilities is about half of tr(G E H E^T): H are the moments of the linear's inputs, G
those of the gradients at its outputs, which together are K-FAC's approximation of Fisher's information (Martens and Grosse, 2015).
With H = U D U^T and G = V C V^T, U and V upper triangles with a diagonal of 1, that is the sum over all rows i and columns j of
C_i D_j R_ij^2 where R = V^T E U: R_ij is E_ij and what integers above and to the left of it have lost. Each integer is the one that
brings R_ij next to 0. GPTQ is that with G = 1; both sides are rounded by in YAQA (Tseng et al., 2025). Integers on one
anti-diagonal do not depend on each other.
"""

from __future__ import annotations

import torch

from mcu_sdk.lowering.gptq import INT8, LEAST, Grouped, damped

SMALLEST = 1e-4
"""Of the mean of a linear's rows, what a row counts at least: one that was never needed may be needed elsewhere."""


def row_steps(weight: torch.Tensor, outputs: torch.Tensor, side: float) -> torch.Tensor:
    """How far apart the integers of each row of float[N, K] are to be, float64[N], so that the middle one of all rows has `side` of
    them on either side of 0. `outputs`: their gradients' moments, float64[N, N] or [N].

    If each row had a code of its own, a step would go as the inverse root of what the row counts, however large its weights are. If
    all have one, as in a stream of Vela's, the bits are the fewest where the integers of all rows are of one size. Both together
    cost least about half way: a step is the root of the row's size by the root of what it counts.
    """
    greatest = weight.double().abs().amax(1)
    size = weight.double().square().mean(1).sqrt()
    counts = _alone(outputs)
    counts = torch.maximum(counts, SMALLEST * counts.mean()).clamp(min=1e-300)
    steps = (size / counts.sqrt()).sqrt()
    used = greatest > 0
    middle = (greatest[used] / steps[used]).median() if used.any() else 0.0
    return steps * middle / side


def quantize_rows(
    weight: torch.Tensor, inputs: torch.Tensor, outputs: torch.Tensor, steps: torch.Tensor
) -> Grouped:
    """Weights float[N, K] as integers of int8 and a scale for each row: `steps` float64[N], or what takes the row's greatest weight
    to 127 if that is more. Moments as `round_two_sided` takes them."""
    scales = _scales(weight, steps)
    return round_two_sided(weight.double(), inputs, outputs, scales.double(), INT8.highest), scales[:, None]


def to_nearest(weight: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
    """Integers int8[N, K] with the scales of `quantize_rows`, without regard to anything else: about as large as those."""
    scales = _scales(weight, steps).double()[:, None]
    return torch.round(weight.double() / torch.where(scales == 0, torch.ones_like(scales), scales)).to(
        torch.int8
    )


def _scales(weight: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
    """float32[N], 0 of rows that are 0."""
    finest = weight.double().abs().amax(1) / INT8.highest
    scales = torch.maximum(steps, finest).float()
    return torch.where(finest < LEAST, torch.zeros_like(scales), scales)


def cost(error: torch.Tensor, inputs: torch.Tensor, outputs: torch.Tensor) -> float:
    """About what an error float[N, K] of a weight costs, in nats a token: half of tr(G E H E^T). The moments are means over tokens."""
    error = error.double()
    changed = error @ inputs @ error.T
    return (
        float((changed * outputs).sum() if outputs.dim() == 2 else (changed.diagonal() * outputs).sum()) / 2
    )


def _alone(outputs: torch.Tensor) -> torch.Tensor:
    """What an error of each row costs where the rows that are rounded after it make up for it as well as they can: float64[N]."""
    if outputs.dim() == 1:
        return outputs
    down = outputs.diagonal().argsort(descending=True, stable=True)
    found = torch.empty_like(outputs.diagonal())
    found[down] = triangle(damped(outputs)[down][:, down])[1]
    return found


def triangle(moments: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Moments float64[K, K] = U D U^T: U upper with a diagonal of 1, and D's diagonal float64[K]."""
    upper = torch.linalg.cholesky(moments.flip(0, 1)).flip(0, 1)
    diagonal = upper.diagonal()
    return upper / diagonal, diagonal.square()


def round_two_sided(
    weight: torch.Tensor, inputs: torch.Tensor, outputs: torch.Tensor, scales: torch.Tensor, greatest: int
) -> torch.Tensor:
    """int8[N, K] within -greatest .. greatest of weights float64[N, K], by the moments of inputs float64[K, K] and of the gradients at
    the outputs float64[N, N] or their diagonal [N]; scales float64[N], 0 where a row is 0. What counts most is rounded first: the
    others can make up for it."""
    rows = outputs.diagonal() if outputs.dim() == 2 else outputs
    down, across = (each.argsort(descending=True, stable=True) for each in (rows, inputs.diagonal()))
    weight, scales = weight[down][:, across], scales[down]
    upper = triangle(damped(inputs)[across][:, across])[0].T.contiguous()
    lower = triangle(damped(outputs)[down][:, down])[0].T if outputs.dim() == 2 else None
    divisor = torch.where(scales == 0, torch.ones_like(scales), scales)
    n, k = weight.shape
    lost, values = torch.zeros_like(weight), torch.zeros_like(weight)
    for step in range(n + k - 1):
        first, end = max(0, step - k + 1), min(n, step + 1)
        i = torch.arange(first, end)
        j = step - i
        before = (lost[first:end] * upper[j]).sum(1)
        exact = weight[i, j]
        integers = torch.round((exact - before) / divisor[i]).clamp(-greatest, greatest)
        values[i, j] = integers
        error = integers * scales[i] - exact
        if lower is None:
            lost[i, j] = error
        else:
            lost[:, j] += lower[:, first:end] * error
    found = torch.empty(n, k, dtype=torch.int8)
    found[down[:, None], across] = values.to(torch.int8)
    return found

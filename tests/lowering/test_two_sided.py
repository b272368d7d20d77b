"""Rounding by both sides' moments: the integers of a slow and plain loop, and less lost than by one side's."""

from __future__ import annotations

import pytest
import torch

from mcu_sdk.lowering.gptq import damped
from mcu_sdk.lowering.two_sided import (
    SMALLEST,
    cost,
    quantize_rows,
    round_two_sided,
    row_steps,
    to_nearest,
    triangle,
)
from tests.lowering.test_gptq import correlated, moments_of, normal


def lost(error: torch.Tensor, inputs: torch.Tensor, outputs: torch.Tensor) -> float:
    both = outputs if outputs.dim() == 2 else outputs.diag()
    return float((both * (error @ inputs @ error.T)).sum())


def test_a_triangle_is_its_moments() -> None:
    moments = moments_of(correlated(3, 100, 12))
    upper, diagonal = triangle(moments)
    assert torch.equal(upper.tril(-1), torch.zeros(12, 12, dtype=torch.float64))
    assert torch.equal(upper.diagonal(), torch.ones(12, dtype=torch.float64))
    assert torch.allclose(upper @ diagonal.diag() @ upper.T, moments, rtol=1e-10)


@pytest.mark.parametrize(("n", "k"), [(1, 1), (5, 9), (9, 4)])
@pytest.mark.parametrize("whole", [True, False])
def test_each_integer_is_the_best_behind_those_before_it(n: int, k: int, whole: bool) -> None:
    """One after the other: the error that is least where the rows and columns to come make up for it as well as they can, by solving
    for these."""
    weight, scales = normal(1, n, k).double(), normal(2, n).double().abs() + 0.1
    inputs, outputs = moments_of(correlated(3, 60, k)), moments_of(correlated(7, 60, n))
    if not whole:
        outputs = outputs.diagonal().clone()
    found = round_two_sided(weight, inputs, outputs, scales, 127)
    both = damped(outputs) if whole else outputs.diag()
    hessian = torch.kron(both, damped(inputs))
    across = inputs.diagonal().argsort(descending=True)
    down = (outputs.diagonal() if whole else outputs).argsort(descending=True)
    error = torch.zeros(n * k, dtype=torch.float64)
    open_ = torch.ones(n * k, dtype=torch.bool)
    for i in down.tolist():
        for j in across.tolist():
            at = i * k + j
            open_[at] = False
            behind = open_.clone()
            known = ~open_
            known[at] = False
            # the least of the quadratic form over all that are open, as a function of this one's error
            rest = torch.cat([torch.tensor([at]), behind.nonzero().flatten()])
            pull = hessian[rest][:, known] @ error[known]
            best = -torch.linalg.solve(hessian[rest][:, rest], pull)[0]
            integer = torch.round((weight.flatten()[at] + best) / scales[i])
            assert found[i, j] == integer
            error[at] = integer * scales[i] - weight.flatten()[at]


def test_by_both_sides_less_is_lost_than_by_one_s_and_to_the_nearest() -> None:
    weight, scales = normal(2, 24, 40).double(), torch.full((24,), 0.4, dtype=torch.float64)
    inputs, outputs = moments_of(correlated(3, 400, 40)), moments_of(correlated(5, 400, 24))
    nearest = torch.round(weight / scales[:, None]).to(torch.int8)
    one = round_two_sided(weight, inputs, outputs.diagonal(), scales, 127)
    two = round_two_sided(weight, inputs, outputs, scales, 127)
    found = [lost(each.double() * scales[:, None] - weight, inputs, outputs) for each in (nearest, one, two)]
    assert found[2] < 0.7 * found[1] < 0.7 * found[0]


def test_what_an_integer_cannot_be_is_the_end_of_the_range() -> None:
    weight = torch.tensor([[5.0, -9.0], [0.0, 0.0]], dtype=torch.float64)
    scales = torch.tensor([1.0, 0.0], dtype=torch.float64)
    eye = torch.eye(2, dtype=torch.float64)
    found = round_two_sided(weight, eye, eye, scales, 3)
    assert found.tolist() == [[3, -3], [0, 0]]


def test_steps_are_longer_where_weights_are_large_and_count_little() -> None:
    """By the fourth root of what a row counts and the root of its size; the row in the middle has as many levels as are asked for."""
    weight = torch.tensor([[1.0, -0.5], [1.0, -0.5], [4.0, 2.0], [0.0, 0.0]])
    steps = row_steps(weight, torch.tensor([1.0, 16.0, 1.0, 1.0], dtype=torch.float64), 7)
    assert steps[0] / steps[1] == pytest.approx(2) and steps[2] / steps[0] == pytest.approx(2)
    assert float((weight.abs().amax(1)[:3] / steps[:3]).median()) == pytest.approx(7)
    assert float(row_steps(torch.zeros(2, 2), torch.ones(2), 7).abs().max()) == 0


def test_a_row_that_others_make_up_for_counts_less() -> None:
    """The first of two that go together; the last has none behind it."""
    together = torch.tensor([[1.01, 1.0], [1.0, 1.0]], dtype=torch.float64)
    steps = row_steps(torch.ones(2, 2), together, 7)
    assert float(steps[0] / steps[1]) > 1.5


def test_what_never_counted_is_no_coarser_than_what_is_said() -> None:
    counts = torch.tensor([1.0, 0.0], dtype=torch.float64)
    steps = row_steps(torch.ones(2, 2), counts, 7)
    assert float(steps[1] / steps[0]) == pytest.approx((SMALLEST / 2) ** -0.25)


def test_scales_are_the_steps_and_no_finer_than_int8_s() -> None:
    weight = torch.tensor([[1.0, -0.5], [1.0, -0.5], [0.0, 0.0]])
    eye = torch.eye(2, dtype=torch.float64)
    steps = torch.tensor([0.25, 1e-6, 0.25], dtype=torch.float64)
    values, scales = quantize_rows(weight, eye, torch.ones(3, dtype=torch.float64), steps)
    assert values.tolist() == [[4, -2], [127, -64], [0, 0]]
    assert torch.equal(scales, torch.tensor([[0.25], [1 / 127], [0.0]]))
    assert torch.equal(to_nearest(weight, steps), values)


def test_a_cost_is_half_the_quadratic_form() -> None:
    error = normal(3, 4, 6)
    inputs, outputs = moments_of(correlated(3, 60, 6)), moments_of(correlated(7, 60, 4))
    assert cost(error, inputs, outputs) == pytest.approx(lost(error.double(), inputs, outputs) / 2)
    rows = outputs.diagonal()
    assert cost(error, inputs, rows) == pytest.approx(lost(error.double(), inputs, rows) / 2)

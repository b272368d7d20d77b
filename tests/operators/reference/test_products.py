"""The sum of int8 products is exact, whichever library makes it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mcu_sdk.operators.reference import linear

PLAN = st.tuples(st.integers(1, 5), st.integers(1, 3000), st.integers(1, 70), st.integers(0, 1 << 30))


def _expected(x: torch.Tensor, weight: torch.Tensor) -> np.ndarray:
    return x.numpy().astype(np.int64) @ weight.numpy().astype(np.int64).T


@pytest.mark.parametrize("by_integers", [True, False])
@given(PLAN)
@settings(max_examples=30)
def test_any_size(by_integers: bool, plan: tuple[int, int, int, int]) -> None:
    rows, inputs, outputs, seed = plan
    generator = torch.Generator().manual_seed(seed)
    bits = int(torch.randint(1, 9, (), generator=generator))  # large values alone, or small ones beside them
    x = torch.randint(-(1 << (bits - 1)), 1 << (bits - 1), (rows, inputs), generator=generator).to(torch.int8)
    weight = torch.randint(-128, 128, (outputs, inputs), generator=generator).to(torch.int8)
    total = linear._accumulate(x, weight) if by_integers else linear.in_floats(x, weight).numpy()
    assert total.dtype == np.int32
    assert (total == _expected(x, weight)).all()


@pytest.mark.parametrize("values", [(-128, -128), (-128, 127), (127, 127)])
@pytest.mark.parametrize("inputs", [1, 1024, 1025, 5000])
def test_greatest_values(values: tuple[int, int], inputs: int) -> None:
    x, weight = (torch.full((3, inputs), value, dtype=torch.int8) for value in values)
    for total in (linear._accumulate(x, weight[:2]), linear.in_floats(x, weight[:2]).numpy()):
        assert (total == values[0] * values[1] * inputs).all()


def test_a_library_that_saturates_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def saturating(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        pairs = left.int()[:, :, None] * right.int()[None]
        padded = torch.nn.functional.pad(pairs, (0, 0, 0, pairs.shape[1] % 2))
        return padded.unflatten(1, (-1, 2)).sum(2).clamp(-(1 << 15), (1 << 15) - 1).sum(1).int()

    linear.integer_products_are_exact.cache_clear()
    try:
        with monkeypatch.context() as patch:
            patch.setattr(torch, "_int_mm", saturating)
            x = torch.full((32, 32), -128, dtype=torch.int8)
            assert (linear._accumulate(x, x) == 32 * 128 * 128).all()
            assert not linear.integer_products_are_exact()
    finally:
        linear.integer_products_are_exact.cache_clear()


def test_integers_are_used_where_products_of_any_size_are_right() -> None:
    """The probe accepts a torch whose products are right, so that the tests above judge what is used."""
    right = True
    for inputs, outputs in ((16, 16), (17, 300), (576, 64), (1025, 31)):
        for rows in (1, 2, 7):
            x, weight = (
                torch.randint(-128, 128, (count, inputs), generator=torch.Generator().manual_seed(inputs)).to(
                    torch.int8
                )
                for count in (rows, outputs)
            )
            right = right and bool((torch._int_mm(x, weight.t()).numpy() == _expected(x, weight)).all())
    assert linear.integer_products_are_exact() or not right


def test_no_rows() -> None:
    weight = torch.ones((3, 8), dtype=torch.int8)
    assert linear._accumulate(torch.ones((2, 0, 8), dtype=torch.int8), weight).shape == (2, 0, 3)

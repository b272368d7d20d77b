"""What is done to the bits of int32, against Python's own integers."""

from __future__ import annotations

import numpy as np
import pytest

from mcu_sdk.npu import bits

VALUES = [0, 1, -1, 2, 7, -7, 12345, -12345, (1 << 31) - 1, -(1 << 31)]
A = np.array(VALUES, np.int64)[:, None]
B = np.arange(32, dtype=np.int64)[None]


def signed(value: int) -> int:
    return ((value & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000


def test_leading_zeros() -> None:
    assert bits.leading_zeros(A, None)[:, 0].tolist() == [
        32 - (value & 0xFFFFFFFF).bit_length() for value in VALUES
    ]


def test_shifts() -> None:
    wanted = {
        bits.shift_left: lambda a, b: signed(a << b),
        bits.shift_right_down: lambda a, b: a >> b,
        bits.shift_right_logical: lambda a, b: signed((a & 0xFFFFFFFF) >> b),
        bits.shift_right_half_up: lambda a, b: (2 * a + (1 << b)) >> (b + 1),
    }
    for shift, of_one in wanted.items():
        assert shift(A, B).tolist() == [[of_one(a, b) for b in range(32)] for a in VALUES], shift


@pytest.mark.parametrize("amount", [-1, 32])
def test_a_shift_out_of_range_is_refused(amount: int) -> None:
    with pytest.raises(ValueError, match="is not simulated"):
        bits.shift_left(A, np.array([0, amount]))

"""Operations on the bits of int64 arrays that hold int32, as every Ethos-U's elementwise unit does them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]


def leading_zeros(a: Any, _: Any) -> Integers:
    """Of 32 bits. The second operand is none, as that of every operation of one."""
    # frexp gives the number of bits of an exact double; a negative number has none to spare.
    bits = np.frexp((a & 0xFFFFFFFF).astype(np.float64))[1]
    return np.asarray((32 - bits).astype(np.int64))


def shift_right_half_up(a: Any, b: Any) -> Integers:
    """Raises ValueError for a shift that is not simulated; so do the other shifts."""
    _check_shift(b)
    return np.asarray(np.where(b > 0, ((a >> np.maximum(b - 1, 0)) + 1) >> 1, a))


def shift_right_down(a: Any, b: Any) -> Integers:
    _check_shift(b)
    return np.asarray(a >> b)


def shift_right_logical(a: Any, b: Any) -> Integers:
    """Zeros come in."""
    _check_shift(b)
    return _signed((a & 0xFFFFFFFF) >> b)


def shift_left(a: Any, b: Any) -> Integers:
    """Modulo 2^32."""
    _check_shift(b)
    return _signed((a << b) & 0xFFFFFFFF)


def _signed(bits: Any) -> Integers:
    """32 bits as a signed number."""
    return np.asarray((bits ^ 0x80000000) - 0x80000000)


def _check_shift(amount: Any) -> None:
    if amount.min() < 0 or amount.max() > 31:
        raise ValueError(f"a shift by {amount.min()} to {amount.max()} bits is not simulated")

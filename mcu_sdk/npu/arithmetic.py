"""Scaling and rounding as an Ethos-U does it, on int64 arrays, exact whatever the sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mcu_sdk.npu.opcodes import Rounding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]

_LIMIT = 1 << 63
_LOW_BITS = 20
_LOW_MASK = (1 << _LOW_BITS) - 1
_FIRST_STEP = 31
"""Bits that the rounding DOUBLE takes off in its first step."""


def largest(values: Integers) -> int:
    """The greatest magnitude; 0 of nothing."""
    return max(int(values.max(initial=0)), -int(values.min(initial=0)))


def check_accumulator(greatest: int, bits: int) -> None:
    """Raises OverflowError for a magnitude that accumulators of `bits` bits do not hold."""
    if greatest >= 1 << (bits - 1):
        raise OverflowError(f"an accumulator of {bits} bits would hold {greatest}")


def divided(total: Integers, count: Any) -> Integers:
    """The quotient, halves rounded away from zero: an average over `count` elements."""
    return np.asarray(np.sign(total) * ((np.abs(total) + count // 2) // count))


def clipped(values: Integers, low: int, high: int) -> Integers:
    limited: Any = np.minimum(np.maximum(values, low), high)
    return np.asarray(limited)


def check_range(values: Integers, low: int, high: int, bits: int) -> None:
    """Raises OverflowError for results beyond `low` and `high`, which are those of `bits` bits."""
    if values.size and (values.min() < low or values.max() > high):
        raise OverflowError(f"a result of {bits} bits would hold {largest(values)}")


class Scaler:
    """values -> values * scale / 2^shift, rounded to the nearest integer.

    NATURAL rounds halves up: floor((values * scale + 2^(shift - 1)) / 2^shift), without the addend where nothing is
    shifted. DOUBLE, with a shift of more than 31, first adds 2^30 with the value's sign: as TOSA's RESCALE defines it.
    `scale` (0 to 2^32 - 1) and `shift` (0 to 63) are numbers or arrays that broadcast against the values.
    `is_identity` says that no value is changed: the scale is 2^shift, or so near that no magnitude up to `bound` shows
    it. Raises ValueError for TRUNCATE, unless nothing is changed.
    """

    def __init__(self, scale: Any, shift: Any, rounding: Rounding, bound: int | None = None) -> None:
        self._scale = np.asarray(scale, np.int64)
        self._shift = np.asarray(shift, np.int64)
        first = (rounding is Rounding.DOUBLE) & (self._shift > _FIRST_STEP)
        is_plain = rounding is not Rounding.TRUNCATE and not first.any()
        self.is_identity = self._changes_nothing(bound if is_plain else None)
        if rounding is Rounding.TRUNCATE and not self.is_identity:
            raise ValueError("the rounding TRUNCATE of scaled values is not simulated")
        self._half = np.where(self._shift > 0, np.int64(1) << np.maximum(self._shift - 1, 0), 0)
        self._signed = np.where(first, np.int64(1) << (_FIRST_STEP - 1), 0) if first.any() else None
        self._greatest_scale = int(self._scale.max(initial=0))
        self._greatest_addend = int(self._half.max(initial=0)) + (1 << (_FIRST_STEP - 1))

    def _changes_nothing(self, bound: int | None) -> bool:
        """Whether values * scale / 2^shift is nearer than one half to each value: rounding to the nearest gives it
        back. Vela's scale for an average over one element is 2^31 + 1 with a shift of 31."""
        pairs = zip(np.atleast_1d(self._scale).tolist(), np.atleast_1d(self._shift).tolist(), strict=True)
        if bound is None:
            return all(scale == 1 << shift for scale, shift in pairs)
        return all(2 * abs(scale - (1 << shift)) * bound < 1 << shift for scale, shift in pairs)

    def __call__(self, values: Integers, bound: int | None = None) -> Integers:
        """`bound`: no magnitude is greater, if that is known. Raises OverflowError for products that are too wide."""
        if self.is_identity:
            return values
        if bound is None:
            bound = largest(values)
        addend = self._half
        if self._signed is not None:
            addend = addend + np.where(values < 0, -self._signed, self._signed)
        if bound * self._greatest_scale + self._greatest_addend >= _LIMIT:
            return self._in_two_parts(values, addend)
        product = values * self._scale
        product += addend
        product >>= self._shift
        return product

    def _in_two_parts(self, values: Integers, addend: Integers) -> Integers:
        """The same where the product has more than 63 bits: value = high * 2^20 + low, and the low part goes first."""
        high, low = values >> _LOW_BITS, values & _LOW_MASK
        if int(self._shift.min()) < _LOW_BITS or (largest(high) + 1) * self._greatest_scale >= _LIMIT >> 1:
            raise OverflowError(f"{largest(values)} * {self._greatest_scale} is too wide for its shift")
        product = low * self._scale
        carry = (product >> _LOW_BITS) + (addend >> _LOW_BITS)
        carry += ((product & _LOW_MASK) + (addend & _LOW_MASK)) >> _LOW_BITS
        return np.asarray((high * self._scale + carry) >> (self._shift - _LOW_BITS))


def rescaled(
    values: Integers, bound: int | None, scaler: Scaler | None, zero_point: int
) -> tuple[Integers, int | None]:
    """The values scaled, with a zero point; and a magnitude that none is greater than, if that is known.

    `bound` is such a magnitude of what comes in. Raises OverflowError for products that are too wide.
    """
    if scaler is not None and not scaler.is_identity:
        values, bound = scaler(values, bound), None
    if zero_point:
        values = values + zero_point
    return values, None if bound is None else bound + abs(zero_point)

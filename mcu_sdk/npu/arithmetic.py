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
_ONE_STEP = 31
"""Shifts that the rounding DOUBLE makes in its first step; the second has none left."""


def largest(values: Integers) -> int:
    """The greatest magnitude; 0 of nothing."""
    return max(int(values.max(initial=0)), -int(values.min(initial=0)))


class Scaler:
    """values -> floor((values * scale + half) / 2^shift), half = 2^(shift - 1) or 0 without a shift: half up.

    `scale` (0 to 2^32 - 1) and `shift` (0 to 63) are numbers or arrays that broadcast against the values. `is_identity`
    says that no value is changed: the scale is 2^shift, or so near that no magnitude up to `bound` shows it. Raises
    ValueError for another rounding than NATURAL, unless nothing is changed.
    """

    def __init__(self, scale: Any, shift: Any, rounding: Rounding, bound: int | None = None) -> None:
        self._scale = np.asarray(scale, np.int64)
        self._shift = np.asarray(shift, np.int64)
        self.is_identity = self._changes_nothing(bound)
        if rounding is Rounding.DOUBLE and int(self._shift.max(initial=0)) > _ONE_STEP:
            self.is_identity = False  # it rounds twice
        if rounding is not Rounding.NATURAL and not self.is_identity:
            raise ValueError(f"the rounding {rounding.name} of scaled values is not simulated")
        self._half = np.where(self._shift > 0, np.int64(1) << np.maximum(self._shift - 1, 0), 0)
        self._greatest_scale = int(self._scale.max(initial=0))
        self._greatest_half = int(self._half.max(initial=0))

    def _changes_nothing(self, bound: int | None) -> bool:
        """Whether values * scale / 2^shift is nearer than one half to each value: any rounding to the nearest gives it
        back. Vela's scale for an average over one element is 2^31 + 1 with a shift of 31."""
        pairs = zip(np.atleast_1d(self._scale).tolist(), np.atleast_1d(self._shift).tolist(), strict=True)
        if bound is None:
            return all(scale == 1 << shift for scale, shift in pairs)
        return all(2 * abs(scale - (1 << shift)) * bound < 1 << shift for scale, shift in pairs)

    def __call__(self, values: Integers, bound: int | None = None) -> Integers:
        """`bound`: no magnitude is greater, if that is known. Raises OverflowError for results of over 63 bits."""
        if self.is_identity:
            return values
        if bound is None:
            bound = largest(values)
        if bound * self._greatest_scale + self._greatest_half >= _LIMIT:
            return self._in_two_parts(values)
        product = values * self._scale
        product += self._half
        product >>= self._shift
        return product

    def _in_two_parts(self, values: Integers) -> Integers:
        """The same where the product has more than 63 bits: value = high * 2^20 + low, and the low part goes first."""
        high, low = values >> _LOW_BITS, values & ((1 << _LOW_BITS) - 1)
        if int(self._shift.min()) < _LOW_BITS or (largest(high) + 1) * self._greatest_scale >= _LIMIT >> 1:
            raise OverflowError(f"{largest(values)} * {self._greatest_scale} is too wide for its shift")
        mask = (1 << _LOW_BITS) - 1
        product = low * self._scale
        carry = (product >> _LOW_BITS) + (self._half >> _LOW_BITS)
        carry += ((product & mask) + (self._half & mask)) >> _LOW_BITS
        return np.asarray((high * self._scale + carry) >> (self._shift - _LOW_BITS))

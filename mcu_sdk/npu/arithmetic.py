"""Scaling and rounding as an Ethos-U does it, on int64 arrays, exact whatever the sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mcu_sdk.npu.opcodes import Rounding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]

_SAFE = 1 << 62


def scaled(values: Integers, scale: Any, shift: Any, rounding: Rounding) -> Integers:
    """values * scale / 2^shift, rounded; `scale` and `shift` are numbers or arrays that broadcast."""
    largest = int(np.abs(values).max(initial=0)) * int(np.max(scale, initial=0))
    if largest >= _SAFE:
        return _scaled_exactly(values, scale, shift, rounding)
    if rounding is Rounding.NATURAL:
        return _natural(values, scale, shift)
    if rounding is Rounding.TRUNCATE:
        product = values * scale
        return np.where(product >= 0, product >> shift, -((-product) >> shift))
    return _double(values, scale, shift)


def _natural(values: Integers, scale: Any, shift: Any) -> Integers:
    """Half up, in one step."""
    half = np.where(np.asarray(shift) > 0, np.int64(1) << np.maximum(np.asarray(shift, np.int64) - 1, 0), 0)
    return np.asarray((values * scale + half) >> np.asarray(shift, np.int64))


def _double(values: Integers, scale: Any, shift: Any) -> Integers:
    """A doubling high multiplication rounded half away from zero, then a rounding shift: TensorFlow Lite's."""
    exponent = 31 - np.asarray(shift, np.int64)
    product = (values << np.maximum(exponent, 0)) * scale
    nudge = np.where(product >= 0, np.int64(1) << 30, 1 - (np.int64(1) << 30))
    total = product + nudge
    high = np.where(total >= 0, total >> 31, -((-total) >> 31))
    right = np.maximum(-exponent, 0)
    mask = (np.int64(1) << right) - 1
    threshold = (mask >> 1) + (high < 0)
    return np.asarray((high >> right) + ((high & mask) > threshold))


def _scaled_exactly(values: Integers, scale: Any, shift: Any, rounding: Rounding) -> Integers:
    """The same in integers of any size, where products do not fit 64 bits; results wrap to 64 bits never."""
    wide = values.astype(object)
    factor = np.asarray(scale).astype(object)
    amount = np.broadcast_to(np.asarray(shift), values.shape).astype(object)
    product = wide * factor
    if rounding is Rounding.NATURAL:
        return _each(lambda p, s: (p + ((1 << s) >> 1)) >> s, product, amount)
    if rounding is Rounding.TRUNCATE:
        return _each(lambda p, s: p >> s if p >= 0 else -((-p) >> s), product, amount)
    return _each(_double_one, product, amount)


def _double_one(product: int, shift: int) -> int:
    left, right = max(31 - shift, 0), max(shift - 31, 0)
    product <<= left
    total = product + ((1 << 30) if product >= 0 else 1 - (1 << 30))
    high = total >> 31 if total >= 0 else -((-total) >> 31)
    mask = (1 << right) - 1
    return (high >> right) + ((high & mask) > (mask >> 1) + (high < 0))


def _each(function: Any, product: Any, shift: Any) -> Integers:
    return np.asarray(np.frompyfunc(function, 2, 1)(product, shift).astype(np.int64))

"""Calling kernels from tests, and comparing what they give bit for bit.

The kernels run in this process's float mode, which keeps subnormals as numpy does; the firmware flushes them
(FPSCR.FZ, and FTZ and DAZ on the host). Results are compared where both modes agree: docs/numerics.md.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

_GUARD_BYTES = 64
_GUARD = 0xA5


class Guarded:
    """An array between two runs of known bytes, which show whether a kernel wrote outside.

    `array` begins at a multiple of its element size, but not at one of 16 unless `aligned`: kernels must not ask
    for more than their headers say. It is filled with 0xA5 unless given values.
    """

    def __init__(
        self,
        shape: tuple[int, ...] | int,
        dtype: Any,
        values: Any = None,
        aligned: bool = False,
    ) -> None:
        kind = np.dtype(dtype)
        size = int(np.prod(shape)) * kind.itemsize
        self.memory = np.full(size + 2 * _GUARD_BYTES + 32, _GUARD, np.uint8)
        self.start = _GUARD_BYTES + -(self.memory.ctypes.data + _GUARD_BYTES) % 16
        self.start += 0 if aligned else kind.itemsize
        self._end = self.start + size
        self.array: np.ndarray[Any, Any] = self.memory[self.start : self._end].view(kind).reshape(shape)
        if values is not None:
            self.array[...] = values

    def check(self) -> None:
        """Fail if a byte outside the array has changed."""
        outside = np.concatenate([self.memory[: self.start], self.memory[self._end :]])
        assert (outside == _GUARD).all(), "the kernel wrote outside its output"


def call(library: ctypes.CDLL, name: str, *arguments: Any) -> None:
    """Call `mcu_<name>`: arrays and Guarded as pointers, None as nullptr, int as int32_t, float as float.

    Guards of Guarded arguments are checked afterwards.
    """
    function = getattr(library, f"mcu_{name}")
    function.restype = None
    function(*map(_convert, arguments))
    for argument in arguments:
        if isinstance(argument, Guarded):
            argument.check()


def _convert(argument: Any) -> Any:
    if isinstance(argument, Guarded):
        argument = argument.array
    if isinstance(argument, np.ndarray):
        assert argument.flags.c_contiguous
        return ctypes.c_void_p(argument.ctypes.data)
    if argument is None:
        return ctypes.c_void_p(None)
    if isinstance(argument, (bool, np.bool_)):
        return ctypes.c_bool(bool(argument))
    if isinstance(argument, (int, np.integer)):
        return ctypes.c_int32(int(argument))
    return ctypes.c_float(float(argument))


def assert_same_bits(found: Any, expected: Any) -> None:
    """Equal type, shape and bits; any NaN equals any other (which one it is depends on the instruction set)."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    if found.dtype.kind == "f":
        both_nan = np.isnan(found) & np.isnan(expected)
        found, expected = np.where(both_nan, 0, found), np.where(both_nan, 0, expected)
        found, expected = found.astype(found.dtype), expected.astype(found.dtype)
    unsigned = np.dtype(f"u{found.dtype.itemsize}")
    np.testing.assert_array_equal(
        np.ascontiguousarray(found).reshape(-1).view(unsigned),
        np.ascontiguousarray(expected).reshape(-1).view(unsigned),
    )


EXTREMES = np.array(
    [
        0.0,
        -0.0,
        1e-30,
        -1e-30,
        1e-38,
        0.5,
        -0.5,
        1.5,
        2.5,
        -2.5,
        126.5,
        127.5,
        -127.5,
        1e10,
        -1e10,
        3e38,
        -3e38,
    ],
    np.float32,
)
"""Zeros, small and large numbers, and halves, which are ties."""


def normal(rng: np.random.Generator, *shape: int, spread: float = 1.0) -> np.ndarray[Any, Any]:
    """float32 with numbers of all sizes around `spread`, some of EXTREMES' ties and zeros among them."""
    values = rng.standard_normal(shape) * spread
    sprinkled = rng.choice(EXTREMES[[0, 1, 5, 6, 7, 8, 9]], size=shape)
    return np.where(rng.random(shape) < 0.1, sprinkled, values).astype(np.float32)


def int8(rng: np.random.Generator, *shape: int) -> np.ndarray[Any, Any]:
    """All of int8, its ends more often."""
    values = rng.integers(-128, 128, shape)
    return np.where(rng.random(shape) < 0.1, rng.choice([-128, -127, 127], size=shape), values).astype(
        np.int8
    )

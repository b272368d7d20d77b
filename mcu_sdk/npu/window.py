"""The input of convolutions and pools: padded and made larger, seen through the kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from mcu_sdk.npu.memory_access import FeatureMapAccess, Region
from mcu_sdk.npu.opcodes import Upscale
from mcu_sdk.npu.operations import Window

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray


def largest_element(window: Window) -> int:
    """Of the magnitudes that an element of the IFM can have when its zero point is taken off."""
    low, high = window.ifm.type.range
    zero_point = window.ifm.zero_point
    return max(high - zero_point, zero_point - low)


class WindowBuffer:
    """The IFM in a buffer of its own, with its zero point still in it.

    `filler` stands in the padding and between the elements of a larger input. Raises ValueError for what is not
    simulated.
    """

    def __init__(self, window: Window, output: tuple[int, int], dtype: DTypeLike, filler: int) -> None:
        if window.upscale is Upscale.NEAREST:
            raise ValueError("an input that is made larger by repeating its elements is not simulated")
        self._window = window
        self._output = output
        self._access = FeatureMapAccess(window.ifm)
        kernel = window.kernel
        factor = 1 if window.upscale is Upscale.NONE else 2
        height, width = factor * window.ifm.shape[0], factor * window.ifm.shape[1]
        # Where an odd input is made larger there can be a row more than the kernel sees.
        rows = max(window.top + height, (output[0] - 1) * kernel.stride_y + kernel.height)
        columns = max(window.left + width, (output[1] - 1) * kernel.stride_x + kernel.width)
        self.whole: NDArray[Any] = np.full((rows, columns, window.ifm.shape[2]), filler, dtype)
        self._place = slice(window.top, window.top + height), slice(window.left, window.left + width)
        self._inside = self.whole[self._place]
        self.taps = self._through_kernel(self.whole)

    @property
    def is_padded(self) -> bool:
        window = self._window
        return any((window.top, window.left, window.bottom, window.right))

    def fill(self, memory: Region) -> None:
        """Read the IFM. Raises OutOfBounds."""
        if self._window.upscale is Upscale.NONE:
            self._access.load_into(memory, self._inside)
        else:
            self._access.load_into(memory, self._inside[::2, ::2])

    def count_inside(self) -> NDArray[np.int64]:
        """How many elements of the IFM lie under the kernel: int64[height, width, 1] of the output."""
        inside = np.zeros((*self.whole.shape[:2], 1), np.int64)
        inside[self._place] = 1
        return np.asarray(self._through_kernel(inside).sum(axis=(2, 3)))

    def _through_kernel(self, whole: NDArray[Any]) -> NDArray[Any]:
        """A view [output rows, output columns, kernel rows, kernel columns, channels]."""
        kernel = self._window.kernel
        row, column, element = whole.strides
        return as_strided(
            whole,
            (*self._output, *kernel.taps, whole.shape[2]),
            (
                row * kernel.stride_y,
                column * kernel.stride_x,
                row * kernel.dilation_y,
                column * kernel.dilation_x,
                element,
            ),
        )

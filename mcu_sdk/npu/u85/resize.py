"""A U85's resizing: between the input's elements, or the nearest of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from mcu_sdk.npu.memory_access import FeatureMapAccess, Region
from mcu_sdk.npu.tables import Internal
from mcu_sdk.npu.u85.finish import Finish, scaler
from mcu_sdk.npu.u85.operations import Resize, ResizeMode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]

_FRACTION_BITS = 16
"""What an accumulator holds is shifted to the left by these."""


def prepare_resize(operation: Resize) -> Callable[[Region, Internal], None]:
    """The operation as a function. Raises ValueError for what is not simulated."""
    if operation.mode is ResizeMode.REPLICATE:
        raise ValueError("REPLICATE is not simulated")
    output = operation.output
    if operation.ifm.type.bits > 16 or operation.ifm.zero_point or output.scale is None:
        raise ValueError(
            "resizing of 32 bits, with a zero point or a scale for each channel is not simulated"
        )
    finish = Finish(output, scaler(output.scale.scale, output.scale.shift, output.rounding))
    source = FeatureMapAccess(operation.ifm)
    (y0, y1, part_y), (x0, x1, part_x) = (_places(operation, axis) for axis in (0, 1))
    scale_y, scale_x = operation.scale
    nearest = operation.mode is ResizeMode.NEAREST
    if nearest:
        y0, x0 = np.where(2 * part_y < scale_y, y0, y1), np.where(2 * part_x < scale_x, x0, x1)
    down, right = part_y[:, None, None], part_x[None, :, None]

    def run(regions: Region, internal: Internal) -> None:
        values: Integers = source.load(regions).astype(np.int64)
        upper = values[y0]
        total: Integers = upper[:, x0]
        if not nearest:
            lower = values[y1]
            above = total * (scale_x - right) + upper[:, x1] * right
            below = lower[:, x0] * (scale_x - right) + lower[:, x1] * right
            total = above * (scale_y - down) + below * down
        finish(regions, internal, total << _FRACTION_BITS)

    return run


def _places(operation: Resize, axis: int) -> tuple[Integers, Integers, Integers]:
    """Of each output element of an axis: the input elements before and behind it, and how far from the first one it
    lies, in parts of the scale."""
    last = operation.ifm.shape[axis] - 1
    place = (
        np.arange(operation.output.shape[axis], dtype=np.int64) * operation.step[axis]
        + operation.offset[axis]
    )
    whole, part = np.divmod(place, operation.scale[axis])
    return np.clip(whole, 0, last), np.clip(whole + 1, 0, last), part

"""From accumulators to the output feature map."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcu_sdk.npu.accelerator import Accelerator
from mcu_sdk.npu.arithmetic import Scaler, check_range, clipped, rescaled
from mcu_sdk.npu.memory_access import FeatureMapAccess, Region
from mcu_sdk.npu.opcodes import Accumulator
from mcu_sdk.npu.operations import Output
from mcu_sdk.npu.tables import Internal, look_up

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]

ACCUMULATOR_BITS = {Accumulator.I32: 32, Accumulator.I40: 40}


class Finish:
    """Scaling, zero point, limits, look-up table, store.

    `scaler` is None for operations that do not scale. Raises ValueError for an encoding that is not simulated.
    """

    def __init__(self, output: Output, accelerator: Accelerator, scaler: Scaler | None) -> None:
        self._output = output
        self._access = FeatureMapAccess(output.ofm)
        self._table_base = accelerator.lut_base + 256 * (output.table or 0)
        self._scaler = scaler
        self._zero_point = output.ofm.zero_point
        low, high = output.ofm.type.range
        self._low, self._high = max(output.minimum, low), min(output.maximum, high)
        self._is_wide = output.ofm.type.bits == 32 and not output.forced
        if output.table is not None and (self._is_wide or (output.minimum, output.maximum) != (low, high)):
            raise ValueError(
                f"a table of {output.ofm.type.bits} bits behind limits of {output.minimum} to {output.maximum} is not "
                "simulated"
            )
        if self._is_wide:  # the limits are 16 bits wide and do not apply
            if (output.minimum, output.maximum) != (-(1 << 15), (1 << 15) - 1):
                raise ValueError(
                    f"limits of {output.minimum} to {output.maximum} for 32 bits are not simulated"
                )
            self._low, self._high = low, high

    def __call__(
        self,
        memory: Region,
        internal: Internal,
        values: Integers,
        bound: int | None = None,
        scaler: Scaler | None = None,
    ) -> None:
        """`bound`: no magnitude among `values` is greater, if that is known. `scaler` comes before the one from the
        start. Raises OverflowError where a result does not fit 32 bits."""
        values, bound = rescaled(values, bound, scaler or self._scaler, self._zero_point)
        if bound is None or bound > min(-self._low, self._high):
            values = self._limited(values)
        if self._output.table is not None:
            values = look_up(values, self._output, internal, self._table_base)
        self._access.store(memory, values)

    def _limited(self, values: Integers) -> Integers:
        if not self._is_wide:
            return clipped(values, self._low, self._high)
        check_range(values, self._low, self._high, 32)
        return values

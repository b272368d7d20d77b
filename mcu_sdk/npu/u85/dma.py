"""A U85's copies of rows of bytes in an order that a list of indices gives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mcu_sdk.npu.memory_access import Region, take
from mcu_sdk.npu.tables import Internal
from mcu_sdk.npu.u85.operations import DmaOfRows


def prepare_rows(dma: DmaOfRows) -> Callable[[Region, Internal], None]:
    """The copy as a function. Raises ValueError, when it runs, for a number that is out of range."""

    def run(regions: Region, internal: Internal) -> None:
        place = dma.indices
        numbers = np.frombuffer(take(regions, place.region, place.begin, place.length).tobytes(), "<i4")
        if numbers.min() < 0 or numbers.max() > dma.greatest_index:
            raise ValueError(
                f"row {numbers.min()} or {numbers.max()} is asked for; they go from 0 to {dma.greatest_index}"
            )
        for row, number in enumerate(numbers.tolist()):
            source, target = (number, row) if dma.gathers else (row, number)
            begin = dma.source.begin + source * dma.source_stride
            data = take(regions, dma.source.region, begin, dma.source.length).copy()
            begin = dma.target.begin + target * dma.target_stride
            take(regions, dma.target.region, begin, dma.target.length)[:] = data

    return run

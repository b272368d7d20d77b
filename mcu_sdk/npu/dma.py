"""Copies of bytes, between regions or into the memory inside the NPU."""

from __future__ import annotations

from collections.abc import Callable

from mcu_sdk.npu.memory_access import Region, take
from mcu_sdk.npu.operations import Dma
from mcu_sdk.npu.tables import Internal


def prepare_dma(dma: Dma) -> Callable[[Region, Internal], None]:
    """The copy as a function."""

    def run(memory: Region, internal: Internal) -> None:
        source = take(memory, dma.source.region, dma.source.begin, dma.source.length).copy()
        if dma.destination is None:
            assert dma.table_offset is not None
            internal.write(dma.table_offset, source)
        else:
            target = take(memory, dma.destination.region, dma.destination.begin, dma.destination.length)
            target[:] = source

    return run

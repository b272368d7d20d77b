"""What each operation of an Ethos-U85 computes, prepared once and then run on memory."""

from __future__ import annotations

from collections.abc import Callable

from mcu_sdk.npu.accelerator import Accelerator
from mcu_sdk.npu.dma import prepare_dma
from mcu_sdk.npu.memory_access import Region
from mcu_sdk.npu.operations import Dma
from mcu_sdk.npu.tables import Internal
from mcu_sdk.npu.u85.convolution import prepare_convolution
from mcu_sdk.npu.u85.dma import prepare_rows
from mcu_sdk.npu.u85.elementwise import prepare_elementwise
from mcu_sdk.npu.u85.operations import (
    Convolution,
    DmaOfRows,
    ElementwiseOperation,
    Operation,
    PoolingOperation,
)
from mcu_sdk.npu.u85.pooling import prepare_pooling
from mcu_sdk.npu.u85.resize import prepare_resize


def prepare(operation: Operation, accelerator: Accelerator) -> Callable[[Region, Internal], None]:
    """The operation as a function. Raises ValueError for what is not simulated."""
    if isinstance(operation, Dma):
        return prepare_dma(operation)
    if isinstance(operation, ElementwiseOperation):
        return prepare_elementwise(operation)
    if isinstance(operation, PoolingOperation):
        return prepare_pooling(operation)
    if isinstance(operation, Convolution):
        return prepare_convolution(operation, accelerator)
    if isinstance(operation, DmaOfRows):
        return prepare_rows(operation)
    return prepare_resize(operation)

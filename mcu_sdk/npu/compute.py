"""What each operation of an Ethos-U computes, prepared once and then run on memory."""

from __future__ import annotations

from collections.abc import Callable

from mcu_sdk.npu.accelerator import Accelerator
from mcu_sdk.npu.convolution import prepare_convolution
from mcu_sdk.npu.dma import prepare_dma
from mcu_sdk.npu.elementwise import prepare_elementwise
from mcu_sdk.npu.memory_access import Region
from mcu_sdk.npu.operations import Dma, ElementwiseOperation, Operation, PoolingOperation
from mcu_sdk.npu.pooling import prepare_pooling
from mcu_sdk.npu.tables import Internal

Executable = Callable[[Region, Internal], None]


def prepare(operation: Operation, accelerator: Accelerator) -> Executable:
    """The operation as a function. Raises ValueError for what is not simulated."""
    if isinstance(operation, Dma):
        return prepare_dma(operation)
    if isinstance(operation, ElementwiseOperation):
        return prepare_elementwise(operation, accelerator)
    if isinstance(operation, PoolingOperation):
        return prepare_pooling(operation, accelerator)
    return prepare_convolution(operation, accelerator)

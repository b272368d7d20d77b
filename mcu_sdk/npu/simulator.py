"""A functional simulator of the Ethos-U55 (and of the U65 where it computes the same): streams in, bytes out.

It matches the TOSA reference model on every case of docs/npu-matrix.md; it knows nothing of time. What Vela does not
emit is refused by name. What can be computed once (decoded weights, tables of addresses) is kept for each stream.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from mcu_sdk.errors import InterruptedRunError, UnsupportedOperatorError
from mcu_sdk.npu.accelerator import Accelerator
from mcu_sdk.npu.compute import Executable, prepare
from mcu_sdk.npu.decode import decode
from mcu_sdk.npu.errors import SimulationError
from mcu_sdk.npu.memory_access import OutOfBounds
from mcu_sdk.npu.operations import Convolution, ElementwiseOperation, Operation, PoolingOperation
from mcu_sdk.npu.stream import check_accelerator, read_stream
from mcu_sdk.npu.tables import Internal

if TYPE_CHECKING:
    from numpy.typing import NDArray

_KEPT_STREAMS = 8


class Simulator:
    """One NPU. `run` works on the memory it is given, in place.

    Raises UnsupportedOperatorError for a family that is not simulated.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        if not accelerator.kind.is_simulated:
            raise UnsupportedOperatorError(
                f"The simulator knows the Ethos-U55 and the U65, not {accelerator.name}: of the U85's weight format no "
                "decoder is public.",
                hint="Run the firmware on Arm's FVP.",
            )
        self.accelerator = accelerator
        self._kept: OrderedDict[bytes, list[tuple[Operation, Executable]]] = OrderedDict()

    def run(
        self,
        commands: bytes,
        regions: Sequence[NDArray[np.uint8] | memoryview | None],
        stopped: Callable[[], bool] | None = None,
    ) -> None:
        """Execute a command block ("COP1") or stream to its STOP.

        `regions[i]`: writable bytes from base pointer i on; they may go on to the end of the memory. `stopped` is asked
        before each operation whether to give up. Raises PteError for a block that is corrupt or made for another
        accelerator, SimulationError for what the stream does wrong, InterruptedRunError when it was stopped.
        """
        memory = [None if r is None else np.frombuffer(r, np.uint8) for r in regions]
        internal = Internal(self.accelerator.shram_bytes)
        for operation, executable in self._program(commands):
            if stopped is not None and stopped():
                raise InterruptedRunError("The simulated NPU was stopped in the middle of a run.")
            try:
                executable(memory, internal)
            except (OutOfBounds, OverflowError, ValueError) as error:
                raise SimulationError(operation.index, _name(operation), str(error)) from error

    def _program(self, commands: bytes) -> list[tuple[Operation, Executable]]:
        """The stream's operations, prepared; kept for the streams that were run last."""
        key = blake2b(commands, digest_size=16).digest()
        if key not in self._kept:
            stream = read_stream(commands)
            check_accelerator(stream.config, self.accelerator)
            self._kept[key] = [(each, self._prepare(each)) for each in decode(stream)]
            while len(self._kept) > _KEPT_STREAMS:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]

    def _prepare(self, operation: Operation) -> Executable:
        try:
            return prepare(operation, self.accelerator)
        except ValueError as error:
            raise SimulationError(operation.index, _name(operation), str(error)) from error


def _name(operation: Operation) -> str:
    if isinstance(operation, Convolution):
        return "NPU_OP_DEPTHWISE" if operation.depthwise else "NPU_OP_CONV"
    if isinstance(operation, PoolingOperation):
        return f"NPU_OP_POOL {operation.mode.name}"
    if isinstance(operation, ElementwiseOperation):
        return f"NPU_OP_ELEMENTWISE {operation.mode.name}"
    return "NPU_OP_DMA_START"

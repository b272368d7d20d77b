"""A functional simulator of the Ethos-U55, U65 and U85: streams in, bytes out.

It matches the TOSA reference model on every case of docs/npu-matrix.md; it knows nothing of time. What Vela does not
emit is refused by name. What can be computed once (decoded weights, tables of addresses) is kept for each stream.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from mcu_sdk.errors import InterruptedRunError
from mcu_sdk.npu.accelerator import U85, Accelerator
from mcu_sdk.npu.compute import Executable, prepare
from mcu_sdk.npu.decode import decode
from mcu_sdk.npu.errors import SimulationError
from mcu_sdk.npu.memory_access import OutOfBounds
from mcu_sdk.npu.stream import CommandStream, check_accelerator, read_stream
from mcu_sdk.npu.tables import Internal
from mcu_sdk.npu.u85.compute import prepare as prepare_u85
from mcu_sdk.npu.u85.decode import decode as decode_u85

if TYPE_CHECKING:
    from numpy.typing import NDArray

_KEPT_STREAMS = 8


@dataclass(frozen=True)
class _Step:
    """An operation prepared: `index` is its command's first word, `name` what an error calls it."""

    index: int
    name: str
    executable: Executable


class Simulator:
    """One NPU. `run` works on the memory it is given, in place."""

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self._kept: OrderedDict[bytes, list[_Step]] = OrderedDict()

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
        internal = Internal(self.accelerator.internal_bytes)
        for step in self._program(commands):
            if stopped is not None and stopped():
                raise InterruptedRunError("The simulated NPU was stopped in the middle of a run.")
            try:
                step.executable(memory, internal)
            except (OutOfBounds, OverflowError, ValueError) as error:
                raise SimulationError(step.index, step.name, str(error)) from error

    def _program(self, commands: bytes) -> list[_Step]:
        """The stream's operations, prepared; kept for the streams that were run last."""
        key = blake2b(commands, digest_size=16).digest()
        if key not in self._kept:
            stream = read_stream(commands)
            check_accelerator(stream.config, self.accelerator)
            self._kept[key] = self._prepared(stream)
            while len(self._kept) > _KEPT_STREAMS:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]

    def _prepared(self, stream: CommandStream) -> list[_Step]:
        if self.accelerator.kind is U85:
            return [
                _step(each.index, each.name, partial(prepare_u85, each, self.accelerator))
                for each in decode_u85(stream)
            ]
        return [
            _step(each.index, each.name, partial(prepare, each, self.accelerator)) for each in decode(stream)
        ]


def _step(index: int, name: str, make: Callable[[], Executable]) -> _Step:
    try:
        return _Step(index, name, make())
    except ValueError as error:
        raise SimulationError(index, name, str(error)) from error

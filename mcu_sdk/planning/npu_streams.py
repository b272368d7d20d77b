"""The command streams of a model's delegates, and how many cycles they take by our estimate."""

from __future__ import annotations

from collections.abc import Iterable

from mcu_sdk.board.npu_target import NpuTarget
from mcu_sdk.npu.accelerator import ACCELERATORS
from mcu_sdk.npu.blob import read_blob
from mcu_sdk.npu.cycles.estimate import StreamCycles, estimate
from mcu_sdk.npu.cycles.memories import MemorySystem, memory_system
from mcu_sdk.npu.errors import SimulationError
from mcu_sdk.npu.stream import read_stream
from mcu_sdk.planning.instruction import Instruction, Tensor
from mcu_sdk.planning.pte.read import ETHOS_U

DELEGATE = f"delegate::{ETHOS_U}"
"""The operator that a delegate's call has in a plan."""


def command_streams(instructions: Iterable[Instruction]) -> list[bytes]:
    """The command block of each call of a delegate, in order. Raises PteError for a corrupt blob."""
    blobs = [i.arguments[0] for i in instructions if i.operator == DELEGATE]
    return [read_blob(bytes(blob.data or b"")).commands for blob in blobs if isinstance(blob, Tensor)]


def system_of(npu: NpuTarget) -> MemorySystem:
    """The memories that Vela is told of. Raises BoardError for names that are none, ToolMissingError without Vela."""
    return memory_system(ACCELERATORS[npu.accelerator].kind, npu.system_config, npu.memory_mode)


def estimate_streams(
    streams: Iterable[bytes], npu: NpuTarget, system: MemorySystem | None = None
) -> tuple[StreamCycles, ...]:
    """Our estimate of each command block in `system` (None: the target's); none where one of them is not understood.

    Raises what `system_of` raises.
    """
    system = system or system_of(npu)
    try:
        return tuple(estimate(read_stream(data), system) for data in streams)
    except SimulationError:
        return ()  # what the simulator does not know, an NPU may

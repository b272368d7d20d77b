"""A program of which an NPU takes parts -> these, what is left, and a .pte around them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from executorch.exir import EdgeProgramManager
from torch.export import ExportedProgram

from mcu_sdk.board.npu_target import NpuTarget
from mcu_sdk.console import step
from mcu_sdk.errors import ModelError
from mcu_sdk.lowering.ethos_u.compile import CompiledModule
from mcu_sdk.lowering.ethos_u.delegate import partition
from mcu_sdk.lowering.ethos_u.reasons import left_with_reasons
from mcu_sdk.lowering.lower import lower_edge
from mcu_sdk.npu.artifact import DelegateArtifact

Left = list[dict[str, str]]
"""{operator, name, reason} of what stays on the processor."""


def divide(
    program: ExportedProgram, target: NpuTarget, what: str
) -> tuple[EdgeProgramManager, list[DelegateArtifact], Left]:
    """The partitioned program, its delegates in the order of their calls, and what is left.

    Raises ModelError where the NPU takes nothing of `what`, and what partition() raises.
    """
    edge, delegates = partition(program, target)
    if not delegates:
        raise ModelError(
            f"A {what} with something for {target.accelerator} was expected; the partitioner took none of it.",
            hint="Run it on the processor: choose a Cortex-M target.",
        )
    return edge, delegates, left_with_reasons(edge.exported_program(), target)


def assemble(
    edge: EdgeProgramManager,
    delegates: Sequence[DelegateArtifact],
    left: Left,
    target: NpuTarget,
    **compared: Any,
) -> CompiledModule:
    """One .pte of partitioned programs; `compared` goes into the facts."""
    with step("Lowering the processor's part and planning memory"):
        lowered = lower_edge(edge)
    facts = {
        "npu": target.accelerator,
        "activation_bits": target.activation_bits,
        "npu_delegates": len(delegates),
        "cpu_operators": left,
        **compared,
    }
    return CompiledModule(lowered.pte, lowered.names, facts, tuple(delegates))

"""A decoder's methods, some of them divided between an NPU and the processor (rows.py) -> one .pte."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from torch.export import ExportedProgram

from mcu_sdk.board.npu_target import NpuTarget
from mcu_sdk.lowering.ethos_u.assemble import Left, assemble, divide
from mcu_sdk.lowering.ethos_u.compile import CompiledModule
from mcu_sdk.lowering.lower import to_edge_dialect
from mcu_sdk.npu.artifact import DelegateArtifact


def lower_methods(
    methods: Mapping[str, ExportedProgram],
    on_npu: Collection[str],
    target: NpuTarget,
    metadata: Mapping[str, Any],
) -> CompiledModule:
    """One .pte of "forward" and of what is beside it, in this order; those `on_npu` have parts for the NPU. They share the
    weights that the processor reads, and by their names the buffers that live from call to call.

    The delegates are those of the first method, then of the next one. Raises ModelError where one of `on_npu` has nothing for
    the NPU, and what ExecuTorch and Vela refuse.
    """
    plain = {name: program for name, program in methods.items() if name not in on_npu}
    edge = to_edge_dialect(plain, metadata, cortex_m_passes=True)
    programs = {name: edge.exported_program(name) for name in plain}
    delegates: list[DelegateArtifact] = []
    left: Left = []
    for name, program in methods.items():
        if name in plain:
            continue
        divided, found, kept = divide(program, target, f"method {name}")
        programs[name] = divided.exported_program()
        delegates += found
        left += kept
    edge._edge_programs = {name: programs[name] for name in methods}
    return assemble(edge, delegates, left, target)

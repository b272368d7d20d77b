"""What a partitioned program leaves to the processor, each operator with the reason."""

from __future__ import annotations

from typing import Any

from executorch.backends.arm.operator_support.tosa_supported_operators import tosa_support_factory
from executorch.exir.backend.utils import WhyNoPartitionReporter
from torch.export import ExportedProgram
from torch.fx import Node

from mcu_sdk.board.npu_target import NpuTarget
from mcu_sdk.lowering.ethos_u.delegate import compile_spec, operator_name, operators_left
from mcu_sdk.operators.table import OWN

KEPT = "kept for the processor (docs/npu_lowering.md)"
"""Why an operator is there that divided.py or rows.py left to the processor."""


def left_with_reasons(program: ExportedProgram, target: NpuTarget) -> list[dict[str, str]]:
    """What stayed on the processor, each with what the partitioner's checks say of it."""
    reporter = _Reasons()
    support: Any = tosa_support_factory(compile_spec(target).tosa_spec, program, reporter)
    left = operators_left(program)
    names = {entry["name"] for entry in left}
    for node in program.graph.nodes:
        if node.name not in names:
            continue
        try:
            accepted = support.is_node_supported({}, node)
        except Exception as error:  # checks expect neighbours that are inside a delegate now
            reporter.found.setdefault(node.name, f"{type(error).__name__} in {operator_name(node)}'s check")
            continue
        if accepted:
            reporter.found.setdefault(node.name, "not quantized, or nothing beside it is on the NPU")
    return [{**entry, "reason": _reason(entry, reporter.found)} for entry in left]


class _Reasons(WhyNoPartitionReporter):  # type: ignore[misc]  # executorch carries no types
    """Keeps the first reason for each node by name."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}

    def report_reject(self, node: Node, reason: str) -> None:
        super().report_reject(node, reason)
        self.found.setdefault(node.name, reason)


def _reason(entry: dict[str, str], found: dict[str, str]) -> str:
    """Of an operator of ours that it was meant to stay, of another what the partitioner found."""
    own = entry["operator"].startswith(f"{OWN}.")
    return KEPT if own else found.get(entry["name"], "no reason given")

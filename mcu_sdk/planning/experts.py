"""What a step reads of a mixture of experts: a part of the weights that lie in the image."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from mcu_sdk.operators.table import Work
from mcu_sdk.planning.constants import instructions_of, model_reads
from mcu_sdk.planning.instruction import Instruction, Space, Tensor
from mcu_sdk.planning.operands import touched
from mcu_sdk.planning.plan import Plan


@dataclass(frozen=True)
class Experts:
    """Of `count` experts a step reads `chosen`: `read_bytes` of `bytes`; `step_bytes`: all constants that it reads."""

    count: int
    chosen: int
    bytes: int
    read_bytes: int
    step_bytes: int

    def rows(self) -> list[tuple[str, str]]:
        """Label and value of the report's line."""
        text = f"{self.step_bytes:,} bytes: of {self.bytes:,} bytes of experts {self.read_bytes:,}"
        return [("weights per token", f"{text}, {self.chosen} of {self.count}")]

    def to_json(self) -> dict[str, int]:
        return asdict(self)


def experts_of(plan: Plan) -> Experts | None:
    """None for a model without. Layers that differ count together: the most experts, the most that are chosen."""
    sizes = [each for instruction in instructions_of(plan) if (each := _sizes(instruction)) is not None]
    if not sizes:
        return None
    weights: dict[int, int] = {}
    read = 0
    for instruction in instructions_of(plan):
        for tensor, amount in touched(instruction) if _sizes(instruction) is not None else ():
            if tensor.space is Space.MODEL:
                weights[tensor.offset] = tensor.nbytes
                read += amount
    step = sum(amount for _, amount in model_reads(plan))
    return Experts(max(n for n, _ in sizes), max(k for _, k in sizes), sum(weights.values()), read, step)


def experts_from_json(data: Any) -> Experts | None:
    """What `to_json` wrote; None for anything else."""
    try:
        experts = Experts(**data)
    except TypeError:
        return None
    return experts if all(type(value) is int for value in asdict(experts).values()) else None


def _sizes(instruction: Instruction) -> tuple[int, int] | None:
    """(experts, how many are chosen) of a product whose weights an index chooses among."""
    row = instruction.row
    if row is None or row.work is not Work.PRODUCT or not row.index:
        return None
    weight, index = (instruction.arguments[row.position(name)] for name in (row.weight, row.index))
    if not isinstance(weight, Tensor) or not isinstance(index, Tensor):
        return None
    return weight.shape[0], index.elements

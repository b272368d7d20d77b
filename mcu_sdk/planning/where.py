"""Where a model lies on a board, for people: each section's region, and the constants in groups of one kind."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mcu_sdk.planning.constants import constants_of, instructions_of
from mcu_sdk.planning.fit import Layout, Sizes
from mcu_sdk.planning.instruction import Pointer, Space, Tensor
from mcu_sdk.planning.operands import touched
from mcu_sdk.planning.pieces import Constant
from mcu_sdk.planning.plan import Plan

SECTIONS = ("arena", "kv_cache", "tokenizer")
"""What lies beside the constants and differs from model to model."""


@dataclass(frozen=True)
class Group:
    """The constants in `region` that the calls of `operator` read: how many, their bytes, and how many of these a step
    reads. `name`: of the one that is read most per byte."""

    operator: str
    region: str
    constants: int
    bytes: int
    traffic: int
    name: str


def groups_of(plan: Plan, layout: Layout) -> list[Group]:
    """The constants by operator and region, what is read most per byte first. A constant of several operators counts to
    the one that reads most of it."""
    constants = constants_of(plan)
    regions = {constant.offset: layout.regions.get("weights", "") for constant in constants}
    for piece in layout.pieces:
        regions |= {constant.offset: piece.region for constant in piece.constants}
    operators = _operators(plan, constants)
    found: dict[tuple[str, str], list[Constant]] = {}
    for constant in constants:
        key = operators.get(constant.offset, "output"), regions[constant.offset]
        found.setdefault(key, []).append(constant)
    groups = [
        Group(
            operator,
            region,
            len(some),
            sum(constant.size for constant in some),
            sum(constant.traffic for constant in some),
            max(some, key=lambda constant: (constant.traffic / constant.size, -constant.offset)).name,
        )
        for (operator, region), some in found.items()
    ]
    return sorted(groups, key=lambda group: (-group.traffic / group.bytes, group.operator, group.region))


def _operators(plan: Plan, constants: tuple[Constant, ...]) -> dict[int, str]:
    """The operator that reads most of a constant in a step, or else the first that is told of it; by the constant's
    offset."""
    begins = [constant.offset for constant in constants]
    reads: dict[int, dict[str, int]] = {}

    def count(operator: str, tensor: Tensor, amount: int) -> None:
        index = bisect_right(begins, tensor.offset) - 1
        if tensor.space is Space.MODEL and index >= 0 and tensor.offset < constants[index].end:
            of_constant = reads.setdefault(begins[index], {})
            of_constant[operator] = of_constant.get(operator, 0) + amount

    for instruction in instructions_of(plan):
        for tensor, amount in touched(instruction):
            count(instruction.operator, tensor, amount)
    for planned in plan.all_calls:
        for argument in planned.call.arguments:
            told = argument.tensor if isinstance(argument, Pointer) else argument
            if isinstance(told, Tensor):
                count(planned.instruction.operator, told, 0)
    return {offset: max(found, key=lambda name: found[name]) for offset, found in reads.items()}


def where(plan: Plan, layout: Layout, sizes: Sizes) -> dict[str, Any]:
    """Plain data: `sections` (name -> region and bytes), `constants` (the groups); empty for a host."""
    if not layout.regions:
        return {}
    bytes_of: Mapping[str, int] = {name: getattr(sizes, name) for name in SECTIONS}
    sections = {
        name: {"region": layout.regions[name], "bytes": bytes_of[name]} for name in SECTIONS if bytes_of[name]
    }
    return {"sections": sections, "constants": [vars(group) for group in groups_of(plan, layout)]}

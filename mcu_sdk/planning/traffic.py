"""What one step moves: how hot each section of a model is, for placement."""

from __future__ import annotations

from mcu_sdk.planning.instruction import Space
from mcu_sdk.planning.operands import touched
from mcu_sdk.planning.plan import Plan


def step_traffic(plan: Plan) -> dict[str, int]:
    """The bytes of arena, kv_cache and weights that the calls of one step read and write.

    Each operand counts whole but for what an index selects (operators/table): of an embedding table the rows that
    come out, of a rotation's tables one, of a KV cache that is written one position. Attention reads all positions, as
    at the cache's end.
    """
    names = {Space.ARENA: "arena", Space.KV_CACHE: "kv_cache", Space.MODEL: "weights"}
    total = dict.fromkeys(names.values(), 0)
    for planned in plan.calls:
        for tensor, amount in touched(planned.instruction):
            total[names[tensor.space]] += amount
    return total

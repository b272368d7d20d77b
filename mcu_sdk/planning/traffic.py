"""What one step moves: how hot each section of a model is, for placement."""

from __future__ import annotations

from mcu_sdk.planning.instruction import Space, Tensor
from mcu_sdk.planning.plan import Plan


def step_traffic(plan: Plan) -> dict[str, int]:
    """The bytes of arena, kv_cache and weights that the calls of one step read and write, each operand counted whole.

    Of an embedding table only the row that comes out is read; of a KV cache all positions count, as at its end.
    """
    names = {Space.ARENA: "arena", Space.KV_CACHE: "kv_cache", Space.MODEL: "weights"}
    total = dict.fromkeys(names.values(), 0)
    for planned in plan.calls:
        operands = [value for value in planned.instruction.arguments if isinstance(value, Tensor)]
        looks_up = "embedding" in planned.instruction.operator
        row = min((tensor.nbytes for tensor in operands if tensor.space is Space.ARENA), default=0)
        for tensor in operands:
            whole = not (looks_up and tensor.space is Space.MODEL)
            total[names[tensor.space]] += tensor.nbytes if whole else min(row, tensor.nbytes)
    return total

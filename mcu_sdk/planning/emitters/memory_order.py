"""Images with channels last: their tensors as what they are in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps

from mcu_sdk.planning.emitters.checks import is_contiguous
from mcu_sdk.planning.instruction import Instruction, KernelCall, Tensor, Value
from mcu_sdk.planning.registry import unsupported

CHANNELS_LAST = (0, 2, 3, 1)


def stored(instruction: Instruction, value: Tensor, order: tuple[int, ...]) -> Tensor:
    """A tensor as row-major one of the shape it has in memory. Raises where its dimensions are in another order."""
    if len(value.shape) != len(order) or sorted(order) != list(range(len(order))):
        unsupported(instruction, f"{list(value.shape)} has no dim order {order}")
    own = value.dim_order or tuple(range(len(order)))
    if [a for a in own if value.shape[a] != 1] != [a for a in order if value.shape[a] != 1]:
        unsupported(instruction, f"a tensor has the dim order {own} where {order} is wanted")
    return replace(value, shape=tuple(value.shape[axis] for axis in order), dim_order=())


Emit = Callable[[Instruction], Sequence[KernelCall]]


def elementwise(emitter: Emit) -> Emit:
    """An emitter for which the order of dimensions does not matter, as long as all tensors have the same."""

    @wraps(emitter)
    def wrapper(instruction: Instruction) -> Sequence[KernelCall]:
        orders = {
            a.dim_order for a in instruction.arguments if isinstance(a, Tensor) and not is_contiguous(a)
        }
        if not orders:
            return emitter(instruction)
        if len(orders) > 1:
            unsupported(instruction, f"its tensors have different dim orders: {sorted(orders)}")
        (order,) = orders

        def converted(value: Value) -> Value:
            if not isinstance(value, Tensor) or (value.elements == 1 and len(value.shape) < len(order)):
                return value
            return stored(instruction, value, order)

        return emitter(replace(instruction, arguments=tuple(map(converted, instruction.arguments))))

    return wrapper

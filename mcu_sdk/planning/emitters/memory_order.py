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
    own = value.order
    if [a for a in own if value.shape[a] != 1] != [a for a in order if value.shape[a] != 1]:
        unsupported(instruction, f"a tensor has the dim order {own} where {order} is wanted")
    return replace(value, shape=tuple(value.shape[axis] for axis in order), dim_order=())


Emit = Callable[[Instruction], Sequence[KernelCall]]


def elementwise(emitter: Emit) -> Emit:
    """An emitter for which the order of dimensions does not matter, as long as all tensors have the same."""
    return elementwise_but()(emitter)


def elementwise_but(*tables: int) -> Callable[[Emit], Emit]:
    """The same where the arguments `tables` are not walked over with the others, and stay as they are."""

    def decorator(emitter: Emit) -> Emit:
        @wraps(emitter)
        def wrapper(instruction: Instruction) -> Sequence[KernelCall]:
            walked = [a for i, a in enumerate(instruction.arguments) if i not in tables]
            orders = {a.dim_order for a in walked if isinstance(a, Tensor) and not is_contiguous(a)}
            if not orders:
                return emitter(instruction)
            if len(orders) > 1:
                unsupported(instruction, f"its tensors have different dim orders: {sorted(orders)}")
            (order,) = orders

            def converted(index: int, value: Value) -> Value:
                scalar = isinstance(value, Tensor) and value.elements == 1 and len(value.shape) < len(order)
                if not isinstance(value, Tensor) or scalar or index in tables:
                    return value
                return stored(instruction, value, order)

            arguments = tuple(converted(*each) for each in enumerate(instruction.arguments))
            return emitter(replace(instruction, arguments=arguments))

        return wrapper

    return decorator

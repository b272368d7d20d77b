"""Which operators have kernels: a table from operator name to the emitter that prints its call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pkgutil import iter_modules
from typing import NoReturn

from mcu_sdk.errors import UnsupportedOperatorError
from mcu_sdk.operators.table import plain_overload
from mcu_sdk.planning.instruction import Instruction, KernelCall, Tensor, Value
from mcu_sdk.text import one_line

Emitter = Callable[[Instruction], Sequence[KernelCall]]

_emitters: dict[str, Emitter] = {}


def emits(*operators: str) -> Callable[[Emitter], Emitter]:
    """Register an emitter for operators such as "mcu::rms_norm" (every overload that has none of its own).

    "mcu::linear_s8.packed" is one overload, whose out form is `packed_out`.

    The emitter returns the calls in order; an empty list means nothing is left to do (a view over the same
    bytes). It raises through `unsupported` for types and shapes its kernel cannot take.
    """

    def register(emitter: Emitter) -> Emitter:
        for operator in operators:
            if operator in _emitters:
                raise ValueError(f"two emitters for {operator}")
            _emitters[operator] = emitter
        return emitter

    return register


def load_emitters() -> dict[str, Emitter]:
    """Import every module of `mcu_sdk.planning.emitters` and return the table."""
    import mcu_sdk.planning.emitters as package

    for module in iter_modules(package.__path__):
        import_module(f"{package.__name__}.{module.name}")
    return _emitters


def emit(instruction: Instruction) -> Sequence[KernelCall]:
    """The kernel calls of one instruction.

    Raises UnsupportedOperatorError when no kernel exists for the operator, or none for these types or shapes.
    """
    emitters = load_emitters()
    overload = f"{instruction.operator}.{plain_overload(instruction.overload)}"
    emitter = emitters.get(overload) or emitters.get(instruction.operator)
    if emitter is None:
        unsupported(instruction, "there is no kernel for this operator")
    _check_count(instruction)
    return emitter(instruction)


def _check_count(instruction: Instruction) -> None:
    """Refuse one of our operators with another number of arguments than its schema has."""
    row = instruction.row
    if row is None or not row.is_ours:
        return
    outputs = 0 if instruction.in_place else len(row.outputs)
    wanted = len(row.argument_names) + outputs
    if len(instruction.arguments) != wanted:
        unsupported(
            instruction, f"it has {len(instruction.arguments)} arguments where its schema has {wanted}"
        )


_ITEMS_SHOWN = 8
_CHARACTERS_SHOWN = 400


COVERED = "docs/operators.md lists what is covered; change the model or lower it differently."


def unsupported(instruction: Instruction, why: str, hint: str = COVERED) -> NoReturn:
    """Raise UnsupportedOperatorError naming the operator, its place and where it was traced from."""
    shapes = _cut(", ".join(_describe(argument) for argument in instruction.arguments))
    source = f" (traced from {_cut(instruction.source)})" if instruction.source else ""
    raise UnsupportedOperatorError(
        f"Instruction {instruction.index} of the model, {instruction.full_name}({shapes}) in "
        f"{_cut(instruction.name)}{source}, cannot be compiled: {why}.",
        hint=hint,
        why=why,
    )


def _describe(value: Value) -> str:
    if isinstance(value, Tensor):
        return f"{value.dtype!r}{list(value.shape)}"
    if isinstance(value, list):
        more = ["..."] if len(value) > _ITEMS_SHOWN else []
        return f"[{', '.join([*(_describe(item) for item in value[:_ITEMS_SHOWN]), *more])}]"
    return repr(value)


def _cut(text: str) -> str:
    """One line of a length that can be read: a file decides how many arguments there are, and of what."""
    text = one_line(text)
    return text if len(text) <= _CHARACTERS_SHOWN else f"{text[:_CHARACTERS_SHOWN]}..."

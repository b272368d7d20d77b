"""Which calls of a .pte's a wrapper of ours takes in the place of a kernel of ExecuTorch's own libraries.

Decided when a project is generated: what a wrapper refuses at run time would be an error there, where their kernel computes.
"""

from __future__ import annotations

from mcu_sdk.errors import UnsupportedOperatorError
from mcu_sdk.operators.table import Operator
from mcu_sdk.planning.emitters.checks import is_contiguous
from mcu_sdk.planning.instruction import Instruction, Tensor, Value
from mcu_sdk.planning.registry import emit
from mcu_sdk.project.wrappers import CallText, TensorText, parts_of, read_call


def takes(operator: Operator, call: Instruction) -> bool:
    """Whether the wrapper of an operator that ExecuTorch's own libraries have, too, takes a call: its tensors' types, numbers of
    axes and dim orders and its fixed values are those that the row's `call` says, and the rest is what a plan can be made of,
    which is what wrappers ask for."""
    return _is_as_said(read_call(operator), operator, call) and _is_planned(call)


def _is_planned(call: Instruction) -> bool:
    try:
        emit(call)
    except UnsupportedOperatorError:
        return False
    return True


def _is_as_said(text: CallText, operator: Operator, call: Instruction) -> bool:
    names = [*operator.argument_names, *operator.outputs]
    if len(call.arguments) != len(names):
        return False
    arguments = dict(zip(names, call.arguments, strict=True))
    if not all(_is_only(arguments[name], value) for name, value in text.only.items()):
        return False
    given = {
        name: value for name, value in arguments.items() if name not in text.unused and name not in text.only
    }
    if not all(_is_taken(text.tensors.get(name), value) for name, value in given.items()):
        return False
    tensors = {name: value for name, value in given.items() if isinstance(value, Tensor)}
    if len({tensors[name].dtype for name in text.alike}) > 1:
        return False
    if not text.walked:
        return all(map(is_contiguous, tensors.values()))
    first, *others = (tensor for name, tensor in tensors.items() if name != text.apart)
    return all(_lies_as(first, other) for other in others)


def _is_only(value: Value, wanted: str) -> bool:
    if wanted == "none":
        return value is None
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == float(wanted)


def _is_taken(tensor: TensorText | None, value: Value) -> bool:
    """Whether an argument is what a row says of it; None for one that is no tensor there."""
    if tensor is None:
        return not isinstance(value, Tensor)
    if value is None:
        return tensor.optional
    if not isinstance(value, Tensor) or repr(value.dtype) not in tensor.types or not value.elements:
        return False
    if tensor.axes.startswith("["):
        axes = parts_of(tensor.axes[1:-1])
        return len(value.shape) > 0 if axes[0].startswith("*") else len(value.shape) == len(axes)
    return True


def _lies_as(one: Tensor, other: Tensor) -> bool:
    """As firmware/operators/arguments.h."""
    if is_contiguous(one) and is_contiguous(other):
        return True
    return one.shape == other.shape and one.order == other.order

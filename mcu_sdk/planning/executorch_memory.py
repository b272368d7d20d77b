"""What memory a .pte takes under ExecuTorch's own runtime, from the file alone.

Planned memories are what the file says. The method allocator holds what `Method::init` takes from it: values, tensors,
lists, and the arguments of every instruction; its order is followed here, allocation by allocation. Temporary memory is
what one instruction takes at most: while its kernel is looked for, and while that runs. Source: runtime/executor/method.cpp and tensor_parser_portable.cpp of ExecuTorch 1.5;
the sizes of its structures are those that its headers give a compiler (tests/planning/test_executorch_memory.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mcu_sdk.errors import PteError
from mcu_sdk.planning.instruction import Instruction, Scratch, Tensor
from mcu_sdk.planning.pte.program import (
    BoolList,
    DelegateCall,
    DoubleList,
    ExecutionPlan,
    IntList,
    KernelCall,
    RawValue,
    TensorList,
    TensorValue,
)
from mcu_sdk.planning.pte.read import Pte
from mcu_sdk.planning.registry import emit

_CALLED = re.compile(r"call (\w+)\(")
MOST_AXES = 16
"""kTensorDimensionLimit."""


@dataclass(frozen=True)
class Structures:
    """Bytes of ExecuTorch's structures; `word` is a pointer's. All are aligned as their largest field."""

    word: int
    evalue: int
    tensor: int
    backend_delegate: int

    @property
    def tensor_meta(self) -> int:
        return 3 * self.word


BITS_32 = Structures(word=4, evalue=16, tensor=32, backend_delegate=40)
BITS_64 = Structures(word=8, evalue=16, tensor=64, backend_delegate=56)


@dataclass(frozen=True)
class RuntimeMemory:
    """Bytes that one method takes: planned memories by their number, the method allocator, and temporary memory.

    `temporary` has to be there: with less, the runtime takes the method allocator's to look kernels up. `temporary_used` of it
    are in use at once, at most.
    """

    planned: dict[int, int]
    method_allocator: int
    temporary: int
    temporary_used: int


def runtime_memory(
    plan: ExecutionPlan, instructions: Sequence[Instruction], structures: Structures = BITS_32
) -> RuntimeMemory:
    """What a method takes; `instructions` are what read_pte() makes of it.

    Of ExecuTorch's portable kernels topk's alone takes temporary memory, and ours has its place. What a delegate's backend
    takes is not in the file, and not counted. Raises UnsupportedOperatorError as planning does.
    """
    planned = dict(enumerate(plan.non_const_buffer_sizes[1:], start=1))
    calls = [c for chain in plan.chains for c in chain.instructions if isinstance(c, KernelCall)]
    wanted = max((len(call.args) * (structures.tensor_meta + MOST_AXES) for call in calls), default=0)
    looked_up = max((_lookup_bytes(plan, call, structures) for call in calls), default=0)
    running = max(map(_scratch_of, instructions), default=0)
    return RuntimeMemory(
        planned, method_allocator_bytes(plan, structures), max(wanted, running), max(looked_up, running)
    )


def _lookup_bytes(plan: ExecutionPlan, call: KernelCall, structures: Structures) -> int:
    """Bytes of a kernel's name: for each argument its type and dim order, and for each tensor a byte for each axis."""
    tensors = (value for index in call.args if isinstance(value := plan.values[index], TensorValue))
    return len(call.args) * structures.tensor_meta + sum(len(tensor.sizes) for tensor in tensors)


def method_allocator_bytes(plan: ExecutionPlan, structures: Structures = BITS_32) -> int:
    """Bytes that Method::init takes from an allocator whose memory is 16-aligned, with temporary memory beside it."""
    memory, word = _Bump(), structures.word
    memory.take(structures.evalue * len(plan.values), 8)
    if plan.inputs:
        memory.take(len(plan.inputs), 1)
    for value in plan.values:
        _take_value(memory, value, structures)
    memory.take(structures.backend_delegate * len(plan.delegates), 8)
    memory.take(4 * word * len(plan.chains), word)
    for chain in plan.chains:
        memory.take(word * len(chain.instructions), word)
        memory.take(2 * word * len(chain.instructions), word)
        for instruction in chain.instructions:
            if isinstance(instruction, (KernelCall, DelegateCall)):
                memory.take(word * len(instruction.args), word)
    return memory.used


class _Bump:
    """An allocator that only goes on."""

    def __init__(self) -> None:
        self.used = 0

    def take(self, size: int, alignment: int) -> None:
        self.used = -(-self.used // alignment) * alignment + size


def _take_value(memory: _Bump, value: RawValue, structures: Structures) -> None:
    word = structures.word
    if isinstance(value, TensorValue):
        axes = len(value.sizes)
        if axes > MOST_AXES:
            raise PteError(f"A tensor has {axes} axes, and ExecuTorch knows {MOST_AXES}.")
        if value.shape_dynamism:
            memory.take(4 * axes, 4)
            memory.take(axes, 1)
        memory.take(4 * axes, 4)
        memory.take(structures.tensor, word)
    elif isinstance(value, IntList):
        memory.take(word * len(value.items), word)
        memory.take(8 * len(value.items), 8)
        memory.take(3 * word, word)
    elif isinstance(value, TensorList):
        each = 2 * word if value.optional else word
        memory.take(each * len(value.items), word)
        memory.take(word * len(value.items), word)
        memory.take(3 * word, word)
    elif isinstance(value, (BoolList, DoubleList, str)):
        memory.take(2 * word, word)


def _scratch_of(instruction: Instruction) -> int:
    """Temporary bytes that our wrapper of an operator takes: what the compiled plan's call would, where it is of a kernel
    that the wrapper calls, too, and sums that the plan has as constants."""
    taken = _Bump()
    if instruction.operator == "cortex_m::quantized_linear" and instruction.arguments[3] is None:
        weights = instruction.arguments[1]
        assert isinstance(weights, Tensor)
        taken.take(4 * weights.shape[0], 16)
    row = instruction.row
    kernels = {f"mcu_{name}" for name in _CALLED.findall(row.call)} if row is not None else set()
    for call in emit(instruction):
        for argument in call.arguments if call.function in kernels else ():
            if isinstance(argument, Scratch):
                taken.take(argument.size, 16)
    return taken.used


def memory_of(
    plans: Sequence[ExecutionPlan], pte: Pte, structures: Structures = BITS_32
) -> dict[str, RuntimeMemory]:
    """Each computing method of a program and what it takes. Methods share their planned memories."""
    found = {"forward": pte, "prefill": pte.prefill, "encoder": pte.encoder}
    methods = {name: method.instructions for name, method in found.items() if method is not None}
    return {
        plan.name: runtime_memory(plan, methods[plan.name], structures)
        for plan in plans
        if plan.name in methods
    }

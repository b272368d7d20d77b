"""Names for the tensors of a plan, so that plan.cpp reads like the network: `layer0_q_proj` instead of `arena<float>(512)`.

A name lasts from the call that writes its tensor until another tensor is written over it; what is kept from step to step
and the model's inputs have theirs from the beginning. Names come from the module's path in the checkpoint, and depend
on nothing else: the same .pte gives the same text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mcu_sdk.planning.instruction import Argument, Instruction, KernelCall, Pointer, Space, Tensor
from mcu_sdk.planning.kernel_files import kernels

LONGEST = 40
"""Characters of a name before its suffix."""

_TAKEN = frozenset(
    [
        "alignas",
        "alignof",
        "and",
        "and_eq",
        "asm",
        "auto",
        "bitand",
        "bitor",
        "bool",
        "break",
        "case",
        "catch",
        "char",
        "char8_t",
        "char16_t",
        "char32_t",
        "class",
        "co_await",
        "co_return",
        "co_yield",
        "compl",
        "concept",
        "const",
        "const_cast",
        "consteval",
        "constexpr",
        "constinit",
        "continue",
        "decltype",
        "default",
        "delete",
        "do",
        "double",
        "dynamic_cast",
        "else",
        "enum",
        "explicit",
        "export",
        "extern",
        "false",
        "float",
        "for",
        "friend",
        "goto",
        "if",
        "inline",
        "int",
        "long",
        "mutable",
        "namespace",
        "new",
        "noexcept",
        "not",
        "not_eq",
        "nullptr",
        "operator",
        "or",
        "or_eq",
        "private",
        "protected",
        "public",
        "register",
        "reinterpret_cast",
        "requires",
        "return",
        "short",
        "signed",
        "sizeof",
        "static",
        "static_assert",
        "static_cast",
        "struct",
        "switch",
        "template",
        "this",
        "thread_local",
        "throw",
        "true",
        "try",
        "typedef",
        "typeid",
        "typename",
        "union",
        "unsigned",
        "using",
        "virtual",
        "void",
        "volatile",
        "wchar_t",
        "while",
        "xor",
        "xor_eq",
        "arena",
        "arena_memory",
        "kv_cache",
        "kv_cache_memory",
        "weights",
        "model",
        "step",
        "reset",
        "instructions",
        "profile_begin",
        "profile_mark",
        "profile_print",
        "print_profile",
        "memset",
        "memcpy",
        "memmove",
        "main",
        "errno",
        "assert",
        "unix",
        "linux",
    ]
)
"""Words of C++, and what else means something inside of `step`."""


@dataclass(frozen=True)
class Buffer:
    """A tensor by its name."""

    name: str
    tensor: Tensor

    @property
    def shape(self) -> str:
        """ "f32[1,64]"."""
        return f"{self.tensor.dtype!r}[{','.join(map(str, self.tensor.shape))}]"


@dataclass(frozen=True)
class NamedCall:
    """What a call writes for the first time, and its arguments' names; None where one is no named tensor."""

    writes: tuple[Buffer, ...]
    names: tuple[str | None, ...]


@dataclass
class _Names:
    """The names in use, and which tensor each place of memory holds at this point of the step."""

    used: set[str] = field(default_factory=set)
    live: list[Buffer] = field(default_factory=list)

    def add(self, candidates: Sequence[str], tensor: Tensor) -> Buffer:
        """Name a tensor by the first candidate that is free, the last one with a number if need be."""
        name = next(self._free(candidates))
        self.used.add(name)
        self.live = [buffer for buffer in self.live if not buffer.tensor.overlaps(tensor)]
        self.live.append(Buffer(name, tensor))
        return self.live[-1]

    def _free(self, candidates: Sequence[str]) -> Iterator[str]:
        words = [_identifier(candidate) for candidate in candidates]
        yield from (word for word in words if word not in self.used)
        number = 2
        while f"{words[-1]}_{number}" in self.used:
            number += 1
        yield f"{words[-1]}_{number}"

    def of(self, argument: Argument) -> str | None:
        """A pointer to what `argument` points at, by name: with the same type, from the beginning or some elements on."""
        tensor = argument.tensor if isinstance(argument, Pointer) else argument
        if not isinstance(tensor, Tensor):
            return None
        c_type = argument.c_type if isinstance(argument, Pointer) else ""
        offset = tensor.offset + (argument.byte_offset if isinstance(argument, Pointer) else 0)
        for buffer in self.live:
            found = buffer.tensor
            inside = found.space is tensor.space and found.offset <= offset < found.offset + max(
                found.nbytes, 1
            )
            if inside and found.dtype.c_type == (c_type or tensor.dtype.c_type):
                elements, rest = divmod(offset - found.offset, found.dtype.size)
                if rest == 0:
                    return f"{buffer.name} + {elements}" if elements else buffer.name
        return None


def name_buffers(
    calls: Sequence[tuple[KernelCall, Instruction]],
    writes: Sequence[Sequence[Tensor]],
    inputs: Sequence[Tensor],
) -> tuple[tuple[Buffer, ...], tuple[NamedCall, ...]]:
    """(what has a name from the beginning, the calls with their names). `writes[i]`: what instruction i writes."""
    names = _Names()
    lasting = [names.add([_taken_as(calls, tensor)], tensor) for tensor in inputs]
    lasting += [names.add([word], tensor) for word, tensor in _kept(calls)]
    named = []
    known: set[tuple[int, Tensor]] = set()
    for call, instruction in calls:
        written = []
        for tensor, parameter, alone in _written(call, writes[instruction.index]):
            again = (instruction.index, tensor) in known or call.arguments.count(tensor) > 1
            if not (again and names.of(tensor)):  # what is changed in place keeps its name
                written.append(names.add(_candidates(instruction, parameter, alone), tensor))
            known.add((instruction.index, tensor))
        named.append(NamedCall(tuple(written), tuple(names.of(argument) for argument in call.arguments)))
    return tuple(lasting), tuple(named)


def parameters_of(call: KernelCall) -> tuple[str, ...]:
    """The names of a call's arguments as its header has them; empty for a function that is no kernel."""
    declared = kernels().get(call.function.removeprefix("mcu_"))
    found = declared.parameters if declared is not None else ()
    return found if len(found) == len(call.arguments) else ()


def _taken_as(calls: Sequence[tuple[KernelCall, Instruction]], tensor: Tensor) -> str:
    """The parameter by which the first call takes an input."""
    for call, _ in calls:
        for argument, parameter in zip(call.arguments, parameters_of(call), strict=False):
            if argument == tensor:
                return parameter
    return "input"


def _kept(calls: Sequence[tuple[KernelCall, Instruction]]) -> list[tuple[str, Tensor]]:
    """What lies in the KV cache, named by the last call that takes it: attention knows keys from values."""
    found: dict[Tensor, str] = {}
    for call, instruction in calls:
        parameters = parameters_of(call) or ("kept",) * len(call.arguments)
        for argument, parameter in zip(call.arguments, parameters, strict=True):
            if isinstance(argument, Tensor) and argument.space is Space.KV_CACHE and argument.nbytes:
                found[argument] = f"{_module(instruction)}_{parameter}"
    largest: list[tuple[str, Tensor]] = []
    for tensor, word in sorted(found.items(), key=lambda item: (item[0].offset, -item[0].nbytes)):
        if not any(tensor.overlaps(other) for _, other in largest):
            largest.append((word, tensor))
    return largest


def _written(call: KernelCall, tensors: Sequence[Tensor]) -> list[tuple[Tensor, str, bool]]:
    """(tensor, parameter, whether it is the only one) of the arena's tensors that a call takes and writes."""
    parameters = parameters_of(call) or ("out",) * len(call.arguments)
    found = [
        (argument, parameter)
        for argument, parameter in zip(call.arguments, parameters, strict=True)
        if isinstance(argument, Tensor) and argument.space is Space.ARENA and argument.nbytes
        if any(argument == tensor for tensor in tensors)
    ]
    distinct = list(dict.fromkeys(found))
    return [(tensor, parameter, len(distinct) == 1) for tensor, parameter in distinct]


def _candidates(instruction: Instruction, parameter: str, alone: bool) -> list[str]:
    module = _module(instruction)
    operator = instruction.operator.split("::")[-1].rstrip("_")
    if alone:
        return [module, f"{module}_{operator}"]
    return [f"{module}_{parameter}", f"{module}_{operator}_{parameter}"]


def _module(instruction: Instruction) -> str:
    """The module's last part, behind its layer: "model.layers.3.self_attn.q_proj" is layer3_q_proj."""
    parts = [part for part in re.split(r"[^A-Za-z0-9_]+", instruction.name) if part]
    numbers = [part for part in parts if part.isdigit()]
    words = [part for part in parts if not part.isdigit()]
    last = words[-1] if words else ""
    if last in ("layers", "h", "layer", "blocks", "block"):
        last = ""
    return "_".join([*(f"layer{number}" for number in numbers[:1]), *([last] if last else [])]) or "value"


def _identifier(text: str) -> str:
    """Lower-case letters, digits and underscores, none of `_TAKEN`."""
    word = re.sub(r"_+", "_", re.sub(r"[^a-z0-9]+", "_", text.lower())).strip("_")
    word = f"{word[:LONGEST].strip('_')}" or "value"
    return (
        f"x_{word}"
        if word in _TAKEN or word[0].isdigit() or word.startswith(("mcu_", "k_table", "weights_in_"))
        else word
    )

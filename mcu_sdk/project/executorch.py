"""A model under ExecuTorch's own runtime: which of its operators are ours, and what memory its methods are given.

Plain data for the templates; what a program takes is computed in planning/executorch_memory.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mcu_sdk.errors import PteError, UnsupportedOperatorError
from mcu_sdk.operators.executorch_kernels import RUNTIME, kernels_of
from mcu_sdk.operators.table import Operator
from mcu_sdk.planning.executorch_memory import BITS_32, BITS_64, RuntimeMemory, memory_of
from mcu_sdk.planning.instruction import Instruction
from mcu_sdk.planning.kernel_files import closure, kernel_sources
from mcu_sdk.planning.pte.program import read_program
from mcu_sdk.planning.pte.read import Pte
from mcu_sdk.project.instead import takes
from mcu_sdk.project.wrappers import Wrapper, all_wrappers, registered_names

Runtime = Literal["plan", "executorch"]

OLDEST = "1.5"
"""Of ExecuTorch: older ones take no kernels of a method's own, and older packages have no runtime for C++."""

CODE_BOUND = 96 * 1024
"""Bytes of the runtime's own code at most: built for size, with one kernel and what it takes of libc and libstdc++, it is
about 60 KiB. Nobody knows better before it is linked, as there may be no ExecuTorch for the board yet."""

STACK_BYTES = 4096
"""Of stack at least: method, kernel and a name of up to 659 bytes that the runtime looks for are deeper than a plan."""

_CHECKS = ("arguments", "broadcast", "images", "reduce", "sound")
_ALIGNMENT = 64
_FUNCTIONS = {"forward": "step", "prefill": "prefill", "encoder": "encode"}
"""What model.h calls a method."""
_LISTS = {
    "forward": ("kInputs", "kOutputs"),
    "prefill": ("kPrefillInputs", "kPrefillOutputs"),
    "encoder": ("kEncoderInputs", "kEncoderOutputs"),
}
_MOST_MEMORIES = 8
"""kMostMemories of firmware/executor/method.h."""


@dataclass(frozen=True)
class Method:
    """One that computes something. `planned`: (memory, byte in it, bytes) of each planned memory, from number 1 on;
    `allocator`: bytes of the method allocator for pointers of 32 and 64 bits."""

    name: str
    planned: tuple[tuple[str, int, int], ...]
    allocator: Mapping[str, int]


@dataclass(frozen=True)
class Executorch:
    """What a project needs for ExecuTorch's runtime beside what any has.

    `foreign`: operators that ExecuTorch's kernel libraries have to bring; `activations`: bytes of the arena that the file
    plans, of all methods; `temporary`: bytes for pointers of 32 and 64 bits. `partition_crc`: the CRC-32 of a .pte that lies in
    a partition of its own; None where it is embedded.
    """

    wrappers: tuple[Wrapper, ...]
    foreign: tuple[str, ...]
    methods: tuple[Method, ...]
    activations: int
    temporary: Mapping[str, int]
    partition_crc: int | None = None

    @property
    def arena_bytes(self) -> int:
        """Bytes on a core of 32 bits of what is written in every step: activations, temporary memory, and what the methods'
        values and instructions take."""
        parts = [max(self.activations, 1), self.temporary["32"], *(m.allocator["32"] for m in self.methods)]
        return sum(-(-part // _ALIGNMENT) * _ALIGNMENT for part in parts)

    @property
    def headers(self) -> list[str]:
        """Those that declare the kernels, of firmware/."""
        return sorted({header for wrapper in self.wrappers for header in wrapper.headers})

    @property
    def sources(self) -> list[str]:
        """Kernels and what checks their arguments, of firmware/."""
        return library_sources(self.wrappers)

    def to_json(self) -> dict[str, Any]:
        """For `generate --json` and the project's report; bytes on a core of 32 bits."""
        return {
            "operators": [wrapper.name for wrapper in self.wrappers],
            "executorch_operators": list(self.foreign),
            "arena_bytes": self.arena_bytes,
            "activations": self.activations,
            "method_allocator": {method.name: method.allocator["32"] for method in self.methods},
            "temporary": self.temporary["32"],
        }

    def to_template(self, plan: Mapping[str, Any]) -> dict[str, Any]:
        """For templates/executorch/model/program.cpp.j2; `plan` is what Plan.to_template() gives."""
        beside = {"forward": plan, "prefill": plan.get("prefill"), "encoder": plan.get("encoder")}
        return {
            "foreign": list(self.foreign),
            "activations": self.activations,
            "temporary": dict(self.temporary),
            "oldest": OLDEST,
            "partition_crc": self.partition_crc,
            "methods": [
                {
                    "name": method.name,
                    "function": _FUNCTIONS[method.name],
                    "planned_name": f"k{method.name.capitalize()}Planned",
                    "planned": [
                        {"data": f"{memory}_memory + {begin}" if size else "nullptr", "bytes": size}
                        for memory, begin, size in method.planned
                    ],
                    "allocator": dict(method.allocator),
                    "tensors": [
                        {"name": name, "tensors": (beside[method.name] or {}).get(key, [])}
                        for name, key in zip(_LISTS[method.name], ("inputs", "outputs"), strict=True)
                    ],
                }
                for method in self.methods
            ],
        }


def executorch_of(data: bytes, pte: Pte) -> Executorch:
    """What a .pte needs under ExecuTorch's runtime; `pte` is what read_pte() makes of `data`.

    Raises UnsupportedOperatorError for an operator that nobody has, and PteError for more planned memories than there is
    room for.
    """
    operators, foreign = operators_of(pte), foreign_of(pte)
    plans = read_program(data).execution_plan
    sizes = {"32": memory_of(plans, pte, BITS_32), "64": memory_of(plans, pte, BITS_64)}
    methods = {"forward": pte, "prefill": pte.prefill, "encoder": pte.encoder}
    return Executorch(
        wrappers=tuple(all_wrappers(operators)),
        foreign=tuple(foreign),
        methods=tuple(
            Method(
                name, _planned(method), {bits: found[name].method_allocator for bits, found in sizes.items()}
            )
            for name, method in methods.items()
            if method is not None
        ),
        activations=max(method.arena_bytes for method in methods.values() if method is not None),
        temporary={bits: _most_temporary(found) for bits, found in sizes.items()},
    )


def _most_temporary(found: Mapping[str, RuntimeMemory]) -> int:
    """Of all methods, since one runs at a time; 16 bytes where none takes any, of which an allocator can be made."""
    return max(16, *(memory.temporary for memory in found.values()))


def _planned(method: Pte) -> tuple[tuple[str, int, int], ...]:
    """Where each planned memory begins: as planning/pte/values.py lays them out."""
    if len(method.memory) > _MOST_MEMORIES:
        raise PteError(
            f"The .pte plans {len(method.memory)} memories; there is room for {_MOST_MEMORIES}.",
            hint="Export it with fewer memory ids, or take --runtime plan.",
        )
    return tuple((*place, size) for place, size in zip(method.places, method.memory.values(), strict=True))


def _calls(pte: Pte) -> dict[str, list[Instruction]]:
    """By an operator's name in the registry, its calls in any method."""
    found: dict[str, list[Instruction]] = {}
    for method in (pte, *pte.beside):
        for instruction in method.instructions:
            found.setdefault(instruction.full_name, []).append(instruction)
    return found


def _ours(calls: Mapping[str, Sequence[Instruction]]) -> dict[str, Operator]:
    """By the name of what is called, the row of ours. One that ExecuTorch's libraries have, too, where it takes every call."""
    known = registered_names()
    return {
        name: row
        for name, made in calls.items()
        if (row := known.get(name)) is not None
        and (not row.is_of_libraries or all(takes(row, each) for each in made))
    }


def operators_of(pte: Pte) -> list[Operator]:
    """The operators that a .pte calls, in any method, and kernels of ours compute, sorted by name; others are those of
    ExecuTorch's portable library.

    Of what that library has, too, ours are those that compute floats, so that the results are a plan's bits.
    Raises UnsupportedOperatorError for an operator that neither has, or in the form of an earlier ExecuTorch.
    """
    calls = _calls(pte)
    earlier = sorted(name for name, made in calls.items() if any(call.earlier for call in made))
    if earlier:
        raise UnsupportedOperatorError(
            f"Arguments as ExecuTorch {OLDEST} has them were expected; the .pte calls {', '.join(earlier)} with those of an "
            "earlier version, which its runtime hands over as they are.",
            hint="Lower the model with a later ExecuTorch, or take --runtime plan, which reads both.",
        )
    ours = _ours(calls)
    others = [name for name in calls if name not in ours and name.partition("::")[0] not in RUNTIME]
    missing = sorted(set(others) - kernels_of("portable")) if others else []
    if missing:
        raise UnsupportedOperatorError(
            f"Neither ExecuTorch's portable kernels nor ours for its runtime have {', '.join(missing)}.",
            hint="Let mcu-sdk compile the model into a firmware, which has kernels for it, or lower it differently.",
        )
    rows = {row.name: row for row in ours.values()}
    return [rows[name] for name in sorted(rows)]


def foreign_of(pte: Pte) -> list[str]:
    """The operators that a .pte calls and ExecuTorch's kernel library computes, as its registry names them."""
    calls = _calls(pte)
    return sorted(calls.keys() - _ours(calls).keys())


def library_sources(wrappers: Iterable[Wrapper]) -> list[str]:
    """The sources that a library of these operators is compiled of, of firmware/: kernels, and checks of arguments."""
    headers = sorted({header for wrapper in wrappers for header in wrapper.headers})
    kernels = sorted({source for header in headers for source in kernel_sources(header)})
    return [*kernels, *(f"operators/{name}.cpp" for name in _CHECKS)]


def library_files(wrappers: Iterable[Wrapper]) -> list[str]:
    """The files of firmware/ that such a library is made of."""
    headers = sorted({header for wrapper in wrappers for header in wrapper.headers})
    checks = [f"operators/{name}.{kind}" for name in _CHECKS for kind in ("h", "cpp")]
    return sorted({*closure(headers), *checks, *closure(["kernels/conv/window.h"])})

"""Known answers for each kernel of a plan, computed with the operators' Python references, for a firmware's self-test.

For each kernel one of its calls in the plan is taken, with the plan's own shapes, weights and places in memory; what it
reads is filled with numbers of a formula that C++ has too (firmware/runtime/self_test.cpp). What it writes is known by
its CRC-32 or, where PyTorch's own floats are the reference, whose sums have another order, by some of its numbers.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcu_sdk.errors import PteError, UnsupportedOperatorError, UsageError
from mcu_sdk.operators.table import OWN
from mcu_sdk.planning.cpp import render_argument
from mcu_sdk.planning.delegate_io import place_in_scratch
from mcu_sdk.planning.instruction import DType, Instruction, Tensor
from mcu_sdk.planning.operands import tensors_in, touched
from mcu_sdk.planning.plan import Plan, PlannedCall, compile_plan
from mcu_sdk.planning.pte.read import Pte, read_pte
from mcu_sdk.project.files import replace_file
from mcu_sdk.project.library import library_prefix
from mcu_sdk.project.manifest import digest, read_manifest
from mcu_sdk.project.render import MODEL_FILE, SELF_TEST_TEMPLATE
from mcu_sdk.project.templates import environment

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mcu_sdk.project.interpret import Interpreter

FILE = "tests/self_test.inc"
_HEAD = "// Known answers for the kernels of the model "

EXACT = (OWN, "cortex_m", "quantized_decomposed")
"""Namespaces whose references give the kernels' bits, floats included."""

SAMPLES = 32
STEPS = 512
"""Of a float output: how many of its numbers are known, and in how many steps of its greatest magnitude. Within two
steps is right."""

_POSITIVE = (DType.F16,)
"""Scales of a KV cache."""


@dataclass(frozen=True)
class Fill:
    """What is written to a tensor before the call. `limit`: integers of 32 and 64 bits are below it; `positive`: floats
    are above 0."""

    tensor: Tensor
    limit: int
    positive: bool


@dataclass(frozen=True)
class Known:
    """What a tensor holds behind the call: `crc` of its bytes or, if there are some, `samples` in units of `step`."""

    tensor: Tensor
    crc: int
    samples: tuple[int, ...] = ()
    step: float = 0.0


@dataclass(frozen=True)
class Vector:
    """One known answer: fill, call, compare. `calls` are indices into all calls of the plan, `seed` is the numbers'."""

    kernels: tuple[str, ...]
    name: str
    seed: int
    fills: tuple[Fill, ...]
    calls: tuple[int, ...]
    known: tuple[Known, ...]


def vectors(pte: Pte, plan: Plan) -> list[Vector]:
    """A known answer for every function that the plan calls, but for what runs on an NPU.

    A kernel whose reference PyTorch does not have, or that no made-up input suits, has none.
    """
    chosen = _chosen(plan.calls)
    found = _vectors_of(pte, plan.arena_bytes, chosen)
    count, seeds = len(plan.calls), len(chosen)
    for method, planned_method in zip(pte.beside, plan.beside, strict=True):
        covered = {planned.call.function for calls in chosen for _, planned in calls}
        more = _chosen(planned_method.calls, covered, count)
        found += _vectors_of(method, plan.arena_bytes, more, seeds)
        chosen, count, seeds = [*chosen, *more], count + len(planned_method.calls), seeds + len(more)
    return found


def _vectors_of(
    pte: Pte, arena_bytes: int, chosen: Iterable[list[tuple[int, PlannedCall]]], seeds: int = 0
) -> list[Vector]:
    """Those of one method. `seeds`: how many are taken already."""
    from mcu_sdk.project.interpret import Interpreter

    pte = replace(place_in_scratch(pte), arena_bytes=arena_bytes)  # as it was planned
    found = []
    for seed, calls in enumerate(chosen, seeds + 1):
        instruction = calls[0][1].instruction
        written = pte.writes[instruction.index]
        alone = replace(pte, instructions=(pte.instructions[instruction.index],), writes=(written,), inputs=(),
                        outputs=())  # fmt: skip
        try:
            interpreter = Interpreter(alone)
        except UnsupportedOperatorError:
            continue
        answer = _answer(interpreter, instruction, written, seed)
        if answer is not None:
            kernels = tuple(dict.fromkeys(planned.call.function for _, planned in calls))
            found.append(
                Vector(kernels, calls[0][1].name, seed, answer[0], tuple(i for i, _ in calls), answer[1])
            )
    return found


def _chosen(
    method: Sequence[PlannedCall], known: Collection[str] = frozenset(), first: int = 0
) -> list[list[tuple[int, PlannedCall]]]:
    """The calls of as many instructions as it takes to have every function that is not `known`; of each the one that moves
    fewest bytes. The method's calls are numbered from `first` on."""
    by_instruction: dict[int, list[tuple[int, PlannedCall]]] = {}
    for number, planned in enumerate(method, first):
        if not planned.instruction.operator.startswith("delegate"):
            by_instruction.setdefault(planned.instruction.index, []).append((number, planned))
    cost = {
        index: sum(size for _, size in touched(calls[0][1].instruction))
        for index, calls in by_instruction.items()
    }
    functions = dict.fromkeys(
        planned.call.function for calls in by_instruction.values() for _, planned in calls
    )
    chosen: dict[int, list[tuple[int, PlannedCall]]] = {}
    covered = set(known)
    for function in functions:
        if function in covered:
            continue
        having = [
            i for i, calls in by_instruction.items() if any(p.call.function == function for _, p in calls)
        ]
        index = min(having, key=lambda i: (cost[i], i))
        chosen[index] = by_instruction[index]
        covered |= {planned.call.function for _, planned in chosen[index]}
    return list(chosen.values())


def _answer(
    interpreter: Interpreter, instruction: Instruction, written: Sequence[Tensor], seed: int
) -> tuple[tuple[Fill, ...], tuple[Known, ...]] | None:
    """What to fill and what is known then: with the first kind of numbers that the operator takes, and whose result is
    finite."""
    inputs = _inputs(instruction, written)
    for limit, positive in ((_limit(instruction), False), (2, False), (1, False), (1, True)):
        fills = tuple(Fill(tensor, limit, positive or tensor.dtype in _POSITIVE) for tensor in inputs)
        interpreter.reset()
        start = 0
        for fill in fills:
            interpreter.memory_of(fill.tensor)[:] = numbers(fill, seed, start).view("uint8")
            start += fill.tensor.elements
        try:
            interpreter.run_alone()
        except PteError:
            continue
        results = [
            (tensor, interpreter.memory_of(tensor).tobytes()) for tensor in _results(instruction, written)
        ]
        known = [_known(instruction, inputs, tensor, data) for tensor, data in results]
        if known and all(one is not None for one in known):
            return fills, tuple(one for one in known if one is not None)
    return None


def _results(instruction: Instruction, written: Sequence[Tensor]) -> list[Tensor]:
    """What it writes that has a meaning: a kernel leaves anything in an output that is its working memory."""
    row = instruction.row
    names = row.outputs if row is not None and len(row.outputs) == len(written) else [""] * len(written)
    return [
        tensor for tensor, name in zip(written, names, strict=True) if name != "scratch" and tensor.nbytes
    ]


def _inputs(instruction: Instruction, written: Sequence[Tensor]) -> list[Tensor]:
    """What it reads that is not constant, each once, in the arguments' order."""
    arguments = list(instruction.arguments)
    if not instruction.in_place:
        outs = 1 if isinstance(arguments[-1], list) else len(written)
        arguments = arguments[: len(arguments) - outs]
    return [
        tensor for tensor in dict.fromkeys(tensors_in(arguments)) if not tensor.is_constant and tensor.nbytes
    ]


def _limit(instruction: Instruction) -> int:
    """Below which an operator's indices are in any case: the shortest axis that one selects from."""
    row = instruction.row
    if row is None:
        return 3
    axes = {**row.caches, **row.one_of}
    lengths = [
        tensor.shape[axis]
        for name, axis in axes.items()
        if isinstance(tensor := instruction.arguments[row.position(name)], Tensor)
    ]
    return min(lengths, default=3)


def numbers(fill: Fill, seed: int, start: int) -> NDArray[Any]:
    """What `fill` writes, in memory order: a function of the seed and of the element's number, from `start` on.

    x = the element's hash, 32 bits. int8, uint8, int16: its top bits; int32, int64: x modulo the limit; float: the top 24
    bits as a fraction of 1, with a sign; float16: 0.5 to 1; bool: the top bit.
    """
    import numpy as np

    kind, count = fill.tensor.dtype, fill.tensor.elements
    with np.errstate(over="ignore"):
        x = np.arange(start, start + count, dtype=np.uint32) + np.uint32(seed * 0x9E3779B9 & 0xFFFFFFFF)
        for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
            x ^= x >> np.uint32(shift)
            x *= np.uint32(factor)
        x ^= x >> np.uint32(16)
    if kind in (DType.S8, DType.U8):
        return (x >> 24).astype(np.uint8)
    if kind is DType.S16:
        return (x >> 16).astype(np.uint16)
    if kind in (DType.S32, DType.S64):
        return (x % np.uint32(fill.limit)).astype(np.int32 if kind is DType.S32 else np.int64)
    if kind is DType.F16:
        return (0x3800 | (x >> 23)).astype(np.uint16)
    if kind is DType.BOOL:
        return (x >> 31).astype(np.uint8)
    fraction = ((x >> 8) + np.uint32(1)).astype(np.float64) * 2.0**-24
    signed = fraction if fill.positive else np.where(x & 1, -fraction, fraction)
    return signed.astype(np.float32 if kind is DType.F32 else np.float64)


def _known(instruction: Instruction, inputs: Iterable[Tensor], tensor: Tensor, data: bytes) -> Known | None:
    """What is known of a result; None for one that is not finite."""
    import numpy as np

    if tensor.dtype not in (DType.F32, DType.F64):
        return Known(tensor, zlib.crc32(data))
    values: NDArray[np.float64] = np.frombuffer(
        data, np.float32 if tensor.dtype is DType.F32 else np.float64
    ).astype(np.float64)
    if not np.isfinite(values).all():
        return None
    if instruction.operator.split("::")[0] in EXACT or tensor.dtype is DType.F64:
        return Known(tensor, zlib.crc32(data))
    largest = float(np.abs(values).max()) or 1.0
    step = 2.0 ** math.ceil(math.log2(largest)) / STEPS
    count = min(SAMPLES, tensor.elements)
    at = [i * tensor.elements // count for i in range(count)]
    return Known(tensor, 0, tuple(int(i) for i in np.rint(values[at] / step)), step)


def check_firmware(project: Path) -> None:
    """Raises UsageError for a project that is a library, which has no boot to test anything at."""
    if library_prefix(project) is not None:
        raise UsageError(
            "The self-test is a firmware's; this project is a library.", hint="Leave --self-test out."
        )


def ensure(project: Path) -> Path:
    """Write the known answers of a project's kernels, unless they are there for its model; returns their file.

    Raises UsageError for a folder that is no project, and PteError for a model.pte that cannot be read.
    """
    path, model = project / FILE, project / MODEL_FILE
    expected = read_manifest(project).model.sha256
    if path.is_file() and path.read_text(encoding="utf-8", errors="replace").startswith(_HEAD + expected):
        return path
    data = model.read_bytes() if model.is_file() else b""
    if digest(data) != expected:
        raise UsageError(
            f"{model} is not the file that was generated.",
            hint="Run `mcu-sdk regenerate` on the project first.",
        )
    pte = read_pte(data)
    plan = compile_plan(pte)
    template = environment().get_template(SELF_TEST_TEMPLATE)
    text = template.render(hash=expected, self_test=to_template(vectors(pte, plan), plan))
    path.parent.mkdir(exist_ok=True)
    replace_file(path, text)
    return path


def known_kernels(project: Path) -> list[str]:
    """The kernels that the project's self-test has a known answer of, one for each answer in the firmware's order; where
    an answer takes several, "mcu_quantize+mcu_linear". Raises OSError without the file."""
    text = (project / FILE).read_text(encoding="utf-8", errors="replace")
    return re.findall(r'^ +test->begin\("([^"]+)"', text, re.MULTILINE)


def to_template(found: Sequence[Vector], plan: Plan) -> list[dict[str, Any]]:
    """The vectors as texts and numbers for the template."""
    template = plan.to_template()
    beside = [template[name] for name in ("prefill", "encoder") if template[name]]
    calls = [*template["calls"], *(call for method in beside for call in method["calls"])]
    return [
        {
            "kernels": "+".join(vector.kernels),
            "name": vector.name,
            "seed": vector.seed,
            "fills": [
                {"pointer": render_argument(fill.tensor), "elements": fill.tensor.elements,
                 "type": repr(fill.tensor.dtype), "limit": fill.limit, "positive": fill.positive}
                for fill in vector.fills
            ],
            "calls": [{"function": calls[i]["function"], "arguments": calls[i]["arguments"]} for i in vector.calls],
            "known": [
                {"pointer": render_argument(known.tensor), "bytes": known.tensor.nbytes, "crc": f"{known.crc:#010x}u",
                 "elements": known.tensor.elements, "samples": list(known.samples), "step": f"{known.step.hex()}f"}
                for known in vector.known
            ],
        }
        for vector in found
    ]  # fmt: skip

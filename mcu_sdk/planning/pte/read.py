"""What a .pte means: its `forward` method, and a `prefill` or an `encoder` beside it, as checked instructions over tensors
that all have a place.

`planning/pte/program.py` decodes the file; here its values, memories and instructions are checked against each
other and resolved, so that nothing behind this module has to doubt an index, a size or an offset.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import NoReturn, Union

from mcu_sdk.errors import PteError, UnsupportedOperatorError, as_ours
from mcu_sdk.npu.blob import VelaBlob, read_blob
from mcu_sdk.npu.stream import read_config
from mcu_sdk.operators.table import is_out_variant
from mcu_sdk.planning.instruction import DType, Instruction, Space, Tensor, Value
from mcu_sdk.planning.operands import tensors_in
from mcu_sdk.planning.pte.earlier import in_present_form
from mcu_sdk.planning.pte.flatbuffer import corrupt
from mcu_sdk.planning.pte.program import (
    DelegateCall,
    ExecutionPlan,
    Frame,
    KernelCall,
    Operator,
    Program,
    RawInstruction,
    read_program,
)
from mcu_sdk.planning.pte.values import MutableBuffer, ValueReader, shown

ETHOS_U = "EthosUBackend"
"""ExecuTorch's name of the backend whose blobs Vela makes."""

_STRUCT_CODES = {
    DType.U8: "B",
    DType.S8: "b",
    DType.S16: "h",
    DType.S32: "i",
    DType.S64: "q",
    DType.F16: "e",
    DType.F32: "f",
    DType.F64: "d",
    DType.BOOL: "?",
}

BESIDE = ("prefill", "encoder")
"""Methods that may stand beside `forward`: one that reads a chunk of a prompt, and one that writes what forward attends to."""

Metadata = Union[int, float, bool, str, list[Union[int, float, bool, str, None]], None]
"""What a constant method returns; several outputs, or a tensor's elements in a row, are a list."""


@dataclass(frozen=True)
class Delegate:
    """A part of the model that was compiled for a backend: its name, and where its blob lies in the file.

    `accelerator`: the NPU that an Ethos-U's blob was compiled for, by Vela's name.
    """

    id: str
    offset: int
    size: int
    accelerator: str = ""


@dataclass(frozen=True)
class Pte:
    """A checked .pte.

    `writes[i]` are the tensors that `instructions[i]` writes. `memory` holds the planned bytes by ExecuTorch's
    memory id, and `places` the memory here ("arena", "kv_cache") and the byte in it where each begins; `arena_bytes` and `kv_cache_bytes` are the same after inputs without a plan, outputs without one
    and memories above 2 were put at the arena's end. `notes` say what a user may want to know. `prefill`: the method of that
    name, which reads a chunk of a prompt into the same buffers; `encoder`: that which writes what `forward` attends to.
    `delegates` are the method's own. `shares_buffers`: whether another method keeps its buffers, too, at the same places.
    """

    methods: tuple[str, ...]
    metadata: dict[str, Metadata]
    instructions: tuple[Instruction, ...]
    writes: tuple[tuple[Tensor, ...], ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    memory: dict[int, int]
    arena_bytes: int
    kv_cache_bytes: int
    mutable_buffers: tuple[MutableBuffer, ...]
    delegates: tuple[Delegate, ...]
    constants: tuple[Tensor, ...]
    notes: tuple[str, ...]
    size: int
    hash: str
    prefill: Pte | None = None
    encoder: Pte | None = None
    places: tuple[tuple[str, int], ...] = ()
    shares_buffers: bool = False

    @property
    def all_delegates(self) -> tuple[Delegate, ...]:
        """The method's, then those of the methods beside it."""
        return self.delegates + tuple(delegate for method in self.beside for delegate in method.delegates)

    @property
    def beside(self) -> tuple[Pte, ...]:
        """The methods beside `forward`."""
        return tuple(method for method in (self.prefill, self.encoder) if method is not None)

    @property
    def constant_bytes(self) -> int:
        """Bytes of the constants that `forward` reads, each counted once."""
        return sum({(t.offset, t.nbytes): t.nbytes for t in self.constants}.values())


def load_bytes(path: Path) -> bytes:
    """The bytes of a .pte file. Raises PteError where there is no readable file at `path`."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise PteError(
            f"The .pte file {shown(str(path))} cannot be read: {error.strerror}.",
            hint="Give the path of a file that ExecuTorch wrote.",
        ) from error


@as_ours(PteError, "Reading the .pte")
def read_pte(data: bytes, names: Sequence[str] | None = None) -> Pte:
    """Read and check a .pte file.

    `names` gives each instruction of `forward`, then of the method beside it, the module path it came from; without one ("")
    it is numbered.
    Constants stay where they are: their tensors' offsets are offsets into `data`.

    Raises PteError for a file that is truncated, corrupt, or says something impossible, and
    UnsupportedOperatorError for delegates to other backends than Ethos-U, control flow, further methods that compute something, and tensors of a
    kind that cannot be compiled.
    """
    program = read_program(data)
    methods = tuple(plan.name for plan in program.execution_plan)
    if len(set(methods)) != len(methods):
        raise corrupt(f"two methods have the same name ({', '.join(map(shown, methods[:8]))})")
    plans = _computing(program)
    counts = [sum(len(chain.instructions) for chain in plan.chains) for plan in plans]
    if names is not None and len(names) != sum(counts):
        raise PteError(
            f"There are names for {len(names)} instructions; the .pte has {sum(counts)}.",
            hint="The file of names belongs to another .pte; leave it away or generate both again.",
        )
    found: dict[str, Pte] = {}
    for number, plan in enumerate(plans):
        begin, end = sum(counts[:number]), sum(counts[: number + 1])
        found[plan.name] = _read_method(program, plan, data, None if names is None else names[begin:end])
    forward = found["forward"]
    for name in set(found) - {"forward"}:
        _check_shared(forward, found[name], name)
    if len(found) == 1:
        return forward
    found = {name: replace(method, shares_buffers=True) for name, method in found.items()}
    return replace(found["forward"], prefill=found.get("prefill"), encoder=found.get("encoder"))


def _read_method(program: Program, plan: ExecutionPlan, data: bytes, names: Sequence[str] | None) -> Pte:
    """One method, with what is of the whole file."""
    reader = ValueReader(program, plan, data)
    delegates = read_delegates(program, plan)
    delegate_reader = _DelegateReader(reader, delegates)
    calls = _calls(plan, reader, delegate_reader, names)
    inputs = tuple(reader.tensor(index, "input") for index in plan.inputs)
    outputs = tuple(reader.tensor(index, "output") for index in plan.outputs)
    mutable_buffers = reader.mutable_buffers()
    return Pte(
        methods=tuple(method.name for method in program.execution_plan),
        metadata=read_metadata(program, data),
        instructions=tuple(call for call, _ in calls),
        writes=tuple(written for _, written in calls),
        inputs=inputs,
        outputs=outputs,
        memory=reader.memory,
        arena_bytes=reader.arena_bytes,
        kv_cache_bytes=reader.kv_cache_bytes,
        mutable_buffers=mutable_buffers,
        delegates=delegate_reader.delegates,
        constants=reader.constants(),
        notes=tuple(reader.notes),
        size=len(data),
        hash=sha256(data).hexdigest(),
        places=reader.places,
    )


def is_constant_method(plan: ExecutionPlan) -> bool:
    """Whether a method only returns values that stand in the file."""
    return not plan.inputs and not any(chain.instructions for chain in plan.chains)


def read_metadata(program: Program, data: bytes) -> dict[str, Metadata]:
    """What the constant methods return, by name. Raises PteError for indices or data outside the file."""
    metadata: dict[str, Metadata] = {}
    for plan in program.execution_plan:
        if plan.name == "forward" or not is_constant_method(plan):
            continue
        reader = ValueReader(program, plan, data)
        values = [_plain(reader.resolve(index)) for index in plan.outputs]
        if len(values) == 1:
            metadata[plan.name] = values[0]
        else:
            metadata[plan.name] = [item for v in values for item in (v if isinstance(v, list) else [v])]
    return metadata


def read_delegates(program: Program, plan: ExecutionPlan) -> tuple[Delegate, ...]:
    """A method's delegates with their blobs' sizes. Raises PteError where a blob is not in the file."""
    delegates = []
    for delegate in plan.delegates:
        blobs = program.segments if delegate.location == 1 else program.backend_delegate_data
        if delegate.index >= len(blobs):
            raise corrupt(f"delegate {shown(delegate.id)} has blob {delegate.index} of {len(blobs)}")
        span = blobs[delegate.index]
        delegates.append(Delegate(delegate.id, span.offset, span.size))
    return tuple(delegates)


def _computing(program: Program) -> list[ExecutionPlan]:
    """`forward`, and behind it those of BESIDE that there are."""
    methods = {
        plan.name: plan
        for plan in program.execution_plan
        if plan.name == "forward" or not is_constant_method(plan)
    }
    if not {"forward"} <= set(methods) <= {"forward", *BESIDE}:
        found = ", ".join(shown(name) for name in list(methods)[:8]) or "none"
        raise UnsupportedOperatorError(
            f'The .pte must have exactly one method that computes something, "forward", or "prefill" or "encoder" beside it; '
            f"found: {found}.",
            hint="Export the method you want to run as forward, alone.",
        )
    return [methods[name] for name in ("forward", *BESIDE) if name in methods]


def _check_shared(forward: Pte, other: Pte, name: str) -> None:
    """Raises PteError unless both methods keep the same buffers, by their names, at the same places; an encoder keeps those
    alone that it writes."""
    kept = [{buffer.name: buffer.tensor for buffer in method.mutable_buffers} for method in (forward, other)]
    apart = [
        buffer
        for buffer in ({**kept[0], **kept[1]} if name == "prefill" else kept[1])
        if kept[0].get(buffer) != kept[1].get(buffer) or kept[0][buffer].space is not Space.KV_CACHE
    ]
    article = "A" if name == "prefill" else "An"
    if apart or forward.kv_cache_bytes != other.kv_cache_bytes:
        raise PteError(
            f"{article} {name} that shares every buffer with forward was expected; "
            + (f"{shown(apart[0])} lies elsewhere." if apart else "theirs are not the same."),
            hint="Export with share_mutable_buffers=True and emit_mutable_buffer_names=True, or forward alone.",
        )
    if name == "encoder" and other.delegates:
        raise PteError(
            "An encoder on the processor was expected beside forward; it has a delegate.",
            hint="Export it without the backend of an NPU, or alone.",
        )


def _plain(value: Value) -> Metadata:
    """A value of a constant method as plain Python data."""
    if not isinstance(value, Tensor):
        if isinstance(value, list):
            return [item for item in value if not isinstance(item, (Tensor, list))]
        return value
    if value.data is None:
        raise corrupt("a constant method returns a tensor without data")
    elements = list(struct.unpack_from(f"<{value.elements}{_STRUCT_CODES[value.dtype]}", value.data))
    return elements if value.shape else elements[0]


_Call = tuple[Instruction, tuple[Tensor, ...]]
"""An instruction and the tensors it writes."""


def _calls(
    plan: ExecutionPlan,
    values: ValueReader,
    delegates: _DelegateReader,
    names: Sequence[str] | None,
) -> list[_Call]:
    if len(plan.chains) != 1:
        raise corrupt(f"{plan.name} has {len(plan.chains)} chains of instructions; there must be 1")
    chain = plan.chains[0]
    calls = []
    for index, raw in enumerate(chain.instructions):
        name = (names[index] if names else "") or f"#{index}"
        if isinstance(raw, DelegateCall):
            calls.append(delegates.call(index, raw, name))
            continue
        if not isinstance(raw, KernelCall):
            _refuse(index, raw)
        frames = chain.stacktrace[index] if index < len(chain.stacktrace) else ()
        calls.append(_call(plan, values, index, raw, name, _source(frames)))
    return calls


class _DelegateReader:
    """Turns calls of delegates into instructions; their blobs share one stretch of scratch at the arena's end."""

    def __init__(self, values: ValueReader, delegates: Sequence[Delegate]) -> None:
        self._values = values
        self._delegates = delegates
        self._blobs: dict[int, tuple[Tensor, VelaBlob]] = {}
        for number, delegate in enumerate(delegates):
            if delegate.id == ETHOS_U:
                data = values.file_bytes(delegate.offset, delegate.size)
                assert data.data is not None
                blob = read_blob(bytes(data.data))
                self._blobs[number] = (data, blob)
        if self._blobs:
            largest = max(blob.scratch_size for _, blob in self._blobs.values())
            self._scratch = values.append_scratch(largest)

    @property
    def delegates(self) -> tuple[Delegate, ...]:
        """The delegates, each Ethos-U's with its accelerator. Raises PteError for a corrupt blob."""
        found = list(self._delegates)
        for number, (_, blob) in self._blobs.items():
            name = read_config(blob.commands).accelerator.name
            found[number] = replace(found[number], accelerator=name)
        return tuple(found)

    def call(self, index: int, raw: DelegateCall, name: str) -> _Call:
        """(blob u8[n], [inputs], [outputs], scratch u8[n]); written are the outputs and the scratch."""
        if not 0 <= raw.delegate_index < len(self._delegates):
            raise corrupt(
                f"instruction {index} calls delegate {raw.delegate_index} of {len(self._delegates)}"
            )
        if raw.delegate_index not in self._blobs:
            raise UnsupportedOperatorError(
                f"Instruction {index} of the model calls the backend "
                f"{shown(self._delegates[raw.delegate_index].id)}; delegates to this backend cannot be compiled.",
                hint="Lower the model without this backend, for the Cortex-M path or for an Ethos-U.",
            )
        data, blob = self._blobs[raw.delegate_index]
        tensors = [self._values.tensor(argument, "argument of a delegate") for argument in raw.args]
        count = len(blob.inputs)
        if len(tensors) != count + len(blob.outputs):
            raise corrupt(
                f"instruction {index} passes {len(tensors)} tensors to a delegate that takes {count} and returns "
                f"{len(blob.outputs)}"
            )
        inputs, outputs = tensors[:count], tensors[count:]
        if any(tensor.is_constant for tensor in outputs):
            raise corrupt(f"instruction {index}, a delegate's call, writes to a constant")
        scratch = replace(self._scratch, shape=(blob.scratch_size,))
        arguments: tuple[Value, ...] = (data, list[Value](inputs), list[Value](outputs), scratch)
        return Instruction(index, f"delegate::{ETHOS_U}", "", arguments, name), (*outputs, scratch)


def _call(
    plan: ExecutionPlan, values: ValueReader, index: int, raw: KernelCall, name: str, source: str
) -> _Call:
    if not 0 <= raw.op_index < len(plan.operators):
        raise corrupt(f"instruction {index} calls operator {raw.op_index} of {len(plan.operators)}")
    operator = plan.operators[raw.op_index]
    check_operator(operator)
    if not raw.args:
        raise corrupt(f"instruction {index}, {operator.name}, has no arguments")
    arguments = [values.resolve(argument) for argument in raw.args]
    written = tensors_in([arguments.pop()])  # the last argument repeats what the operator returns
    if not _are_results(operator, written, tensors_in(arguments)):
        raise corrupt(f"instruction {index}, {operator.name}, returns what is none of its arguments")
    if any(tensor.is_constant for tensor in written):
        raise corrupt(f"instruction {index}, {operator.name}, writes to a constant")
    given = in_present_form(operator.name, arguments)
    earlier = len(given) != len(arguments)
    instruction = Instruction(index, operator.name, operator.overload, given, name, source, earlier)
    return instruction, tuple(written)


def _are_results(operator: Operator, written: list[Tensor], arguments: list[Tensor]) -> bool:
    """Whether `written` are the out tensors, which come last, or else, in place, some of the arguments."""
    if is_out_variant(operator.overload):
        return bool(written) and arguments[-len(written) :] == written
    return all(any(w.same_memory(a) and w.nbytes == a.nbytes for a in arguments) for w in written)


def _refuse(index: int, raw: RawInstruction) -> NoReturn:
    raise UnsupportedOperatorError(
        f"Instruction {index} of the model is a {type(raw).__name__}; only straight sequences of kernel calls "
        "and delegates with planned memory can be compiled.",
        hint="Export the model without control flow (cond, map, while) and with static shapes.",
    )


def check_operator(operator: Operator) -> None:
    """Raise PteError for a name that is none (names reach error messages and comments)."""
    if not re.fullmatch(r"\w+::\w+", operator.name, re.ASCII) or not re.fullmatch(
        r"\w*", operator.overload, re.ASCII
    ):
        raise corrupt(
            f"{shown(operator.name)} with overload {shown(operator.overload)} is no operator's name"
        )


def _source(frames: Sequence[Frame]) -> str:
    """The innermost line of the model itself: what torch's own modules do inside says little."""
    own = [frame for frame in frames if "/torch/" not in frame.filename.replace("\\", "/")]
    found = (own or list(frames))[-1:]
    return ascii(f"{found[0].filename}:{found[0].lineno}")[1:-1] if found else ""

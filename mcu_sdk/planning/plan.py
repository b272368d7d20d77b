"""From a checked .pte to the list of kernel calls that is printed as plan.cpp: plain data, fully checked.

Everything is decided here: which function, which arguments, where its scratch lies. The template only prints.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mcu_sdk.errors import McuSdkError, PteError, as_ours
from mcu_sdk.planning import registry
from mcu_sdk.planning.buffers import Buffer, NamedCall, name_buffers, parameters_of
from mcu_sdk.planning.comments import comment_of, printable
from mcu_sdk.planning.cpp import render_argument, table_key, table_name
from mcu_sdk.planning.delegate_io import place_in_scratch
from mcu_sdk.planning.instruction import (
    Argument,
    ConstantArray,
    DType,
    Instruction,
    KernelCall,
    Parameters,
    Pointer,
    Scratch,
    Space,
    Tensor,
)
from mcu_sdk.planning.liveness import live_bytes
from mcu_sdk.planning.pieces import Piece, Places
from mcu_sdk.planning.pte.read import Metadata, Pte
from mcu_sdk.planning.pte.values import ALIGNMENT, LARGEST
from mcu_sdk.planning.quantized_bounds import check_quantized_bounds

_SIZES = {dtype.c_type: dtype.size for dtype in DType} | {"uint32_t": 4, "uint64_t": 8}


@dataclass(frozen=True)
class PlannedCall:
    """One line of plan.cpp. `call` has its scratch placed (no `Scratch` is left among its arguments).

    `comment` is printable ASCII without backslashes: the operator with its types and shapes, and what the
    emitter adds; it can stand behind `//`. `writes`: the tensors that the instruction writes.
    """

    call: KernelCall
    instruction: Instruction
    comment: str
    named: NamedCall
    writes: tuple[Tensor, ...] = ()

    @property
    def name(self) -> str:
        """Where the call comes from, printable; "#12" in a file without names."""
        return printable(self.instruction.name)


@dataclass(frozen=True)
class Plan:
    """What the firmware does in one step; `prefill`: for a chunk of a prompt, and `encoder`: once before the steps, in the same
    memories.

    Sizes in bytes: the arena holds the planned tensors and then, from `scratch_offset`, `scratch_bytes` that
    each call may use for itself. `live_bytes[i]` is how much of the tensors' part holds live data while the
    .pte's instruction i runs.
    """

    calls: tuple[PlannedCall, ...]
    arena_bytes: int
    kv_cache_bytes: int
    scratch_offset: int
    scratch_bytes: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    metadata: dict[str, Metadata]
    headers: tuple[str, ...]
    sources: tuple[str, ...]
    tables: dict[str, ConstantArray | Parameters]
    live_bytes: tuple[int, ...]
    model_bytes: int
    model_hash: str
    lasting: tuple[Buffer, ...] = ()
    prefill: Plan | None = None
    encoder: Plan | None = None

    @property
    def beside(self) -> tuple[Plan, ...]:
        """The methods beside the step."""
        return tuple(method for method in (self.prefill, self.encoder) if method is not None)

    @property
    def all_calls(self) -> tuple[PlannedCall, ...]:
        """Those of the step and of the methods beside it."""
        return self.calls + tuple(call for method in self.beside for call in method.calls)

    @property
    def own_arena_bytes(self) -> int:
        """The arena without what another method needs."""
        return self.scratch_offset + self.scratch_bytes

    @property
    def peak_live_bytes(self) -> int:
        """The least that any memory plan for these instructions needs, without scratch."""
        return max(self.live_bytes, default=0)

    def to_template(self, pieces: Sequence[Piece] = ()) -> dict[str, Any]:
        """The plan as strings, numbers and lists for the template. `pieces`: of the weights, if they are divided.

        Keys: model_hash, model_bytes, arena_bytes, kv_cache_bytes, scratch_offset, scratch_bytes, headers,
        sources, tables (name, c_type, values: list of literals, fields: their names if it is a struct), inputs and outputs (pointer, space, offset,
        type ("f32"), c_type, shape, elements, bytes), buffers (declaration, shape: what has a name from the beginning),
        calls (function, arguments: list of C++ texts, named: the same with the tensors' and the parameters' names,
        buffers: what it gives a name, name, comment, index, operator), prefill and encoder (their inputs, outputs, buffers and
        calls; or None).
        """
        names = {table_key(table): name for name, table in self.tables.items()}
        places = Places(pieces)
        return {
            "model_hash": self.model_hash,
            "model_bytes": self.model_bytes,
            "arena_bytes": self.arena_bytes,
            "kv_cache_bytes": self.kv_cache_bytes,
            "scratch_offset": self.scratch_offset,
            "scratch_bytes": self.scratch_bytes,
            "headers": list(self.headers),
            "sources": list(self.sources),
            "tables": [
                {"name": name, "c_type": table.c_type, "values": list(table_key(table)[1]), **_fields(table)}
                for name, table in self.tables.items()
            ],
            **self._method_to_template(names, places),
            **{
                name: method._method_to_template(names, places) if method is not None else None
                for name, method in (("prefill", self.prefill), ("encoder", self.encoder))
            },
        }

    def _method_to_template(
        self, names: Mapping[tuple[str, tuple[str, ...]], str], places: Places
    ) -> dict[str, Any]:
        """Of `to_template`, what each method has of its own."""
        return {
            "inputs": [_tensor_to_template(tensor, places) for tensor in self.inputs],
            "outputs": [_tensor_to_template(tensor, places) for tensor in self.outputs],
            "buffers": _used(self.lasting, self.calls),
            "calls": [
                {
                    "function": planned.call.function,
                    "arguments": [
                        render_argument(argument, names, places) for argument in planned.call.arguments
                    ],
                    "named": _named_arguments(planned, names, places),
                    "buffers": [_declaration(buffer) for buffer in planned.named.writes],
                    "name": planned.name,
                    "comment": planned.comment,
                    "index": planned.instruction.index,
                    "operator": planned.instruction.full_name,
                }
                for planned in self.calls
            ],
        }


@as_ours(PteError, "Planning the .pte")
def compile_plan(pte: Pte) -> Plan:
    """Turn every instruction into kernel calls.

    Raises UnsupportedOperatorError for operators, types and shapes without a kernel, and PteError for arguments
    that no operator of that name can have or that would reach outside their memory.
    """
    step = _compile_method(pte)
    beside = {"prefill": pte.prefill, "encoder": pte.encoder}
    return _with_others(
        step, {name: _compile_method(method) for name, method in beside.items() if method is not None}
    )


def _with_others(step: Plan, others: Mapping[str, Plan]) -> Plan:
    """All methods in one arena, as large as the largest one's, with their files and tables together."""
    if not others:
        return step
    plans = (step, *others.values())
    tables = {table_key(table): table for plan in plans for table in plan.tables.values()}
    return replace(
        step,
        arena_bytes=max(plan.arena_bytes for plan in plans),
        headers=tuple(sorted({header for plan in plans for header in plan.headers})),
        sources=tuple(sorted({source for plan in plans for source in plan.sources})),
        tables={table_name(table, number): table for number, table in enumerate(tables.values())},
        prefill=others.get("prefill"),
        encoder=others.get("encoder"),
    )


def _compile_method(pte: Pte) -> Plan:
    check_quantized_bounds(pte)
    pte = place_in_scratch(pte)
    emitted = [(instruction, _emit(instruction)) for instruction in pte.instructions]
    scratch_offset = -(-pte.arena_bytes // ALIGNMENT) * ALIGNMENT
    scratch_bytes = max((_scratch_of(call) for _, calls in emitted for call in calls), default=0)
    arena_bytes = scratch_offset + scratch_bytes if scratch_bytes else pte.arena_bytes
    sizes = {Space.ARENA: arena_bytes, Space.KV_CACHE: pte.kv_cache_bytes, Space.MODEL: pte.size}
    if max(sizes.values()) > LARGEST:
        raise PteError(
            f"The model needs {max(sizes.values())} bytes in one memory; offsets end at {LARGEST}.",
            hint="Use a smaller model or a shorter cache.",
        )
    placed: list[tuple[KernelCall, Instruction]] = []
    tables: dict[tuple[str, tuple[str, ...]], ConstantArray | Parameters] = {}
    for instruction, calls in emitted:
        for call in calls:
            call = _place_scratch(call, scratch_offset)
            for argument in call.arguments:
                _check(argument, instruction, sizes)
                if isinstance(argument, (ConstantArray, Parameters)):
                    tables.setdefault(table_key(argument), argument)
            placed.append((call, instruction))
    for tensor in pte.inputs + pte.outputs:
        _check_tensor(tensor, "An input or output of the model", sizes)
    lasting, named = name_buffers(placed, pte.writes, pte.inputs)
    planned = [
        PlannedCall(call, instruction, comment_of(call, instruction, written), names, tuple(written))
        for (call, instruction), names in zip(placed, named, strict=True)
        for written in [pte.writes[instruction.index]]
    ]
    return Plan(
        calls=tuple(planned),
        arena_bytes=arena_bytes,
        kv_cache_bytes=pte.kv_cache_bytes,
        scratch_offset=scratch_offset,
        scratch_bytes=scratch_bytes,
        inputs=pte.inputs,
        outputs=pte.outputs,
        metadata=pte.metadata,
        headers=tuple(sorted({p.call.header for p in planned})),
        sources=tuple(sorted({source for p in planned for source in p.call.sources})),
        tables={table_name(table, number): table for number, table in enumerate(tables.values())},
        live_bytes=live_bytes(pte),
        model_bytes=pte.size,
        model_hash=pte.hash,
        lasting=lasting,
    )


def _emit(instruction: Instruction) -> Sequence[KernelCall]:
    """The instruction's calls; an emitter that stumbles over the arguments means they are not the operator's."""
    try:
        return registry.emit(instruction)
    except (McuSdkError, ImportError):
        raise
    except Exception as error:
        raise PteError(
            f"Instruction {instruction.index} of the model, {instruction.full_name} in {printable(instruction.name)}, "
            f"has arguments that this operator does not take ({type(error).__name__}: {printable(str(error))[:200]}).",
            hint="The .pte is corrupt or was written for another version of the operator.",
        ) from error


def _scratch_of(call: KernelCall) -> int:
    """Bytes of scratch of one call, each piece 16-aligned."""
    sizes = [argument.size for argument in call.arguments if isinstance(argument, Scratch)]
    if any(size < 0 for size in sizes):
        raise PteError(f"{call.function} would need {min(sizes)} bytes of scratch.")
    return sum(-(-size // ALIGNMENT) * ALIGNMENT for size in sizes)


def _place_scratch(call: KernelCall, offset: int) -> KernelCall:
    arguments: list[Argument] = []
    for argument in call.arguments:
        if isinstance(argument, Scratch):
            arguments.append(Tensor(DType.U8, (argument.size,), Space.ARENA, offset))
            offset += -(-argument.size // ALIGNMENT) * ALIGNMENT
        else:
            arguments.append(argument)
    return replace(call, arguments=tuple(arguments))


# ---- checks


def _check(argument: Argument, instruction: Instruction, sizes: Mapping[Space, int]) -> None:
    """Refuse what would read or write outside its memory, or cannot be written as a literal."""
    owner = f"Instruction {instruction.index} of the model, {instruction.full_name},"
    if isinstance(argument, Tensor):
        _check_tensor(argument, owner, sizes)
    elif isinstance(argument, Pointer):
        _check_tensor(argument.tensor, owner, sizes)
        size = _SIZES.get(argument.c_type, 1) if argument.c_type else argument.tensor.dtype.size
        if not 0 <= argument.byte_offset < max(argument.tensor.nbytes, 1):
            raise PteError(
                f"{owner} would reach byte {argument.byte_offset} of a {argument.tensor.nbytes}-byte tensor."
            )
        if (argument.tensor.offset + argument.byte_offset) % size:
            raise PteError(
                f"{owner} would read {argument.c_type or argument.tensor.dtype.c_type} at a misaligned byte."
            )
    else:
        try:
            if isinstance(argument, (ConstantArray, Parameters)):
                table_key(argument)
            else:
                render_argument(argument)
        except ValueError as error:
            raise PteError(f"{owner} has an argument that its kernel cannot take: {error}.") from error


def _check_tensor(tensor: Tensor, owner: str, sizes: Mapping[Space, int]) -> None:
    end = tensor.offset + tensor.nbytes
    if tensor.offset < 0 or tensor.nbytes < 0 or end > sizes[tensor.space]:
        raise PteError(
            f"{owner} would use bytes {tensor.offset} to {end} of {tensor.space.value}, "
            f"which has {sizes[tensor.space]}."
        )
    if tensor.offset % tensor.dtype.size:
        raise PteError(
            f"{owner} would use {tensor.dtype.c_type} at byte {tensor.offset}, which is misaligned."
        )


# ---- for the template


def _fields(table: ConstantArray | Parameters) -> dict[str, list[str]]:
    return {"fields": [name for name, _ in table.fields]} if isinstance(table, Parameters) else {}


def _tensor_to_template(tensor: Tensor, places: Places) -> dict[str, Any]:
    found = places.find(tensor.offset) if tensor.space is Space.MODEL else None
    return {
        "pointer": render_argument(tensor, None, places),
        "space": tensor.space.value if found is None else found[0].array,
        "offset": tensor.offset if found is None else found[1],
        "type": repr(tensor.dtype),
        "c_type": tensor.dtype.c_type,
        "shape": list(tensor.shape),
        "elements": tensor.elements,
        "bytes": tensor.nbytes,
    }


def _declaration(buffer: Buffer) -> dict[str, str]:
    """`float* const layer0_q_proj = arena<float>(512)`, and what it holds."""
    c_type = buffer.tensor.dtype.c_type
    text = f"{c_type}* const {buffer.name} = {render_argument(buffer.tensor)}"
    return {"declaration": text, "shape": buffer.shape}


def _used(buffers: Iterable[Buffer], calls: Iterable[PlannedCall]) -> list[dict[str, str]]:
    """The declarations of those that a call names: the compiler complains about others."""
    named = {name.split(" ")[0] for planned in calls for name in planned.named.names if name}
    return [_declaration(buffer) for buffer in buffers if buffer.name in named]


def _named_arguments(
    planned: PlannedCall, tables: Mapping[tuple[str, tuple[str, ...]], str], places: Places
) -> list[str]:
    """The arguments with the names of their tensors, and the parameters' in comments where the header has them."""
    call = planned.call
    texts = [
        name or render_argument(argument, tables, places)
        for argument, name in zip(call.arguments, planned.named.names, strict=True)
    ]
    parameters = parameters_of(call)
    if not parameters:
        return texts
    return [f"/*{parameter}=*/{text}" for parameter, text in zip(parameters, texts, strict=True)]

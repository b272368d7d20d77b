"""A .pte file as its schema says it: the program's tables, decoded with every access checked.

A .pte is a flatbuffer (executorch/schema/program.fbs, identifier "ET12"), then an optional header behind the
identifier, then data segments. It is read through `planning/pte/flatbuffer.py`, which checks each offset before it
follows it, and needs neither torch nor executorch, whose import takes seconds.

The classes and fields carry the schema's names. What the program *means* is checked in `planning/pte/read.py`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Union

from mcu_sdk.errors import PteError
from mcu_sdk.planning.pte.flatbuffer import Buffer, Span, Table, corrupt
from mcu_sdk.planning.pte.tensor_data import IDENTIFIER as _DATA_IDENTIFIER

_IDENTIFIER = b"ET12"
_HEADER_MAGIC = b"eh00"
_HEADER_BYTES = 24  # magic u32, length u32, program size u64, segment base u64; a segment size u64 may follow


@dataclass(frozen=True)
class AllocationDetails:
    memory_id: int
    memory_offset_low: int
    memory_offset_high: int

    @property
    def offset(self) -> int:
        """Bytes from the start of the memory."""
        return self.memory_offset_high << 32 | self.memory_offset_low


@dataclass(frozen=True)
class ExtraTensorInfo:
    mutable_data_segments_idx: int
    fully_qualified_name: str
    location: int  # 0: in the file, 1: outside


@dataclass(frozen=True)
class TensorValue:
    scalar_type: int
    storage_offset: int
    sizes: tuple[int, ...]
    dim_order: tuple[int, ...]
    data_buffer_idx: int
    allocation_info: AllocationDetails | None
    shape_dynamism: int  # 0: static, 1: sizes are upper bounds, 2: no bound
    extra_tensor_info: ExtraTensorInfo | None


@dataclass(frozen=True)
class IntList:
    """Items are indices of Int values, so that symbolic integers can be among them."""

    items: tuple[int, ...]


@dataclass(frozen=True)
class DoubleList:
    items: tuple[float, ...]


@dataclass(frozen=True)
class BoolList:
    items: tuple[bool, ...]


@dataclass(frozen=True)
class TensorList:
    """Items are indices of tensors; in an optional list -1 or a Null value stands for none."""

    items: tuple[int, ...]
    optional: bool = False


RawValue = Union[None, int, float, bool, str, TensorValue, IntList, DoubleList, BoolList, TensorList]


@dataclass(frozen=True)
class Operator:
    name: str
    overload: str


@dataclass(frozen=True)
class KernelCall:
    op_index: int
    args: tuple[int, ...]


@dataclass(frozen=True)
class DelegateCall:
    delegate_index: int
    args: tuple[int, ...]


@dataclass(frozen=True)
class MoveCall:
    move_from: int
    move_to: int


@dataclass(frozen=True)
class JumpFalseCall:
    cond_value_index: int
    destination_instruction: int


@dataclass(frozen=True)
class FreeCall:
    value_index: int


RawInstruction = Union[KernelCall, DelegateCall, MoveCall, JumpFalseCall, FreeCall]


@dataclass(frozen=True)
class Frame:
    filename: str
    lineno: int
    name: str
    context: str


@dataclass(frozen=True)
class Chain:
    instructions: tuple[RawInstruction, ...]
    stacktrace: tuple[tuple[Frame, ...], ...]  # empty, or the frames of each instruction, outermost first


@dataclass(frozen=True)
class BackendDelegate:
    id: str
    location: int  # 0: Program.backend_delegate_data, 1: Program.segments
    index: int
    compile_specs: tuple[tuple[str, Span], ...]


@dataclass(frozen=True)
class ExecutionPlan:
    name: str
    values: tuple[RawValue, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    chains: tuple[Chain, ...]
    operators: tuple[Operator, ...]
    delegates: tuple[BackendDelegate, ...]
    non_const_buffer_sizes: tuple[int, ...]


@dataclass(frozen=True)
class SubsegmentOffsets:
    segment_index: int
    offsets: tuple[int, ...]


@dataclass(frozen=True)
class Program:
    """The file's root table; spans are offsets into the whole file."""

    version: int
    execution_plan: tuple[ExecutionPlan, ...]
    constant_buffer: tuple[Span, ...]
    backend_delegate_data: tuple[Span, ...]
    segments: tuple[Span, ...]
    constant_segment: SubsegmentOffsets | None
    mutable_data_segments: tuple[SubsegmentOffsets, ...]
    named_data: tuple[tuple[str, int], ...]  # key, segment index


def read_program(data: bytes) -> Program:
    """Decode a .pte file.

    Raises PteError for anything that is no .pte of schema "ET12", for an offset, length or union type that
    the file cannot hold, and for names that are not UTF-8.
    """
    if data[4:8] == _DATA_IDENTIFIER:
        raise PteError(
            "A program was expected (.pte); this file holds the data of one that keeps its weights outside (.ptd).",
            hint="Give the .pte; mcu_sdk.join_weights() puts both into one.",
        )
    if len(data) < 8 or data[4:8] != _IDENTIFIER:
        found = repr(data[4:8]) if len(data) >= 8 else f"only {len(data)} bytes"
        raise PteError(
            f'This is no ExecuTorch program: expected the identifier "ET12" at byte 4, found {found}.',
            hint="Give a .pte file written by ExecuTorch 1.x.",
        )
    program_size, segment_base, segment_bytes = _read_header(data)
    buffer = Buffer(data, program_size)
    root = buffer.table_at(buffer.unpack("<I", 0))
    segments = root.tables(4, lambda t: Span(segment_base + t.scalar(0, "<Q"), t.scalar(1, "<Q")))
    for index, span in enumerate(segments):
        if (span.size and not segment_base) or span.offset + span.size > segment_base + segment_bytes:
            raise corrupt(f"segment {index} ends at byte {span.offset + span.size}, after the segments' end")
    return Program(
        version=root.scalar(0, "<I"),
        execution_plan=root.tables(1, _execution_plan),
        constant_buffer=root.tables(2, lambda t: t.byte_span(0)),
        backend_delegate_data=root.tables(3, lambda t: t.byte_span(0)),
        segments=segments,
        constant_segment=root.optional(5, _subsegment),
        mutable_data_segments=root.tables(6, _subsegment),
        named_data=root.tables(7, lambda t: (t.string(0), t.scalar(1, "<I"))),
    )


def _read_header(data: bytes) -> tuple[int, int, int]:
    """Bytes of the flatbuffer, first byte of the segments, bytes of the segments."""
    if data[8:12] != _HEADER_MAGIC:
        return len(data), 0, 0
    if len(data) < 8 + _HEADER_BYTES:
        raise corrupt("it ends inside the extended header")
    length, program_size, segment_base = struct.unpack_from("<IQQ", data, 12)
    if length < _HEADER_BYTES:
        raise corrupt(
            f"its extended header says it is {length} bytes long; at least {_HEADER_BYTES} are needed"
        )
    if (segment_base and segment_base < program_size) or program_size > len(data) or segment_base > len(data):
        raise corrupt(
            f"the header puts {program_size} bytes of program and then segments from byte {segment_base} "
            f"into a file of {len(data)} bytes"
        )
    segment_bytes = len(data) - segment_base
    if length >= _HEADER_BYTES + 8 and len(data) >= 8 + _HEADER_BYTES + 8:
        (said,) = struct.unpack_from("<Q", data, 8 + _HEADER_BYTES)
        if said > segment_bytes:
            raise corrupt(f"its segments should take {said} bytes, {segment_bytes} are there")
        segment_bytes = said or segment_bytes  # writers before the field existed left it zero
    return program_size, segment_base, segment_bytes if segment_base else 0


def _subsegment(table: Table) -> SubsegmentOffsets:
    return SubsegmentOffsets(table.scalar(0, "<I"), table.integers(1, "Q"))


def _execution_plan(table: Table) -> ExecutionPlan:
    return ExecutionPlan(
        name=table.string(0),
        values=table.tables(2, _value),
        inputs=table.integers(3, "i"),
        outputs=table.integers(4, "i"),
        chains=table.tables(5, _chain),
        operators=table.tables(6, lambda t: Operator(t.string(0), t.string(1))),
        delegates=table.tables(7, _delegate),
        non_const_buffer_sizes=table.integers(8, "q"),
    )


def _delegate(table: Table) -> BackendDelegate:
    processed = table.table(1)
    return BackendDelegate(
        id=table.string(0),
        location=processed.scalar(0, "<b") if processed else 0,
        index=processed.scalar(1, "<I") if processed else 0,
        compile_specs=table.tables(2, lambda t: (t.string(0), t.byte_span(1))),
    )


def _tensor(table: Table) -> TensorValue:
    return TensorValue(
        scalar_type=table.scalar(0, "<b"),
        storage_offset=table.scalar(1, "<i"),
        sizes=table.integers(2, "i"),
        dim_order=table.integers(3, "B"),
        data_buffer_idx=table.scalar(5, "<I"),
        allocation_info=table.optional(
            6, lambda t: AllocationDetails(t.scalar(0, "<I"), t.scalar(1, "<I"), t.scalar(2, "<I"))
        ),
        shape_dynamism=table.scalar(8, "<b"),
        extra_tensor_info=table.optional(
            9, lambda t: ExtraTensorInfo(t.scalar(0, "<Q"), t.string(1), t.scalar(2, "<b"))
        ),
    )


_VALUES: dict[int, Callable[[Table], RawValue]] = {
    1: lambda t: None,
    2: lambda t: t.scalar(0, "<q"),
    3: lambda t: bool(t.scalar(0, "<B")),
    4: lambda t: t.double(0),
    5: _tensor,
    6: lambda t: t.string(0),
    7: lambda t: IntList(t.integers(0, "q")),
    8: lambda t: DoubleList(t.doubles(0)),
    9: lambda t: BoolList(tuple(map(bool, t.integers(0, "B")))),
    10: lambda t: TensorList(t.integers(0, "i")),
    11: lambda t: TensorList(t.integers(0, "i"), optional=True),
}

_INSTRUCTIONS: dict[int, Callable[[Table], RawInstruction]] = {
    1: lambda t: KernelCall(t.scalar(0, "<i"), t.integers(1, "i")),
    2: lambda t: DelegateCall(t.scalar(0, "<i"), t.integers(1, "i")),
    3: lambda t: MoveCall(t.scalar(0, "<i"), t.scalar(1, "<i")),
    4: lambda t: JumpFalseCall(t.scalar(0, "<i"), t.scalar(1, "<i")),
    5: lambda t: FreeCall(t.scalar(0, "<i")),
}


def _value(table: Table) -> RawValue:
    kind, content = table.union(0)
    if kind not in _VALUES or content is None:
        raise corrupt(f"a value has the unknown type {kind}")
    return _VALUES[kind](content)


def _chain(table: Table) -> Chain:
    return Chain(
        instructions=table.tables(2, _instruction),
        stacktrace=table.tables(3, lambda frames: frames.tables(0, _frame)),
    )


def _instruction(table: Table) -> RawInstruction:
    kind, content = table.union(0)
    if kind not in _INSTRUCTIONS or content is None:
        raise corrupt(f"an instruction has the unknown type {kind}")
    return _INSTRUCTIONS[kind](content)


def _frame(table: Table) -> Frame:
    return Frame(table.string(0), table.scalar(1, "<i"), table.string(2), table.string(3))

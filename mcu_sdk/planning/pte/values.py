"""The values of a .pte's method: what each stands for, and where each tensor's bytes lie.

Here every index, size, type and offset of a value is checked; what `ValueReader` hands out can be trusted.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from mcu_sdk.errors import PteError, UnsupportedOperatorError
from mcu_sdk.planning.instruction import DType, Space, Tensor, Value
from mcu_sdk.planning.pte.flatbuffer import Span, corrupt
from mcu_sdk.planning.pte.program import (
    BoolList,
    DoubleList,
    ExecutionPlan,
    IntList,
    Program,
    TensorList,
    TensorValue,
)

ALIGNMENT = 16
"""Of what is placed here (inputs without planned memory, further memories), in bytes."""
LARGEST = 2**31 - 1
"""Bytes of a tensor or a memory: offsets on the device are int32_t."""
_LARGEST_RANK = 16  # kTensorDimensionLimit of ExecuTorch's runtime
_ARENA_MEMORY, _KV_CACHE_MEMORY = 1, 2

DTYPES = {
    0: DType.U8,
    1: DType.S8,
    2: DType.S16,
    3: DType.S32,
    4: DType.S64,
    5: DType.F16,
    6: DType.F32,
    7: DType.F64,
    11: DType.BOOL,
}
OTHER_DTYPES = {
    8: "complex32",
    9: "complex64",
    10: "complex128",
    12: "qint8",
    13: "quint8",
    14: "qint32",
    15: "bfloat16",
    27: "uint16",
    28: "uint32",
    29: "uint64",
}


@dataclass(frozen=True)
class MutableBuffer:
    """State that lives from one step to the next; `name` as in the checkpoint, or "#12" (its value's number)."""

    name: str
    tensor: Tensor


class ValueReader:
    """Resolves one method's values; each at most once."""

    def __init__(self, program: Program, plan: ExecutionPlan, data: bytes) -> None:
        self._program = program
        self._plan = plan
        self._data = data
        self._resolved: dict[int, Value] = {}
        self._interface = set(plan.inputs) | set(plan.outputs)
        self.notes: list[str] = []
        self._lay_out_memories()

    def _lay_out_memories(self) -> None:
        """Memory 1 begins the arena and memory 2 is the KV cache; any other follows in the arena."""
        sizes = self._plan.non_const_buffer_sizes
        self.memory = dict(enumerate(sizes[1:], start=1))  # the entry for memory 0 is unused
        if any(not 0 <= size <= LARGEST for size in self.memory.values()):
            raise corrupt(f"it plans memories of {shown(list(self.memory.values()))} bytes")
        self._bases: dict[int, tuple[Space, int]] = {}
        self.arena_bytes = 0
        self.kv_cache_bytes = self.memory.get(_KV_CACHE_MEMORY, 0)
        for memory, size in self.memory.items():
            if memory == _KV_CACHE_MEMORY:
                self._bases[memory] = (Space.KV_CACHE, 0)
            else:
                self._bases[memory] = (Space.ARENA, self._append(size))
        self.places = tuple((space.value, base) for space, base in self._bases.values())
        if len(self.memory) > 2:
            self.notes.append(f"Memories 3 to {len(self.memory)} were put behind memory 1 in the arena.")

    def _append(self, size: int) -> int:
        offset = -(-self.arena_bytes // ALIGNMENT) * ALIGNMENT
        if offset + size > LARGEST:
            raise corrupt(f"its activations take more than {LARGEST} bytes")
        self.arena_bytes = offset + size
        return offset

    def tensor(self, index: int, role: str) -> Tensor:
        """The tensor that value `index` must be."""
        value = self.resolve(index)
        if not isinstance(value, Tensor):
            raise UnsupportedOperatorError(
                f"Every {role} of forward must be a tensor; value {index} is {_describe(value)}.",
                hint=f"Export the model with tensors as its {role}s only.",
            )
        if role == "input" and value.is_constant:
            raise corrupt(f"input value {index} is a constant")
        return value

    def file_bytes(self, offset: int, size: int) -> Tensor:
        """A stretch of the file as a constant u8[size]; the span has been checked by whoever found it."""
        data = memoryview(self._data)[offset : offset + size]
        return Tensor(DType.U8, (size,), Space.MODEL, offset, data=data)

    def append_scratch(self, size: int) -> Tensor:
        """u8[size] of its own at the arena's end."""
        return Tensor(DType.U8, (size,), Space.ARENA, self._append(size))

    def constants(self) -> tuple[Tensor, ...]:
        """The constants resolved so far, in the file's order."""
        found = {t for t in self._resolved.values() if isinstance(t, Tensor) and t.is_constant}
        return tuple(sorted(found, key=lambda t: (t.offset, t.nbytes)))

    def mutable_buffers(self) -> tuple[MutableBuffer, ...]:
        """Planned values with a name in the checkpoint, and the rest of memory 2."""
        found: list[MutableBuffer] = []
        unnamed: list[int] = []
        for index, value in enumerate(self._plan.values):
            if (
                not isinstance(value, TensorValue)
                or value.allocation_info is None
                or index in self._plan.inputs
            ):
                continue
            if value.extra_tensor_info and value.extra_tensor_info.fully_qualified_name:
                found.append(
                    MutableBuffer(value.extra_tensor_info.fully_qualified_name, self.tensor(index, "buffer"))
                )
            elif value.allocation_info.memory_id == _KV_CACHE_MEMORY:
                unnamed.append(index)
        for index in unnamed:
            tensor = self.tensor(index, "buffer")
            if not any(tensor.overlaps(buffer.tensor) for buffer in found):
                found.append(MutableBuffer(f"#{index}", tensor))
        return tuple(found)

    def resolve(self, index: int) -> Value:
        """Value `index`, with lists followed. Raises PteError for what the file does not hold."""
        if index not in self._resolved:
            if not 0 <= index < len(self._plan.values):
                raise corrupt(f"value {index} of {len(self._plan.values)} is used")
            self._resolved[index] = self._resolve(index)
        return self._resolved[index]

    def _resolve(self, index: int) -> Value:
        value = self._plan.values[index]
        if isinstance(value, TensorValue):
            return self._place(index, value)
        if isinstance(value, IntList):
            integers = [self._scalar(item) for item in value.items]
            if any(type(item) is not int for item in integers):
                raise corrupt(f"list value {index} should hold integers and does not")
            return list(integers)
        if isinstance(value, TensorList):
            return [self._item(index, item, value.optional) for item in value.items]
        if isinstance(value, (DoubleList, BoolList)):
            return list(value.items)
        return value

    def _scalar(self, index: int) -> Value:
        """An item of an IntList; not `resolve`, so that lists in lists cannot make it descend for ever."""
        if not 0 <= index < len(self._plan.values):
            raise corrupt(f"value {index} of {len(self._plan.values)} is used")
        value = self._plan.values[index]
        return value if type(value) is int else None

    def _item(self, owner: int, index: int, optional: bool) -> Value:
        if optional and index == -1:
            return None
        if not 0 <= index < len(self._plan.values):
            raise corrupt(f"value {index} of {len(self._plan.values)} is used")
        value = self._plan.values[index]
        if isinstance(value, TensorValue) or (optional and value is None):
            return self.resolve(index)
        raise corrupt(f"list value {owner} should hold tensors and does not")

    def _place(self, index: int, value: TensorValue) -> Tensor:
        dtype, shape, order = self._geometry(index, value)
        nbytes = prod(shape) * dtype.size
        data: memoryview | None = None
        if value.allocation_info is not None:
            if value.data_buffer_idx or (value.extra_tensor_info and value.extra_tensor_info.location):
                raise UnsupportedOperatorError(
                    f"Value {index} is a buffer with an initial value; buffers start as zeros.",
                    hint="Export without InitializedMutableBufferPass, or make the buffer an input.",
                )
            memory, offset = value.allocation_info.memory_id, value.allocation_info.offset
            if memory not in self._bases or offset + nbytes > self.memory[memory]:
                raise corrupt(
                    f"value {index} has bytes {offset} to {offset + nbytes} of memory {memory}; "
                    f"memories have {shown(self.memory)} bytes"
                )
            space, base = self._bases[memory]
            offset += base
        elif value.data_buffer_idx or (value.extra_tensor_info and value.extra_tensor_info.location):
            space, offset = Space.MODEL, self._constant(index, value, nbytes)
            data = memoryview(self._data)[offset : offset + nbytes]
        elif index in self._interface:
            space, offset = Space.ARENA, self._append(nbytes)
        elif nbytes == 0:
            space, offset = Space.ARENA, 0
        else:
            raise PteError(
                f"Value {index}, {dtype!r}{list(shape)}, has no data and no planned memory.",
                hint="Export with memory planning (ExecutorchBackendConfig's default).",
            )
        if offset % dtype.size:
            where = "the file" if space is Space.MODEL else space.value
            raise PteError(
                f"Value {index}, {dtype!r}{list(shape)}, is misaligned: byte {offset} of {where} is no multiple "
                f"of {dtype.size}, its element size.",
                hint="Export with constant_tensor_alignment=16 and the default memory alignment.",
            )
        return Tensor(dtype, shape, space, offset, order, data)

    def _geometry(self, index: int, value: TensorValue) -> tuple[DType, tuple[int, ...], tuple[int, ...]]:
        """Element type, sizes, and the order of dimensions (empty for row-major)."""
        dtype = DTYPES.get(value.scalar_type)
        if dtype is None:
            raise UnsupportedOperatorError(
                f"Value {index} has elements of type {dtype_name(value.scalar_type)}; kernels exist for {', '.join(map(repr, DType))}.",
                hint="Export the model in float32.",
            )
        shape = value.sizes
        if (
            len(shape) > _LARGEST_RANK
            or any(size < 0 for size in shape)
            or prod(shape) * dtype.size > LARGEST
        ):
            raise corrupt(f"value {index} is a tensor of {shown(list(shape))} {dtype!r} elements")
        if sorted(value.dim_order) != list(range(len(shape))):
            raise corrupt(
                f"value {index} has {len(shape)} dimensions in the order {shown(list(value.dim_order))}"
            )
        if value.storage_offset:
            raise corrupt(f"value {index} begins {value.storage_offset} elements into its storage")
        if value.shape_dynamism == 1:
            self.notes.append(
                f"Value {index} has a dynamic shape; its upper bound {list(shape)} is compiled."
            )
        elif value.shape_dynamism:
            raise UnsupportedOperatorError(
                f"Value {index} has a shape without upper bound; memory must be known before the program runs.",
                hint="Export with static shapes, or give every dynamic dimension a maximum.",
            )
        # Where a dimension of size 1 stands in the order makes no difference to the memory.
        moved = [dimension for dimension in value.dim_order if shape[dimension] != 1]
        return dtype, shape, () if moved == sorted(moved) else value.dim_order

    def _constant(self, index: int, value: TensorValue, nbytes: int) -> int:
        """The place of a constant's bytes in the file."""
        if value.extra_tensor_info and value.extra_tensor_info.location:
            raise UnsupportedOperatorError(
                f"Value {index} keeps its data outside the .pte ({shown(value.extra_tensor_info.fully_qualified_name)}).",
                hint="mcu_sdk.join_weights() puts the .ptd into the .pte; or export without external constants.",
            )
        segment, number = self._program.constant_segment, value.data_buffer_idx
        if segment is not None and segment.offsets:
            if segment.segment_index >= len(self._program.segments) or number >= len(segment.offsets):
                raise corrupt(f"value {index} is constant {number} of {len(segment.offsets)}")
            home = self._program.segments[segment.segment_index]
            start = segment.offsets[number]
            span = Span(home.offset + start, home.size - start)
        elif number < len(self._program.constant_buffer):
            span = self._program.constant_buffer[number]
        else:
            raise corrupt(f"value {index} is constant {number} of {len(self._program.constant_buffer)}")
        if nbytes > span.size:
            raise corrupt(
                f"value {index} needs {nbytes} bytes of data; constant {number} has {max(span.size, 0)}"
            )
        return span.offset


def dtype_name(scalar_type: int) -> str:
    """ExecuTorch's number of an element type, as a name ("f32", "bfloat16", "number 99")."""
    dtype = DTYPES.get(scalar_type)
    return repr(dtype) if dtype else OTHER_DTYPES.get(scalar_type, f"number {scalar_type}")


def _describe(value: Value) -> str:
    return "none" if value is None else f"the {type(value).__name__} {shown(value)}"


def shown(value: object) -> str:
    """Something from the file, fit for one paragraph on a terminal: `repr` escapes what cannot be printed."""
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:77]}..."

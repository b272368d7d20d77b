"""Running one instruction as the firmware would: its emitter's calls, on memory with pages around it that fault."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Sequence
from typing import Any

import numpy as np

from mcu_sdk.operators.table import is_in_place
from mcu_sdk.planning import registry
from mcu_sdk.planning.instruction import (
    ConstantArray,
    DType,
    Instruction,
    KernelCall,
    Parameters,
    Pointer,
    Scratch,
    Space,
    Tensor,
    Value,
)
from mcu_sdk.planning.operands import tensors_in

NUMPY = {
    DType.U8: np.uint8,
    DType.S8: np.int8,
    DType.S16: np.int16,
    DType.S32: np.int32,
    DType.S64: np.int64,
    DType.F16: np.float16,
    DType.F32: np.float32,
    DType.F64: np.float64,
    DType.BOOL: np.bool_,
}
DTYPES = {np.dtype(kind): dtype for dtype, kind in NUMPY.items()}
PAGE = mmap.PAGESIZE
_libc = ctypes.CDLL(None, use_errno=True)


class Memory:
    """`size` bytes, none behind which can be touched, and none of the page before them."""

    def __init__(self, size: int) -> None:
        pages = -(-max(size, 1) // PAGE)
        self._map = mmap.mmap(-1, (pages + 2) * PAGE)
        base = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        for edge in (base, base + (pages + 1) * PAGE):
            if _libc.mprotect(ctypes.c_void_p(edge), PAGE, 0):
                raise OSError(ctypes.get_errno(), "mprotect")
        self.address = base + (pages + 1) * PAGE - size
        self.bytes = np.frombuffer(self._map, np.uint8, size, self.address - base)


Place = tuple[Space, int]


class Machine:
    """Tensors with places in the spaces, and one instruction's memory: a block for each place, as long as the
    longest tensor of the instruction there. So tensors at one place share bytes, and no others do."""

    def __init__(self) -> None:
        self._sizes = dict.fromkeys(Space, 0)
        self._values: dict[Place, bytes] = {}
        self._memories: dict[Place, Memory] = {}
        self._before: dict[Place, np.ndarray[Any, Any]] = {}

    def place(self, values: Any, space: Space = Space.ARENA) -> Tensor:
        """A tensor with these values, at a multiple of 16."""
        array = np.ascontiguousarray(values)
        offset = self._sizes[space]
        data = array.tobytes()
        tensor = Tensor(
            DTYPES[array.dtype], np.shape(values), space, offset, data=data if space is Space.MODEL else None
        )
        self._sizes[space] = -(-(offset + max(array.nbytes, 1)) // 16) * 16
        self._values[space, offset] = data
        return tensor

    def run(self, library: ctypes.CDLL, instruction: Instruction) -> None:
        """Emit and call, on memory made anew; what it holds afterwards is read with `read`.

        Raises what the emitter raises.
        """
        calls = registry.emit(instruction)
        self.prepare(instruction)
        for call in calls:
            self._call(library, call)

    def prepare(self, instruction: Instruction) -> None:
        """Make the instruction's memory anew."""
        sizes: dict[Place, int] = {}
        alignments: dict[Place, int] = {}
        for tensor in tensors_in(instruction.arguments):
            place = (tensor.space, tensor.offset)
            sizes[place] = max(tensor.nbytes, sizes.get(place, 0))
            # Tensors are promised their element's alignment; bytes, which scratch is made of, have 16.
            alignment = 16 if tensor.dtype is DType.U8 else tensor.dtype.size
            alignments[place] = max(alignment, alignments.get(place, 1))
        sizes = {place: -(-size // alignments[place]) * alignments[place] for place, size in sizes.items()}
        self._memories = {place: Memory(size) for place, size in sizes.items()}
        for place, memory in self._memories.items():
            initial = np.frombuffer(self._values[place], np.uint8)[: len(memory.bytes)]
            memory.bytes[: len(initial)] = initial
        self._before = {place: memory.bytes.copy() for place, memory in self._memories.items()}

    def address(self, tensor: Tensor) -> int:
        """Where a tensor of the prepared instruction lies."""
        return self._memories[tensor.space, tensor.offset].address

    def read(self, tensor: Tensor) -> np.ndarray[Any, Any]:
        """What the tensor holds now."""
        raw = self._memories[tensor.space, tensor.offset].bytes[: tensor.nbytes].tobytes()
        return np.frombuffer(raw, NUMPY[tensor.dtype]).reshape(tensor.shape)

    def changed_outside(self, written: Sequence[Tensor]) -> bool:
        """Whether any byte changed that belongs to none of `written`."""
        for place, memory in self._memories.items():
            changed = memory.bytes != self._before[place]
            for tensor in written:
                if place == (tensor.space, tensor.offset):
                    changed[: tensor.nbytes] = False
            if changed.any():
                return True
        return False

    def _call(self, library: ctypes.CDLL, call: KernelCall) -> None:
        keep: list[Any] = []
        function = getattr(library, call.function)
        function.restype = None
        function(*(self._convert(argument, keep) for argument in call.arguments))

    def _convert(self, argument: Any, keep: list[Any]) -> Any:
        if isinstance(argument, Tensor):
            return ctypes.c_void_p(self._memories[argument.space, argument.offset].address)
        if isinstance(argument, Pointer):
            start = self._memories[argument.tensor.space, argument.tensor.offset].address
            return ctypes.c_void_p(start + argument.byte_offset)
        if isinstance(argument, (ConstantArray, Parameters)):
            keep.append(table_of(argument))
            return ctypes.c_void_p(keep[-1].ctypes.data)
        if isinstance(argument, Scratch):
            keep.append(Memory(-(-argument.size // 16) * 16))
            return ctypes.c_void_p(keep[-1].address)
        if argument is None:
            return ctypes.c_void_p(None)
        if isinstance(argument, bool):
            return ctypes.c_bool(argument)
        if isinstance(argument, int):
            return ctypes.c_int32(argument) if -(2**31) <= argument < 2**31 else ctypes.c_int64(argument)
        return ctypes.c_float(argument)


def table_of(argument: ConstantArray | Parameters) -> np.ndarray[Any, Any]:
    """The bytes of a table, or of a struct of int32_t and float."""
    if isinstance(argument, Parameters):
        words = [np.float32(v).view(np.int32) if isinstance(v, float) else v for v in argument.values]
        return np.array(words, np.int32)
    kinds = {dtype.c_type: NUMPY[dtype] for dtype in DType if dtype is not DType.F16}
    return np.array(argument.values, {**kinds, "uint16_t": np.uint16}[argument.c_type])


def instruction(operator: str, *arguments: Value) -> Instruction:
    return Instruction(0, operator, "" if is_in_place(operator) else "out", arguments, "#0")

"""The plain data between a .pte and the C++ that is printed from it.

A .pte's execution plan is a list of instructions over a table of values. `planning/pte/read.py` reads and checks
it and makes one `Instruction` of each kernel call; an emitter (`planning/registry.py`) turns that into
`KernelCall`s: a C++ function with arguments that are all known at compile time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from math import prod
from typing import Union

from mcu_sdk.operators.table import Operator, find, is_in_place


class DType(Enum):
    """Element types, with their C++ names and sizes in bytes."""

    U8 = ("uint8_t", 1)
    S8 = ("int8_t", 1)
    S16 = ("int16_t", 2)
    S32 = ("int32_t", 4)
    S64 = ("int64_t", 8)
    F16 = ("uint16_t", 2)  # raw bits: no target of ours has to have a half type
    F32 = ("float", 4)
    F64 = ("double", 8)
    BOOL = ("bool", 1)

    @property
    def c_type(self) -> str:
        return self.value[0]

    @property
    def is_float(self) -> bool:
        return self in (DType.F16, DType.F32, DType.F64)

    @property
    def size(self) -> int:
        return self.value[1]

    def __repr__(self) -> str:
        return self.name.lower()


class Space(Enum):
    """Where a tensor's bytes are at run time."""

    ARENA = "arena"  # planned activations
    KV_CACHE = "kv_cache"  # planned mutable buffers: they live from step to step
    MODEL = "model"  # inside the embedded .pte


@dataclass(frozen=True)
class Tensor:
    """A tensor with a place: `offset` bytes into `space`. Contiguous in `dim_order` (identity unless said)."""

    dtype: DType
    shape: tuple[int, ...]
    space: Space
    offset: int
    dim_order: tuple[int, ...] = ()
    data: memoryview | bytes | None = field(default=None, repr=False, compare=False)  # constants only

    @property
    def order(self) -> tuple[int, ...]:
        """The dimensions as they lie in memory, outermost first: `dim_order`, also where it is not said."""
        return self.dim_order or tuple(range(len(self.shape)))

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.elements * self.dtype.size

    @property
    def is_constant(self) -> bool:
        return self.space is Space.MODEL

    def same_memory(self, other: Tensor) -> bool:
        """Whether both begin at the same byte."""
        return self.space is other.space and self.offset == other.offset

    def overlaps(self, other: Tensor) -> bool:
        """Whether the two share any byte."""
        return (
            self.space is other.space
            and self.offset < other.offset + other.nbytes
            and other.offset < self.offset + self.nbytes
        )


Value = Union[Tensor, int, float, bool, str, None, list["Value"]]
"""What an argument of an instruction can be, once resolved."""


@dataclass(frozen=True)
class Instruction:
    """One kernel call of a .pte, resolved and checked.

    `operator` is the name with its namespace ("aten::add"), `overload` the part behind the dot ("out"; may be
    empty). `arguments` are in schema order: inputs, then out tensors; the repeated return values are cut off.
    `name` is the module path in the checkpoint, or "#12" for a file that carries no names. `source` is the
    Python line the operator was traced from, where the file tells. `earlier`: the file has the arguments in the form of an
    earlier ExecuTorch.
    """

    index: int
    operator: str
    overload: str
    arguments: tuple[Value, ...]
    name: str
    source: str = ""
    earlier: bool = False

    @property
    def row(self) -> Operator | None:
        """What is known of the operator (operators/table)."""
        return find(self.operator, self.overload)

    @property
    def in_place(self) -> bool:
        """Whether it writes into its arguments, rather than into tensors that come last."""
        return is_in_place(self.operator)

    @property
    def full_name(self) -> str:
        return f"{self.operator}.{self.overload}" if self.overload else self.operator


@dataclass(frozen=True)
class ConstantArray:
    """A small table that the emitter computed; printed as `static const` above the calls."""

    c_type: str  # "int32_t", "float", ...
    values: tuple[int | float, ...]


@dataclass(frozen=True)
class Parameters:
    """A struct of int32_t and float that a kernel takes by its address; printed as `constexpr` above the calls, field by
    field."""

    c_type: str  # "McuWindow", ...
    fields: tuple[tuple[str, int | float], ...]

    @property
    def values(self) -> tuple[int | float, ...]:
        return tuple(value for _, value in self.fields)


@dataclass(frozen=True)
class Scratch:
    """Working memory for one call, `size` bytes, 16-aligned; the plan places it behind the arena's tensors."""

    size: int


@dataclass(frozen=True)
class Pointer:
    """A tensor's address plus `byte_offset`, as a pointer to `c_type` (the tensor's own type when empty)."""

    tensor: Tensor
    byte_offset: int = 0
    c_type: str = ""


Argument = Union[Tensor, Pointer, ConstantArray, Parameters, Scratch, int, float, bool, None]
"""Printed as: a typed pointer, the same, a table's name, a struct's address, a `void*` to scratch, a literal (floats exactly, as
hexadecimal float literals), `nullptr`."""


@dataclass(frozen=True)
class KernelCall:
    """One line of plan.cpp: `function(arguments);` with the header it needs ("kernels/norm/rms_norm.h").

    `sources` are the .cpp files the project needs for it, relative to firmware/ ("kernels/norm/rms_norm.cpp").
    `comment` is what stands above the line; the plan adds the instruction's name and shapes before it.
    """

    function: str
    arguments: tuple[Argument, ...]
    header: str
    sources: tuple[str, ...] = ()
    comment: str = ""

    @property
    def is_float(self) -> bool:
        """Whether it reads, writes or is given a float. Kernels compute in float on nothing else (tests/kernels)."""
        return any(map(_is_float, self.arguments))


def _is_float(argument: Argument) -> bool:
    if isinstance(argument, Tensor):
        return argument.dtype.is_float
    if isinstance(argument, Pointer) and not argument.c_type:
        return argument.tensor.dtype.is_float
    if isinstance(argument, (Pointer, ConstantArray)):
        return argument.c_type in ("float", "double")
    if isinstance(argument, Parameters):
        return any(isinstance(value, float) for value in argument.values)
    return isinstance(argument, float)

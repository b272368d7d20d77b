"""The operations of an Ethos-U85, complete: what `decode` makes of a command stream and the simulator computes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from mcu_sdk.npu.operations import (
    AnyConvolution,
    AnyElementwise,
    AnyPooling,
    Dma,
    ElementType,
    FeatureMap,
    Scale,
    Stretch,
    Window,
)


class Rounding(IntEnum):
    """How a scaled value is rounded: in two steps, half up in one, ... Inputs have the first two."""

    DOUBLE_SYMMETRIC = 0
    NATURAL = 1
    DOUBLE_ASYMMETRIC = 2
    SYMMETRIC = 3
    TRUNCATE_TO_ZERO = 4
    TRUNCATE_TO_LOWER = 5


class Accumulator(IntEnum):
    """Integers; the value is the register's."""

    I32 = 0
    I48 = 1


class Pooling(IntEnum):
    MAX = 0
    AVERAGE = 1
    REDUCE_SUM = 2
    SUM = 3
    NONE = 4
    MIN = 5
    ARGMAX_X = 6
    ARGMAX_Y = 7


class Elementwise(IntEnum):
    MUL = 0
    ADD = 1
    SUB = 2
    MIN = 3
    MAX = 4
    LRELU = 5
    ABS = 6
    CLZ = 7
    SHR = 8
    SHL = 9
    LSR = 10
    DIV = 11
    CMP_EQ = 16
    CMP_NE = 17
    CMP_GE = 18
    CMP_GT = 19
    AND = 33
    OR = 34
    XOR = 35
    NOT = 36
    AND_NOT = 42


class Function(IntEnum):
    """Tables by what goes in and what comes out; 0 is none."""

    LUT_U8_U8 = 1
    LUT_S8_S8 = 4
    LUT_S8_S16 = 5
    LUT_S8_S32 = 7
    LUT_S16_S16 = 8
    LUT_S16_S32 = 9
    LUT_TANH = 10
    LUT_SIGMOID = 11


class ResizeMode(IntEnum):
    BILINEAR = 0
    REPLICATE = 1
    NEAREST = 2


@dataclass(frozen=True)
class Chained:
    """A feature map that an operation hands to the next one inside the NPU: `buffer` is its number, `shape` height,
    width, depth."""

    buffer: int
    shape: tuple[int, int, int]
    type: ElementType
    zero_point: int


Tensor = FeatureMap | Chained


@dataclass(frozen=True)
class Table:
    """A look-up table; `begin` is its first byte in the memory for tables."""

    function: Function
    begin: int


@dataclass(frozen=True)
class Output:
    """What happens between accumulator and OFM: scaled, the zero point added, limited, looked up, stored.

    `shape` is height, width, depth before axes are exchanged, that of `ofm` afterwards: its axis n is the axis
    `transpose[n]` of `shape`. `reverse` is the axis that is turned round, or None. `scale` is None where each channel
    has its own; `limits` is None where the activation does not limit.
    """

    ofm: Tensor
    shape: tuple[int, int, int]
    scale: Scale | None
    rounding: Rounding
    limits: tuple[int, int] | None
    table: Table | None
    transpose: tuple[int, int, int]
    reverse: int | None


@dataclass(frozen=True)
class Packed:
    """Weights in memory: one stream for each core that has one, or a single one in the format FWD; and the scales."""

    streams: tuple[Stretch, ...]
    fast: bool
    scales: Stretch


@dataclass(frozen=True)
class Convolution(AnyConvolution):
    """`weights` are packed, or a feature map (IFM2) with the output channels as its columns. `addend` is IFM2 where the
    accumulators begin with it."""

    weights: Packed | FeatureMap
    addend: FeatureMap | None
    block_depth: int
    ublock_depth: int
    accumulator: Accumulator
    output: Output


@dataclass(frozen=True)
class PoolingOperation(AnyPooling):
    """`window` is the IFM's; with the mode NONE `source` takes its place. `scales` are each channel's, where the output
    has no common scale."""

    mode: Pooling
    window: Window
    source: FeatureMap | None
    scales: Stretch | None
    accumulator: Accumulator
    output: Output


@dataclass(frozen=True)
class InputScale:
    """A factor of scale / 2^shift; `double_round` bits of the shift are rounded in a step of their own."""

    scale: int
    shift: int
    double_round: int
    rounding: Rounding


@dataclass(frozen=True)
class Operand:
    """A feature map, with 1 where it is broadcast, or a number."""

    value: Tensor | int
    zero_point: int
    type: ElementType
    scale: InputScale


@dataclass(frozen=True)
class ElementwiseOperation(AnyElementwise):
    """`second` is None for operations of one operand."""

    mode: Elementwise
    first: Operand
    second: Operand | None
    output: Output


@dataclass(frozen=True)
class Resize:
    """Output element n of an axis lies at (n * step + offset) / scale of the input; `scale`, `step` and `offset` are
    (rows, columns)."""

    index: int
    mode: ResizeMode
    ifm: FeatureMap
    scale: tuple[int, int]
    step: tuple[int, int]
    offset: tuple[int, int]
    output: Output

    @property
    def name(self) -> str:
        return f"NPU_OP_RESIZE {self.mode.name}"


@dataclass(frozen=True)
class DmaOfRows:
    """`rows` copies of `source.length` bytes, each a stride behind the last on one side, and on the other, the source
    (`gathers`) or the target, at the row that its index names: int32, from 0 to `greatest_index`."""

    index: int
    source: Stretch
    target: Stretch
    rows: int
    source_stride: int
    target_stride: int
    indices: Stretch
    greatest_index: int
    gathers: bool

    @property
    def name(self) -> str:
        return "NPU_OP_DMA_START"


Operation = Convolution | PoolingOperation | ElementwiseOperation | Resize | Dma | DmaOfRows

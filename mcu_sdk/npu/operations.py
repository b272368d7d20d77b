"""The operations of an Ethos-U55 or U65, complete: what `decode` makes of a command stream and `Simulator` computes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from mcu_sdk.npu.opcodes import Accumulator, Elementwise, IfmScale, Pooling, Rounding, Upscale


@dataclass(frozen=True)
class ElementType:
    """Integers of `bits` bits."""

    bits: int
    signed: bool

    @property
    def size(self) -> int:
        """Bytes."""
        return self.bits // 8

    @property
    def numpy(self) -> str:
        return f"<{'i' if self.signed else 'u'}{self.size}"

    @property
    def range(self) -> tuple[int, int]:
        if self.signed:
            return -(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1
        return 0, (1 << self.bits) - 1


@dataclass(frozen=True)
class FeatureMap:
    """Where a feature map lies. `shape` is height, width, depth; strides and bases in bytes.

    Four tiles: columns from `width0` on are the right ones, rows from `height0` (`height1` on the right) the lower
    ones. Element (y, x, c) of a tile lies at base + y * stride_y + x * stride_x + c * size, or, in bricks of 16
    channels (NHCWB16), at base + y * stride_y + c // 16 * stride_c + (x * 16 + c % 16) * size.
    """

    shape: tuple[int, int, int]
    type: ElementType
    region: int
    bases: tuple[int, int, int, int]
    height0: int
    height1: int
    width0: int
    stride_y: int
    stride_x: int
    stride_c: int
    bricks: bool
    zero_point: int

    def tiles(self) -> list[tuple[int, int, int, int, int]]:
        """The tiles that have elements: (base, first row, first column, rows, columns)."""
        height, width, _ = self.shape
        left = min(width, self.width0)
        found = []
        for number, (column, columns, limit) in enumerate(
            ((0, left, self.height0), (left, width - left, self.height1))
        ):
            upper = min(height, limit)
            found.append((self.bases[number], 0, column, upper, columns))
            found.append((self.bases[number + 2], upper, column, height - upper, columns))
        return [tile for tile in found if tile[3] > 0 and tile[4] > 0]


@dataclass(frozen=True)
class Scale:
    """A factor of scale / 2^shift."""

    scale: int
    shift: int


@dataclass(frozen=True)
class Output:
    """What happens between accumulator and OFM. `scale` is None where each channel has its own.

    `table` is the look-up table that follows, or None. `forced`: the limits hold although the OFM has 32 bits.
    """

    ofm: FeatureMap
    scale: Scale | None
    rounding: Rounding
    minimum: int
    maximum: int
    table: int | None
    forced: bool = False


@dataclass(frozen=True)
class Kernel:
    """Sizes in elements of the IFM, dilation included; `part_kernel`: the order of the weights."""

    height: int
    width: int
    stride_y: int
    stride_x: int
    dilation_y: int
    dilation_x: int
    part_kernel: bool

    @property
    def taps(self) -> tuple[int, int]:
        """Rows and columns of weights."""
        return (self.height - 1) // self.dilation_y + 1, (self.width - 1) // self.dilation_x + 1


@dataclass(frozen=True)
class Window:
    """What of the IFM an operation slides over: the padding around it, and how it is made larger before."""

    ifm: FeatureMap
    kernel: Kernel
    upscale: Upscale
    top: int
    left: int
    bottom: int
    right: int


@dataclass(frozen=True)
class Stretch:
    """Bytes of a region."""

    region: int
    begin: int
    length: int


@dataclass(frozen=True)
class AnyConvolution:
    """What the convolutions of all NPUs have; `index` is the command's in its stream."""

    index: int
    depthwise: bool
    window: Window

    @property
    def name(self) -> str:
        return "NPU_OP_DEPTHWISE" if self.depthwise else "NPU_OP_CONV"


@dataclass(frozen=True)
class AnyPooling:
    """What the pools of all NPUs have."""

    index: int
    mode: IntEnum

    @property
    def name(self) -> str:
        return f"NPU_OP_POOL {self.mode.name}"


@dataclass(frozen=True)
class AnyElementwise:
    """What the elementwise operations of all NPUs have."""

    index: int
    mode: IntEnum

    @property
    def name(self) -> str:
        return f"NPU_OP_ELEMENTWISE {self.mode.name}"


@dataclass(frozen=True)
class Convolution(AnyConvolution):
    """`weights` and `scales` have one stretch for each core."""

    weights: tuple[Stretch, ...]
    scales: tuple[Stretch, ...]
    block_depth: int
    accumulator: Accumulator
    output: Output


@dataclass(frozen=True)
class PoolingOperation(AnyPooling):
    mode: Pooling
    window: Window
    accumulator: Accumulator
    output: Output


@dataclass(frozen=True)
class ElementwiseOperation(AnyElementwise):
    """`second` is a feature map (with 1 where it is broadcast), a number, or None for one operand.

    `reversed`: the second operand comes first.
    """

    mode: Elementwise
    first: FeatureMap
    second: FeatureMap | int | None
    second_zero_point: int
    reversed: bool
    scaling: IfmScale
    input_rounding: Rounding
    first_scale: Scale
    second_scale: Scale
    output: Output


@dataclass(frozen=True)
class Dma:
    """`table_offset`: where in the memory inside the NPU the bytes go; None for a region."""

    index: int
    source: Stretch
    destination: Stretch | None
    table_offset: int | None

    @property
    def name(self) -> str:
        return "NPU_OP_DMA_START"


Operation = Convolution | PoolingOperation | ElementwiseOperation | Dma

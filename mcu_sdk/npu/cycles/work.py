"""What an operation asks of the NPU's parts, for all families: products, cycles of the array and of the output stage, bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product

from mcu_sdk.npu.operations import FeatureMap, Kernel, Stretch, Window

Shape = tuple[int, int, int]

BRICK = 16
"""Channels that lie side by side in the format NHCWB16."""
SUB_KERNEL = 8
"""Rows and columns of a kernel that are worked on at once; a larger one is cut up."""
DECODED = 32
"""Cycles in which the weights of a block of inputs become readable for 8 output channels (`cycles_wb` of
ethosu/vela/npu_performance.py)."""


@dataclass(frozen=True)
class Moved:
    """`count` bytes read from or written to a region, as whole transfers of the bus. `in_flight`: how many of them the NPU can
    have asked for at once, where that may limit them."""

    region: int
    count: int
    in_flight: float | None = None


@dataclass(frozen=True)
class Work:
    """`macs`: multiplications whose products are added up. `array`, `output`: cycles of the MAC array, its weights decoded
    meanwhile, and of the output stage. `blocks`: of the output. `moved`: each thing that is read and written."""

    macs: int
    array: float
    output: float
    blocks: int
    moved: tuple[Moved, ...]


def pieces(total: int, size: int) -> list[tuple[int, int]]:
    """A length in pieces of at most `size`: (length, how many)."""
    whole, rest = divmod(total, size)
    return [(size, whole)] * (whole > 0) + [(rest, 1)] * (rest > 0)


def over_blocks(shape: Shape, block: Shape, cost: Callable[[Shape], float]) -> float:
    """The sum of a cost over all blocks of a shape, those at its end cut off."""
    total = 0.0
    for (height, rows), (width, columns), (depth, deep) in product(*map(pieces, shape, block)):
        total += rows * columns * deep * cost((height, width, depth))
    return total


def blocks_in(shape: Shape, block: Shape) -> int:
    """How many blocks a shape has."""
    return round(over_blocks(shape, block, lambda _: 1))


def sub_kernels(kernel: Kernel) -> list[int]:
    """Weights of each part of a kernel that is worked on at once."""
    rows, columns = kernel.taps
    found: list[int] = []
    for (height, many), (width, much) in product(pieces(rows, SUB_KERNEL), pieces(columns, SUB_KERNEL)):
        found += [height * width] * (many * much)
    return found


def transferred(tensor: FeatureMap, shape: Shape, bus: int) -> int:
    """Bytes that `shape` of a feature map takes on a bus of that width: each stretch without a gap begins a transfer."""
    height, width, depth = shape
    size = tensor.type.size
    if tensor.bricks:
        stretches, length = height * -(-depth // BRICK), width * BRICK * size
    elif abs(tensor.stride_x) != depth * size:
        stretches, length = height * width, depth * size
    elif abs(tensor.stride_y) != width * depth * size:
        stretches, length = height, width * depth * size
    else:
        stretches, length = 1, height * width * depth * size
    return stretches * -(-length // bus) * bus


def read_by_window(window: Window, output: Shape, block: Shape, all_channels: bool, bus: int) -> int:
    """Bytes of the IFM that all blocks of the output read: what is under the kernel, for each block anew."""
    kernel, (rows, columns, channels) = window.kernel, window.ifm.shape

    def cost(part: Shape) -> float:
        height = min(rows, (part[0] - 1) * kernel.stride_y + kernel.height)
        width = min(columns, (part[1] - 1) * kernel.stride_x + kernel.width)
        depth = channels if all_channels else min(channels, part[2])
        return transferred(window.ifm, (height, width, depth), bus)

    return round(over_blocks(output, block, cost)) * len(sub_kernels(kernel))


def stored_elements(tensor: FeatureMap, shape: Shape) -> int:
    """Elements that the output stage makes: in bricks whole ones."""
    height, width, depth = shape
    return height * width * (-(-depth // BRICK) * BRICK if tensor.bricks else depth)


def constants(
    stretches: Iterable[Stretch], times: int, bus: int, in_flight: float | None = None
) -> list[Moved]:
    """Weights or scales, read once for each block along height and width."""
    return [Moved(s.region, times * -(-s.length // bus) * bus, in_flight) for s in stretches]


def whole(tensor: FeatureMap, bus: int) -> Moved:
    """All of a feature map, once."""
    return Moved(tensor.region, transferred(tensor, tensor.shape, bus))

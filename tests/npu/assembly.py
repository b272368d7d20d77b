"""Command streams written by hand, by the commands' names."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from mcu_sdk.npu.encodings import definitions

_BY_NAME = {definition.name: definition for definition in definitions("u55").values()}

INT8, INT16, INT32 = 0, 1, 2


def command(name: str, *values: int, **fields: int) -> list[int]:
    """A command's words. A command with one field, or with an address, takes the value alone."""
    definition = _BY_NAME[name]
    named = [field for field in definition.fields if field.name]
    contents = dict(fields)
    if values:
        (value,) = values
        if named[0].name == "high":
            contents = {"low": value & 0xFFFFFFFF, "high": value >> 32 & 0xFF}
        else:
            contents = {named[0].name: value}
    word = 0
    for field in named:
        word |= (contents.pop(field.name, 0) & ((1 << field.width) - 1)) << field.low
    assert not contents, contents
    first = definition.opcode | definition.wide << 14 | (word & 0xFFFF) << 16
    return [first, word >> 16] if definition.wide else [first]


def feature_map(
    prefix: str, shape: tuple[int, int, int], base: int, precision: Mapping[str, int], region: int = 1
) -> list[int]:
    """The commands for a dense NHWC map in one tile; `precision` are the fields of its precision's register."""
    height, width, depth = shape
    size = 1 << precision["activation_precision"]
    words = command(f"SET_{prefix}_PRECISION", **precision)
    words += command(f"SET_{prefix}_REGION", region)
    words += command(f"SET_{prefix}_BASE0", base)
    for tile in (1, 2, 3):
        words += command(f"SET_{prefix}_BASE{tile}", 0)
    words += command(f"SET_{prefix}_STRIDE_Y", width * depth * size)
    words += command(f"SET_{prefix}_STRIDE_X", depth * size)
    words += command(f"SET_{prefix}_STRIDE_C", size)
    words += command(f"SET_{prefix}_ZERO_POINT", 0)
    words += command(f"SET_{prefix}_WIDTH0_M1", width - 1)
    words += command(f"SET_{prefix}_HEIGHT0_M1", height - 1)
    words += command(f"SET_{prefix}_HEIGHT1_M1", height - 1)
    if prefix == "OFM":
        words += command("SET_OFM_HEIGHT_M1", height - 1) + command("SET_OFM_WIDTH_M1", width - 1)
        words += command("SET_OFM_DEPTH_M1", depth - 1)
    if prefix == "IFM":
        words += command("SET_IFM_DEPTH_M1", depth - 1)
    return words


def plain_operation(
    shape: tuple[int, int, int], out: tuple[int, int, int], source: int, target: int
) -> list[int]:
    """Everything that a pool with a kernel of 1 x 1 needs; precisions by their numbers (INT8 ...)."""
    words = feature_map("IFM", shape, 0, {"activation_type": 1, "activation_precision": source})
    precision = {"activation_type": 1, "activation_precision": target, "scale_mode": 1, "round_mode": 2}
    words += feature_map("OFM", out, 4096, precision)
    for side in ("TOP", "LEFT", "RIGHT", "BOTTOM"):
        words += command(f"SET_IFM_PAD_{side}", 0)
    words += command("SET_IFM_UPSCALE", 0)
    words += command("SET_KERNEL_HEIGHT_M1", 0) + command("SET_KERNEL_WIDTH_M1", 0)
    words += command("SET_KERNEL_STRIDE") + command("SET_ACC_FORMAT", 0) + command("SET_ACTIVATION")
    low, high = (-128, 127) if target == INT8 else (-(1 << 15), (1 << 15) - 1)
    words += command("SET_ACTIVATION_MIN", low & 0xFFFF) + command("SET_ACTIVATION_MAX", high)
    return words + command("SET_OFM_SCALE", scale=1, shift=0)


STOP = struct.unpack("<I", struct.pack("<HH", 0, 0xFFFF))[0]
"""OP_STOP as Vela ends a stream."""

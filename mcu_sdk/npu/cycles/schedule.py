"""What a command stream says of an operation besides what it computes: its blocks, its waits, the commands before it."""

from __future__ import annotations

from dataclasses import dataclass

from mcu_sdk.npu.encodings import definitions, value_names
from mcu_sdk.npu.stream import CommandStream

_UBLOCK_FIELD = "microblock"


@dataclass(frozen=True)
class Start:
    """An operation's start. `index` is its command's first word; `command_bytes` those since the operation before, its own
    included. `block` is the OFM block (height, width, depth), `ublock` a U85's smallest block (height, width).

    `overlaps`: whether it may begin before the operation before it has ended (BLOCKDEP). `kernels` and `transfers`: how
    many computing operations and DMAs may still be running when it starts, None where nothing waits for them.
    """

    index: int
    command_bytes: int
    block: tuple[int, int, int]
    ublock: tuple[int, int]
    overlaps: bool
    kernels: int | None
    transfers: int | None


def starts(stream: CommandStream) -> dict[int, Start]:
    """Every operation's start, by the index of its command."""
    family = stream.config.accelerator.family
    known = definitions(family)
    ublocks = value_names(family).get(_UBLOCK_FIELD, {})
    state = {"HEIGHT": 1, "WIDTH": 1, "DEPTH": 1}
    ublock, overlaps, begin = (1, 1), False, 0
    kernels: int | None = None
    transfers: int | None = None
    found: dict[int, Start] = {}
    for command in stream.commands:
        definition = known.get((command.opcode, command.payload is not None))
        if definition is None:
            continue
        name, value = definition.name, command.parameter
        if name.startswith("SET_OFM_BLK_"):
            state[name.split("_")[3]] = value + 1
        elif name == "SET_BLOCKDEP":
            overlaps = value > 0
        elif name == "SET_ACC_FORMAT" and ublocks:
            field = next(f for f in definition.fields if f.name == _UBLOCK_FIELD)
            shape = ublocks.get(value >> field.low & (1 << field.width) - 1, "U1X1")
            ublock = int(shape[1]), int(shape[3])
        elif name == "OP_KERNEL_WAIT":
            kernels = value if kernels is None else min(kernels, value)
        elif name == "OP_DMA_WAIT":
            transfers = value if transfers is None else min(transfers, value)
        elif definition.computes or name == "OP_DMA_START":
            block = state["HEIGHT"], state["WIDTH"], state["DEPTH"]
            count = 4 * (command.index + 1 - begin)
            found[command.index] = Start(command.index, count, block, ublock, overlaps, kernels, transfers)
            begin, kernels, transfers = command.index + 1, None, None
    return found

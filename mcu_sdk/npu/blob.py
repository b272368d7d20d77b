"""The blob that ExecuTorch packs from Vela's output: what an Ethos-U delegate carries in a .pte.

Blocks of {name[16], u32 length, u8 external, 11 zero bytes, data padded to 16 bytes}, in a fixed order:
vela_bin_stream, cmd_data, weight_data, scratch_size, inputs, outputs, vela_end_stream. (Block names have 15 characters
at most.) An external block holds the key of data in a file beside the .pte; there are none here.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import prod

from mcu_sdk.errors import PteError

_HEADER_BYTES = 32
_NAMES = (
    b"vela_bin_stream",
    b"cmd_data",
    b"weight_data",
    b"scratch_size",
    b"inputs",
    b"outputs",
    b"vela_end_stream",
)
_TENSOR_FIELDS = 9  # shape[6], element size, offset, region: int32 each
_LARGEST = 2**31 - 1

WEIGHTS_REGION, SCRATCH_REGION = 0, 1


@dataclass(frozen=True)
class VelaTensor:
    """An input or output: `offset` bytes into `region`. `shape` has six entries; the first ones may be 1."""

    shape: tuple[int, ...]
    element_size: int
    offset: int
    region: int

    @property
    def size_bytes(self) -> int:
        return prod(self.shape) * self.element_size


@dataclass(frozen=True)
class VelaBlob:
    """A delegate's parts. The offsets say where `commands` and `weights` begin in the blob; sizes in bytes."""

    commands: bytes
    weights: bytes
    scratch_size: int
    inputs: tuple[VelaTensor, ...]
    outputs: tuple[VelaTensor, ...]
    commands_offset: int
    weights_offset: int


def read_blob(data: bytes) -> VelaBlob:
    """Take a blob apart. Raises PteError for one that is truncated, corrupt or inconsistent."""
    spans: dict[bytes, tuple[int, int]] = {}
    offset = 0
    for name in _NAMES:
        if offset + _HEADER_BYTES > len(data):
            raise _corrupt(f"it ends at byte {len(data)}, inside the header of the block {name.decode()}")
        found = data[offset : offset + 16]
        if found.rstrip(b"\0") != name:
            raise _corrupt(f"the block {name.decode()} was expected at byte {offset}, found {found!r}")
        length, external, zeros = struct.unpack_from("<IB11s", data, offset + 16)
        offset += _HEADER_BYTES
        if external == 1 and not any(zeros):
            raise PteError(
                f"An Ethos-U delegate with all its data in the .pte was expected; its {name.decode()} lies elsewhere.",
                hint="Lower the model again without external_block_placements.",
            )
        if external or any(zeros) or offset + length > len(data):
            raise _corrupt(
                f"the block {name.decode()} says it has {length} bytes; {len(data) - offset} follow byte {offset}"
            )
        spans[name] = (offset, length)
        offset += -(-length // 16) * 16
    return _assemble(data, spans)


def _assemble(data: bytes, spans: dict[bytes, tuple[int, int]]) -> VelaBlob:
    def block(name: bytes) -> bytes:
        start, length = spans[name]
        return data[start : start + length]

    if len(block(b"scratch_size")) != 4:
        raise _corrupt(f"scratch_size has {len(block(b'scratch_size'))} bytes, not 4")
    (scratch_size,) = struct.unpack("<I", block(b"scratch_size"))
    if scratch_size > _LARGEST:
        raise _corrupt(f"it wants {scratch_size} bytes of scratch")
    if not block(b"cmd_data"):
        raise _corrupt("it has no commands")
    return VelaBlob(
        commands=block(b"cmd_data"),
        weights=block(b"weight_data"),
        scratch_size=scratch_size,
        inputs=_tensors("inputs", block(b"inputs"), scratch_size),
        outputs=_tensors("outputs", block(b"outputs"), scratch_size),
        commands_offset=spans[b"cmd_data"][0],
        weights_offset=spans[b"weight_data"][0],
    )


def _tensors(name: str, data: bytes, scratch_size: int) -> tuple[VelaTensor, ...]:
    if len(data) < 4:
        raise _corrupt(f"the block {name} has {len(data)} bytes, and no count")
    (count,) = struct.unpack_from("<i", data)
    if len(data) != 4 + 4 * _TENSOR_FIELDS * count:
        raise _corrupt(f"the block {name} has {len(data)} bytes for {count} tensors")
    tensors = []
    for index in range(count):
        *shape, element_size, offset, region = struct.unpack_from("<9i", data, 4 + 4 * _TENSOR_FIELDS * index)
        tensor = VelaTensor(tuple(shape), element_size, offset, region)
        if min(shape) < 0 or element_size not in (1, 2, 4, 8):
            raise _corrupt(f"{name}[{index}] has the shape {shape} of {element_size}-byte elements")
        if region != SCRATCH_REGION:
            raise _corrupt(f"{name}[{index}] lies in region {region}, not in the scratch (1)")
        if offset < 0 or offset + tensor.size_bytes > scratch_size:
            raise _corrupt(
                f"{name}[{index}] has bytes {offset} to {offset + tensor.size_bytes} of {scratch_size} of scratch"
            )
        tensors.append(tensor)
    return tuple(tensors)


def _corrupt(what: str) -> PteError:
    return PteError(
        f"The Ethos-U blob is corrupt: {what}.",
        hint="Lower the model again with ExecuTorch's Ethos-U backend.",
    )

"""Blobs and command blocks put together by hand."""

from __future__ import annotations

import struct
from collections.abc import Sequence

U55_128 = (0x00001807, 0x10066001)
"""CONFIG and ID as Vela 5.1.0 writes them for ethos-u55-128: 24 KB of SHRAM, 2^7 MACs; architecture 1.0.6."""


def command_block(words: Sequence[int], config: tuple[int, int] = U55_128) -> bytes:
    """A "COP1" block with the stream `words`, its start aligned to 16 bytes."""
    header = [int.from_bytes(b"COP1", "little"), 0x00100001, *config, 5, 5, 5]
    length = len(words)
    action = 2 | (length >> 16) << 8 | (length & 0xFFFF) << 16
    return struct.pack(f"<{len(header) + 1 + length}I", *header, action, *words)


def block(name: str, data: bytes, external: int = 0) -> bytes:
    """One block of a blob; `external`: 1 where the data is the key of what lies in another file."""
    padded = data + bytes(-len(data) % 16)
    return name.encode().ljust(16, b"\0") + struct.pack("<4I", len(data), external, 0, 0) + padded


def tensors(*entries: tuple[Sequence[int], int, int, int]) -> bytes:
    """(shape, element size, offset, region) of each input or output."""
    packed = b"".join(
        struct.pack("<9i", *([1] * (6 - len(shape))), *shape, size, offset, region)
        for shape, size, offset, region in entries
    )
    return struct.pack("<i", len(entries)) + packed


def vela_blob(
    commands: bytes,
    weights: bytes = b"",
    scratch_size: int = 64,
    inputs: bytes | None = None,
    outputs: bytes | None = None,
) -> bytes:
    """A whole blob; by default one int8[16] input at byte 0 of the scratch and one output at byte 16."""
    return b"".join(
        (
            block("vela_bin_stream", b""),
            block("cmd_data", commands),
            block("weight_data", weights),
            block("scratch_size", struct.pack("<I", scratch_size)),
            block("inputs", tensors(((16,), 1, 0, 1)) if inputs is None else inputs),
            block("outputs", tensors(((16,), 1, 16, 1)) if outputs is None else outputs),
            block("vela_end_stream", b""),
        )
    )

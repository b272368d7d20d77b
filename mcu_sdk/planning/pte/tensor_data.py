"""A .ptd file as its schema says it: tensors by their names, which a .pte keeps outside of it.

A .ptd is a flatbuffer (executorch/extension/flat_tensor/serialize/flat_tensor.fbs, identifier "FT01") with a header
behind the identifier (flat_tensor_header.h), then data segments. It is read as planning/pte/program.py reads a .pte.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from mcu_sdk.errors import PteError
from mcu_sdk.planning.pte.flatbuffer import Buffer, Span, Table, corrupt

IDENTIFIER = b"FT01"
_KIND = ".ptd"
_VERSION = 0
_HEADER_MAGIC = b"FH01"
_HEADER_BYTES = 40  # magic u32, length u32, then u64: flatbuffer's offset and size, segments' base and size


@dataclass(frozen=True)
class TensorLayout:
    """ExecuTorch's number of the element type, and sizes in elements."""

    scalar_type: int
    sizes: tuple[int, ...]
    dim_order: tuple[int, ...]


@dataclass(frozen=True)
class StoredData:
    """Bytes of the file. `layout` is None for what is no tensor, but a backend's."""

    span: Span
    layout: TensorLayout | None


def read_tensor_data(data: bytes) -> dict[str, StoredData]:
    """What a .ptd file holds, by its key.

    Raises PteError for a file that is no .ptd of schema "FT01", version 0, and for offsets and lengths that it cannot hold.
    """
    if len(data) < 8 or data[4:8] != IDENTIFIER:
        found = repr(data[4:8]) if len(data) >= 8 else f"only {len(data)} bytes"
        raise PteError(
            f'This is no file of a program\'s data: expected the identifier "FT01" at byte 4, found {found}.',
            hint="Give the .ptd that ExecuTorch wrote beside the .pte.",
        )
    end, base, size = _read_header(data)
    buffer = Buffer(data, end, _KIND)
    root = buffer.table_at(buffer.unpack("<I", 0))
    version = root.scalar(0, "<I")
    if version > _VERSION:
        raise PteError(
            f"A .ptd of schema version {_VERSION} was expected; this one is of version {version}.",
            hint="Export the model with an ExecuTorch 1.x.",
        )
    segments = root.tables(1, lambda t: Span(t.scalar(0, "<Q"), t.scalar(1, "<Q")))
    found_data: dict[str, StoredData] = {}
    for key, number, layout in root.tables(2, _named_data):
        if key in found_data:
            raise corrupt(f"it has {ascii(key)[:80]} twice", _KIND)
        if number >= len(segments) or segments[number].offset + segments[number].size > size:
            raise corrupt(f"{ascii(key)[:80]} lies in segment {number}, which it does not hold", _KIND)
        found_data[key] = StoredData(Span(base + segments[number].offset, segments[number].size), layout)
    return found_data


def _read_header(data: bytes) -> tuple[int, int, int]:
    """Where the flatbuffer ends, the first byte of the segments, and their bytes."""
    if data[8:12] != _HEADER_MAGIC or len(data) < 8 + _HEADER_BYTES:
        raise corrupt("its header is not there", _KIND)
    length, begin, bytes_, base, size = struct.unpack_from("<IQQQQ", data, 12)
    if length < _HEADER_BYTES or begin + bytes_ > len(data) or base + size > len(data):
        raise corrupt(
            f"the header puts {bytes_} bytes of tables from byte {begin} and {size} of data from byte {base} into a file of "
            f"{len(data)} bytes",
            _KIND,
        )
    return begin + bytes_, base, size


def _named_data(table: Table) -> tuple[str, int, TensorLayout | None]:
    layout = table.optional(
        2, lambda t: TensorLayout(t.scalar(0, "<b"), t.integers(1, "i"), t.integers(2, "B"))
    )
    return table.string(0), table.scalar(1, "<I"), layout

"""Flatbuffers, read with every access checked.

An offset is followed only after it has been proved that its target lies in the buffer, and what is decoded is
counted: a corrupt file ends in a PteError, never in a wrong read, and never in more work than a file of its
size can hold.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from mcu_sdk.errors import PteError

_HINT = "Export the model again, or fetch the file again: it may have been cut short or damaged on the way."
_T = TypeVar("_T")


def corrupt(what: str, kind: str = ".pte") -> PteError:
    """The error for a file that contradicts itself or its schema."""
    return PteError(f"The {kind} file is truncated or corrupt: {what}.", hint=_HINT)


@dataclass(frozen=True)
class Span:
    """Bytes of the file: `size` of them from `offset`."""

    offset: int
    size: int


class Buffer:
    """Checked reads from the flatbuffer, which is the first `end` bytes of `data`; `kind` is what errors call the file.

    `budget` falls with every byte decoded. Well-formed files spend each byte about once (only vtables and
    some strings are shared); it keeps a file whose offsets all lead to one large vector from costing minutes.
    """

    def __init__(self, data: bytes, end: int, kind: str = ".pte") -> None:
        self.data = data
        self.end = end
        self.kind = kind
        self.budget = 4 * end

    def corrupt(self, what: str) -> PteError:
        return corrupt(what, self.kind)

    def check(self, position: int, size: int) -> None:
        if position < 4 or position + size > self.end:
            raise self.corrupt(
                f"an offset leads to bytes {position} to {position + size} of a {self.end}-byte program"
            )
        self.budget -= size
        if self.budget < 0:
            raise self.corrupt("its tables share more data than a program does")

    def unpack(self, code: str, position: int) -> int:
        (value,) = struct.unpack_from(code, self.data, position)
        return int(value)

    def table_at(self, position: int) -> Table:
        self.check(position, 4)
        vtable = position - self.unpack("<i", position)
        self.check(vtable, 4)
        vtable_size = self.unpack("<H", vtable)
        if vtable_size < 4 or vtable_size % 2:
            raise self.corrupt(f"the table at byte {position} has a field list of {vtable_size} bytes")
        self.check(vtable, vtable_size)
        # The u16 behind the size, the table's own size, is not to be relied on: writers in Python let tables
        # of different sizes share a field list.
        fields = struct.unpack_from(f"<{vtable_size // 2 - 2}H", self.data, vtable + 4)
        return Table(self, position, fields)


class Table:
    """One table of the flatbuffer; fields are addressed by their number in the schema."""

    def __init__(self, buffer: Buffer, position: int, fields: tuple[int, ...]) -> None:
        self._buffer = buffer
        self._position = position
        self._fields = fields

    def _field(self, number: int, size: int) -> int:
        """The position of a field of `size` bytes, or 0 where it is absent and its default holds."""
        offset = self._fields[number] if number < len(self._fields) else 0
        if offset == 0:
            return 0
        self._buffer.check(self._position + offset, size)
        return self._position + offset

    def scalar(self, number: int, code: str) -> int:
        position = self._field(number, struct.calcsize(code))
        return self._buffer.unpack(code, position) if position else 0

    def double(self, number: int) -> float:
        position = self._field(number, 8)
        return float(struct.unpack_from("<d", self._buffer.data, position)[0]) if position else 0.0

    def _target(self, number: int) -> int:
        position = self._field(number, 4)
        return position + self._buffer.unpack("<I", position) if position else 0

    def table(self, number: int) -> Table | None:
        target = self._target(number)
        return self._buffer.table_at(target) if target else None

    def optional(self, number: int, decode: Callable[[Table], _T]) -> _T | None:
        table = self.table(number)
        return None if table is None else decode(table)

    def _vector(self, number: int, item_size: int) -> Span:
        """Where a vector's items lie, checked; an absent vector is empty."""
        target = self._target(number)
        if not target:
            return Span(0, 0)
        self._buffer.check(target, 4)
        size = self._buffer.unpack("<I", target) * item_size
        self._buffer.check(target + 4, size)
        return Span(target + 4, size)

    def byte_span(self, number: int) -> Span:
        return self._vector(number, 1)

    def string(self, number: int) -> str:
        span = self._vector(number, 1)
        try:
            return self._buffer.data[span.offset : span.offset + span.size].decode()
        except UnicodeDecodeError as error:
            raise self._buffer.corrupt(f"the text at byte {span.offset} is not UTF-8") from error

    def integers(self, number: int, code: str) -> tuple[int, ...]:
        size = struct.calcsize("<" + code)
        span = self._vector(number, size)
        return struct.unpack_from(f"<{span.size // size}{code}", self._buffer.data, span.offset)

    def doubles(self, number: int) -> tuple[float, ...]:
        span = self._vector(number, 8)
        return struct.unpack_from(f"<{span.size // 8}d", self._buffer.data, span.offset)

    def tables(self, number: int, decode: Callable[[Table], _T]) -> tuple[_T, ...]:
        span = self._vector(number, 4)
        offsets = struct.unpack_from(f"<{span.size // 4}I", self._buffer.data, span.offset)
        start = span.offset
        return tuple(decode(self._buffer.table_at(start + 4 * i + o)) for i, o in enumerate(offsets))

    def union(self, number: int) -> tuple[int, Table | None]:
        """A union's type (0: none) and table; it takes two fields of the schema."""
        return self.scalar(number, "<B"), self.table(number + 1)

"""A model's weights in several memories: which constants of the .pte lie in which region, and where there.

Each constant is in the image once, copied out of the .pte by its assembler's .incbin; what no kernel reads (the program
itself) is left out. Kernels find a constant by its region's array and an offset into that.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mcu_sdk.planning.pte.values import ALIGNMENT


@dataclass(frozen=True)
class Constant:
    """`size` bytes from `offset` of the .pte on, of which a step reads `traffic`; `name`: of the first that takes it."""

    name: str
    offset: int
    size: int
    traffic: int

    @property
    def end(self) -> int:
        return self.offset + self.size


@dataclass(frozen=True)
class Piece:
    """The constants in one region, in the order of the file, and their offsets from its begin; `size` bytes in all."""

    region: str
    constants: tuple[Constant, ...]
    offsets: tuple[int, ...]
    size: int

    @property
    def array(self) -> str:
        """The name of the array, and of the function that makes pointers into it."""
        return f"weights_in_{self.region}"

    @property
    def traffic(self) -> int:
        """Bytes of it that a step reads."""
        return sum(constant.traffic for constant in self.constants)

    def to_template(self) -> dict[str, Any]:
        """What the templates print: the constants as {name, from, bytes, at}."""
        rows = [
            {"name": constant.name, "from": constant.offset, "bytes": constant.size, "at": offset}
            for constant, offset in zip(self.constants, self.offsets, strict=True)
        ]
        return {"region": self.region, "array": self.array, "bytes": self.size, "constants": rows}


def room_for(constant: Constant) -> int:
    """Bytes that a constant takes of a piece at most: it keeps what its address in the file is by 16."""
    return _up(constant.offset % ALIGNMENT + constant.size)


def make_pieces(
    constants: Sequence[Constant], regions: Sequence[str], order: Sequence[str]
) -> tuple[Piece, ...]:
    """The pieces of `constants`, which lie in `regions` each, in the order of the board's regions."""
    found = []
    for region in order:
        here = [constant for constant, name in zip(constants, regions, strict=True) if name == region]
        offsets, end = [], 0
        for constant in here:
            offsets.append(end + constant.offset % ALIGNMENT)
            end += room_for(constant)
        if here:
            found.append(Piece(region, tuple(here), tuple(offsets), end))
    return tuple(found)


class Places:
    """Where the bytes of the .pte lie: in one array, or in pieces."""

    def __init__(self, pieces: Sequence[Piece] = ()) -> None:
        rows = [
            (constant.offset, constant.end, piece, offset)
            for piece in pieces
            for constant, offset in zip(piece.constants, piece.offsets, strict=True)
        ]
        self._rows = sorted(rows, key=lambda row: row[0])
        self._begins = [row[0] for row in self._rows]

    def find(self, offset: int, inside: int = 0) -> tuple[Piece, int] | None:
        """The piece and the offset there of byte `inside` of a tensor at `offset`; None where the .pte is whole."""
        if not self._rows:
            return None
        begin, end, piece, place = self._rows[bisect_right(self._begins, offset) - 1]
        assert begin <= offset < end, f"byte {offset} of the .pte is in no constant"
        return piece, place + offset - begin + inside


WHOLE = Places()
"""The .pte as it is."""


def by_region(pieces: Sequence[Piece]) -> Mapping[str, Mapping[str, int]]:
    """For reports: of each region how many constants, their bytes, and how many of these a step reads."""
    return {
        piece.region: {"constants": len(piece.constants), "bytes": piece.size, "traffic": piece.traffic}
        for piece in pieces
    }


def _up(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT

"""What an image writes: the bytes of its LOAD segments, at the addresses where they are stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mcu_sdk.board.board import Board
from mcu_sdk.board.memory import Reserved
from mcu_sdk.errors import BuildError

_HEX_BYTES = 16  # in a record


@dataclass(frozen=True)
class Segment:
    """`data` is stored from `address` on."""

    address: int
    data: bytes

    @property
    def end(self) -> int:
        return self.address + len(self.data)

    def holds(self, address: int, size: int) -> bytes | None:
        """The `size` bytes from `address` on, or None where they are not all in it."""
        offset = address - self.address
        return self.data[offset : offset + size] if 0 <= offset <= len(self.data) - size else None


def read_segments(program: Path) -> tuple[Segment, ...]:
    """The segments of an ELF file that have bytes, by address (ELF's physical one). Raises BuildError if it is none."""
    from elftools.elf.elffile import ELFFile

    try:
        with program.open("rb") as file:
            elf = ELFFile(file)
            if elf["e_machine"] != "EM_ARM":
                raise BuildError(
                    f"{program} is for {elf['e_machine']}, not for Arm.", hint="Build the project again."
                )
            loads = [each for each in elf.iter_segments() if each["p_type"] == "PT_LOAD" and each["p_filesz"]]
            size = program.stat().st_size
            is_whole = all(each["p_offset"] + each["p_filesz"] <= size for each in loads)
            segments = [Segment(each["p_paddr"], each.data()) for each in loads] if is_whole else []
    except BuildError:
        raise
    except Exception as error:  # pyelftools raises all kinds for what is damaged
        raise BuildError(
            f"{program} is no ELF file that can be read: {error}.", hint="Build the project again."
        ) from error
    if not segments:
        raise BuildError(
            f"{program} has no segments to load, or is cut off.", hint="Build the project again."
        )
    return tuple(sorted(segments, key=lambda segment: segment.address))


def check_segments(segments: Sequence[Segment], board: Board) -> None:
    """Raises BuildError for a segment that lies in none of the board's memories, or in words that are reserved, unless it
    has in them what every image has; and where an image has to have that, and does not."""
    for words in board.reserved:
        _check_reserved(segments, words)
    expected = [(words.origin, words.end) for words in board.reserved]
    memories = [*((region.origin, region.end) for region in board.region), *expected]
    for segment in segments:
        if not any(low <= segment.address and segment.end <= high for low, high in memories):
            raise BuildError(
                f"The image writes {segment.address:#010x} to {segment.end - 1:#010x}, which is in none of the memories "
                f"of {board.name}: {', '.join(region.name for region in board.region)}.",
                hint="Was it linked with the project's cmake/board.ld? Build the project again.",
            )


def _check_reserved(segments: Sequence[Segment], words: Reserved) -> None:
    place = f"the reserved words {words.name!r} ({words.origin:#010x} to {words.end - 1:#010x})"
    touching = [segment for segment in segments if segment.address < words.end and words.origin < segment.end]
    if not touching:
        if words.expected:
            raise BuildError(
                f"The image leaves out {place}: they would be erased with what lies around them, which locks the chip.",
                hint="Build the project again; a linker script of your own has to keep the section.",
            )
        return
    found = touching[0].holds(words.origin, words.size)
    if not words.expected or found != words.expected:
        raise BuildError(
            f"The image writes {place}, which may lock the chip for good"
            + (f": {found.hex()}, and {words.contents} was expected." if found and words.contents else "."),
            hint="Nothing was written. See what in app/ or in the linker script places data there.",
        )


def to_hex(segments: Sequence[Segment]) -> str:
    """The segments as Intel HEX with 32-bit addresses (Intel, "Hexadecimal Object File Format Specification", 1988)."""
    lines = []
    upper = None
    for segment in segments:
        at = segment.address
        while at < segment.end:
            if at >> 16 != upper:
                upper = at >> 16
                lines.append(_record(0, 4, upper.to_bytes(2, "big")))
            size = min(_HEX_BYTES, segment.end - at, 0x10000 - (at & 0xFFFF))
            offset = at - segment.address
            lines.append(_record(at & 0xFFFF, 0, segment.data[offset : offset + size]))
            at += size
    return "\n".join([*lines, _record(0, 1, b""), ""])


def _record(address: int, kind: int, data: bytes) -> str:
    """A line: the sum of all its bytes, the last one included, is 0 modulo 256."""
    body = bytes((len(data), address >> 8, address & 0xFF, kind)) + data
    return ":" + (body + bytes((-sum(body) & 0xFF,))).hex().upper()

"""UF2: a boot loader that shows itself as a drive, and takes one file (github.com/microsoft/uf2, "File format")."""

from __future__ import annotations

import errno
import os
import re
import shlex
import struct
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from mcu_sdk.board.flash import Uf2
from mcu_sdk.console import step
from mcu_sdk.errors import BoardError, DeviceMissingError, RunError, UsageError
from mcu_sdk.targets.flash.runner import Capabilities, FlashJob, FlashRunner, Step
from mcu_sdk.targets.flash.segments import Segment

MAGIC_START = (0x0A324655, 0x9E5D5157)
MAGIC_END = 0x0AB16F30
FAMILY_ID_PRESENT = 0x2000
BLOCK_BYTES = 512
PAGE_BYTES = 256
"""Bytes of the image in a block, and what their address is a multiple of: what every boot loader takes."""

INFO = "INFO_UF2.TXT"
_LARGEST_INFO = 4096
_ERASED = b"\xff"


def to_uf2(segments: Sequence[Segment], family: int) -> bytes:
    """The segments as UF2 blocks of one page each. What a page has besides the image stays erased.

    Little-endian words of a block: two magic numbers, flags, address, bytes, number, how many, family; 476 bytes of
    data; a magic number.
    """
    pages: dict[int, bytearray] = {}
    for segment in segments:
        for offset, byte in enumerate(segment.data):
            page, place = divmod(segment.address + offset, PAGE_BYTES)
            pages.setdefault(page, bytearray(_ERASED * PAGE_BYTES))[place] = byte
    return b"".join(
        struct.pack(
            "<8I476sI",
            *MAGIC_START,
            FAMILY_ID_PRESENT,
            page * PAGE_BYTES,
            PAGE_BYTES,
            number,
            len(pages),
            family,
            bytes(pages[page]),
            MAGIC_END,
        )
        for number, page in enumerate(sorted(pages))
    )


def mounted() -> list[Path]:
    """The folders at which drives are mounted."""
    if sys.platform == "linux":
        lines = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
        # A space in a path is written \\040.
        names = [
            re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), line.split(" ")[1]) for line in lines
        ]
        return [Path(name) for name in names]
    if sys.platform == "win32":
        return [Path(f"{letter}:/") for letter in "DEFGHIJKLMNOPQRSTUVWXYZ"]
    return sorted(Path("/Volumes").glob("*"))


def board_id(drive: Path) -> str | None:
    """What a drive's INFO_UF2.TXT has as Board-ID; None for a drive that is no boot loader's."""
    try:
        with (drive / INFO).open("rb") as file:
            text = file.read(_LARGEST_INFO).decode("utf-8", "replace")
    except OSError:
        return None
    found = re.search(r"^Board-ID:\s*(\S+)", text, re.MULTILINE | re.IGNORECASE)
    return found[1] if found else ""


def find_drive(wanted: str, named: str | None, drives: Sequence[Path]) -> Path:
    """The drive with this Board-ID: `named`, or the only one.

    Raises DeviceMissingError if there is none, UsageError if there are several, BoardError if it is another board's.
    """
    if named is not None:
        found = board_id(Path(named))
        if found is None:
            raise DeviceMissingError(
                f"{named!r} is no boot loader's drive: it has no {INFO}.",
                hint="--probe takes the folder at which the drive is mounted.",
            )
        if found != wanted:
            raise BoardError(
                f"The drive {named!r} is the boot loader of {found!r}; {wanted!r} was expected.",
                hint="Nothing was written. Is this the project's board?",
            )
        return Path(named)
    all_ids = {drive: found for drive in drives if (found := board_id(drive)) is not None}
    matching = [drive for drive, found in all_ids.items() if found == wanted]
    if len(matching) > 1:
        raise UsageError(
            f"Several drives are a {wanted}: {', '.join(map(str, matching))}.", hint="Name one with --probe."
        )
    if matching:
        return matching[0]
    if all_ids:
        listed = ", ".join(f"{drive} ({found})" for drive, found in all_ids.items())
        raise BoardError(
            f"There is no boot loader of {wanted!r}, but of another board: {listed}.",
            hint="Nothing was written. Plug in the project's board.",
        )
    raise DeviceMissingError(
        f"No drive of the boot loader of {wanted!r} is mounted.",
        hint="Hold the board's BOOT button while plugging it in; where drives are not mounted by themselves: "
        "udisksctl mount -b /dev/sdX1.",
    )


class _Uf2(FlashRunner):
    """Copies a file to a drive. The boot loader checks the family, writes, and starts the firmware."""

    name = "uf2"
    title = "the UF2 boot loader"
    capabilities = Capabilities(
        probe="the folder at which the boot loader's drive is mounted", checks_chip=True
    )

    def files(self, job: FlashJob) -> Mapping[Path, bytes]:
        return {_file(job): to_uf2(job.segments, _parameters(job).family)}

    def steps(self, job: FlashJob) -> list[Step]:
        return []

    def lines(self, job: FlashJob) -> list[str]:
        drive = job.probe or f"THE-DRIVE-OF-{_parameters(job).board_id}"
        return [shlex.join(("cp", str(_file(job)), drive))]

    def flash(self, job: FlashJob) -> None:
        drive = find_drive(_parameters(job).board_id, job.probe, mounted())
        self.write_files(job)
        content = _file(job).read_bytes()
        with step(f"Writing {job.bytes:,} bytes to {drive}"):
            copy(content, drive)


def copy(content: bytes, drive: Path) -> None:
    """Write the file to the drive. Raises RunError where not all of it could be."""
    written = False
    try:
        with (drive / "firmware.uf2").open("wb", buffering=0) as file:
            view = memoryview(content)
            while view:
                view = view[file.write(view) :]
            written = True
            os.fsync(file.fileno())
    except OSError as error:
        # With the last block the board starts its firmware, and the drive is gone before it can say that all is well.
        if written and error.errno in (errno.EIO, errno.ENODEV, errno.ENXIO, errno.ENOENT):
            return
        raise RunError(
            f"The image could not be written to {drive}: {error.strerror}.",
            hint="Was it unplugged? The board holds half an image now: bring its boot loader up and flash it again.",
        ) from error


def _parameters(job: FlashJob) -> Uf2:
    assert job.board.flash is not None and job.board.flash.uf2 is not None
    return job.board.flash.uf2


def _file(job: FlashJob) -> Path:
    return job.beside("firmware.uf2")


RUNNER = _Uf2()

"""UF2, against a reader written after the format's specification, and drives that are folders."""

from __future__ import annotations

import errno
import io
import random
import struct
from pathlib import Path
from typing import Any

import pytest

from mcu_sdk.errors import BoardError, DeviceMissingError, RunError, UsageError
from mcu_sdk.targets.flash import uf2
from mcu_sdk.targets.flash.runner import flash_runner
from mcu_sdk.targets.flash.segments import Segment
from tests.targets.flash.images import FLASH, IMAGE, RAM, make_job

RP2350 = 0xE48BFF59
TABLE = {"uf2": {"family": RP2350, "board_id": "RP2350"}}


def read_uf2(data: bytes) -> dict[int, int]:
    """The bytes by address, as a boot loader takes them: magic numbers, sizes, numbers and the family have to be right."""
    assert len(data) % 512 == 0
    count = len(data) // 512
    found: dict[int, int] = {}
    for number in range(count):
        block = data[512 * number : 512 * number + 512]
        start0, start1, flags, address, size, index, total, family = struct.unpack("<8I", block[:32])
        assert (start0, start1, block[:4]) == (0x0A324655, 0x9E5D5157, b"UF2\n")
        assert struct.unpack("<I", block[-4:]) == (0x0AB16F30,)
        assert flags == 0x2000 and family == RP2350  # the family is there; the block is for the main flash
        assert (index, total) == (number, count)
        assert size == 256 and address % 256 == 0
        assert block[32 + size : -4] == bytes(476 - size)
        for offset, byte in enumerate(block[32 : 32 + size]):
            assert found.setdefault(address + offset, byte) is byte  # no page comes twice
    return found


def test_the_file_holds_the_image_and_nothing_else() -> None:
    draw = random.Random(1)
    segments = [Segment(0x1000_0000, draw.randbytes(700)), Segment(0x1000_0300, draw.randbytes(3)), Segment(0x1001_0080, draw.randbytes(300))]  # fmt: skip
    found = read_uf2(uf2.to_uf2(segments, RP2350))
    for segment in segments:
        assert bytes(found.pop(segment.address + at) for at in range(len(segment.data))) == segment.data
    assert set(found.values()) == {0xFF}  # what is left of the pages is not programmed
    assert len(found) == (4 + 2) * 256 - 1003


def drive(folder: Path, name: str, board: str | None) -> Path:
    path = folder / name
    path.mkdir()
    if board is not None:
        (path / "INFO_UF2.TXT").write_text(f"UF2 Bootloader v1.0\r\nModel: Demo\r\nBoard-ID: {board}\r\n")
    return path


def test_the_drive_is_found_by_its_board_id(tmp_path: Path) -> None:
    stick, other, right = (
        drive(tmp_path, *each) for each in (("a", None), ("b", "RPI-RP2"), ("c", "RP2350"))
    )
    assert uf2.find_drive("RP2350", None, [stick, other, right]) == right
    assert uf2.find_drive("RP2350", str(right), []) == right
    with pytest.raises(DeviceMissingError, match="No drive of the boot loader of 'RP2350'"):
        uf2.find_drive("RP2350", None, [stick, tmp_path / "gone"])
    with pytest.raises(BoardError, match=r"another board: .*b \(RPI-RP2\)"):
        uf2.find_drive("RP2350", None, [stick, other])
    second = drive(tmp_path, "d", "RP2350")
    with pytest.raises(UsageError, match=f"Several drives are a RP2350: {right}, {second}"):
        uf2.find_drive("RP2350", None, [right, second])
    with pytest.raises(DeviceMissingError, match="has no INFO_UF2"):
        uf2.find_drive("RP2350", str(stick), [right])
    with pytest.raises(BoardError, match="boot loader of 'RPI-RP2'; 'RP2350' was expected"):
        uf2.find_drive("RP2350", str(other), [right])


def test_mounted_drives_are_listed() -> None:
    assert Path("/") in uf2.mounted()


def test_flashing_copies_the_file(tmp_path: Path) -> None:
    right = drive(tmp_path, "drive", "RP2350")
    job = make_job(tmp_path, TABLE, probe=str(right))
    runner = flash_runner("uf2")
    runner.check(job)
    assert runner.lines(job) == [f"cp {tmp_path}/firmware.uf2 {right}"]
    runner.flash(job)
    found = read_uf2((right / "firmware.uf2").read_bytes())
    assert bytes(found[FLASH + at] for at in range(len(IMAGE))) == IMAGE
    with pytest.raises(UsageError, match="200 bytes in ram, which is RAM"):
        runner.check(make_job(tmp_path, TABLE, {RAM: bytes(200)}))


class Drive(io.BytesIO):
    """A file on a drive that goes away after `after` bytes."""

    def __init__(self, after: int, error: int) -> None:
        super().__init__()
        self.after, self.error = after, error

    def write(self, data: Any) -> int:
        if self.tell() >= self.after:
            raise OSError(self.error, "gone")
        return super().write(data[:1000])


@pytest.mark.parametrize(("after", "error", "fails"), [(5000, errno.EIO, False), (1000, errno.EIO, True), (5000, errno.ENOSPC, True)])  # fmt: skip
def test_a_drive_that_goes_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int, error: int, fails: bool
) -> None:
    """With the last block the boot loader may leave at once; before it, it is an error."""
    monkeypatch.setattr(Path, "open", lambda *_, **__: Drive(after, error))

    def sync(descriptor: int) -> None:
        raise OSError(error, "gone")

    monkeypatch.setattr(uf2.os, "fsync", sync)
    monkeypatch.setattr(Drive, "fileno", lambda self: 0)
    if fails:
        with pytest.raises(RunError, match=r"could not be written .*: gone"):
            uf2.copy(bytes(5000), tmp_path)
    else:
        uf2.copy(bytes(5000), tmp_path)

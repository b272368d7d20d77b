from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any

import pytest
from intelhex import IntelHex

from mcu_sdk.errors import BuildError
from mcu_sdk.targets.flash.segments import Segment, check_segments, read_segments, to_hex
from tests.targets.flash.images import FLASH, IMAGE, RAM, make_board, make_elf

LOCK = {"name": "lock", "origin": FLASH + 0x40400, "size": 16}
SAFE = "ff" * 12 + "feffffff"
CONFIG = {"name": "config", "origin": FLASH - 16, "size": 16, "contents": SAFE}


def test_segments_are_what_the_file_loads(tmp_path: Path) -> None:
    program = make_elf(tmp_path / "e.elf", {RAM: b"data", FLASH: IMAGE})
    assert read_segments(program) == (Segment(FLASH, IMAGE), Segment(RAM, b"data"))


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    program = make_elf(tmp_path / "e.elf", {FLASH: IMAGE})
    whole = program.read_bytes()
    for damaged, complaint in (
        (b"", "no ELF file"),
        (whole[:40], "no ELF file"),
        (whole[:80], "no ELF file"),
        (whole[:84], "cut off"),
        (whole[:-1], "cut off"),
        (whole[:18] + b"\x3e\0" + whole[20:], "not for Arm"),
    ):
        program.write_bytes(damaged)
        with pytest.raises(BuildError, match=complaint):
            read_segments(program)
    with pytest.raises(BuildError, match="no ELF file"):
        read_segments(tmp_path / "nothing.elf")
    with pytest.raises(BuildError, match="no segments"):
        read_segments(make_elf(program, {}))


def test_a_damaged_file_is_refused_by_name_or_read(tmp_path: Path) -> None:
    draw = random.Random(1)
    program = make_elf(tmp_path / "e.elf", {FLASH: IMAGE, RAM: b"data"})
    whole = program.read_bytes()
    refused = 0
    for _ in range(300):
        damaged = bytearray(whole[: draw.choice([len(whole), draw.randrange(len(whole))])])
        for _ in range(draw.randint(0, 3)):
            if damaged:
                damaged[draw.randrange(min(len(damaged), 116))] = draw.randrange(256)
        program.write_bytes(damaged)
        try:
            read_segments(program)
        except BuildError:
            refused += 1
    assert 100 < refused < 300


def check(segments: dict[int, bytes], **changes: Any) -> None:
    check_segments([Segment(*each) for each in segments.items()], make_board(None, **changes))


def test_an_image_lies_in_the_board_s_memories() -> None:
    check({FLASH: IMAGE, RAM: IMAGE})
    for wrong in (FLASH - 4, FLASH + (1 << 18) - 4, 0, 0xFFFF_FF00):
        with pytest.raises(BuildError, match="in none of the memories of demo: flash, ram"):
            check({FLASH: IMAGE, wrong: IMAGE})


@pytest.mark.parametrize("address", [LOCK["origin"], LOCK["origin"] - 3, LOCK["origin"] + 15])
def test_lock_words_are_not_written(address: int) -> None:
    with pytest.raises(BuildError, match=r"reserved words 'lock' .* lock the chip for good"):
        check({FLASH: IMAGE, address: b"\xff" * 4}, reserved=(LOCK,))
    check({FLASH: IMAGE}, reserved=(LOCK,))


def test_lock_words_beside_the_image_have_to_be_the_safe_ones() -> None:
    safe = bytes.fromhex(SAFE)
    check({FLASH: IMAGE, FLASH - 16: safe}, reserved=(CONFIG,))
    for wrong, complaint in (
        ({}, "leaves out the reserved words 'config'"),
        ({FLASH - 16: bytes(16)}, f"{'00' * 16}, and {SAFE} was expected"),
        ({FLASH - 16: safe[:-1]}, "lock the chip for good"),
        ({FLASH - 12: safe[4:]}, "lock the chip for good"),
    ):
        with pytest.raises(BuildError, match=complaint):
            check({FLASH: IMAGE, **wrong}, reserved=(CONFIG,))


@pytest.mark.parametrize("address", [0, 0xFFF3, 0x0001_FFFF, FLASH, 0x6000_0000, 0xFFFF_FF00])
def test_intel_hex_holds_the_same_bytes(address: int) -> None:
    segments = [Segment(address, IMAGE), Segment(address ^ 0x1000_0000, b"\xab")]
    text = to_hex(sorted(segments, key=lambda each: each.address))
    assert max(map(len, text.splitlines())) == 43
    found = IntelHex(io.StringIO(text))  # checks every sum
    assert {found.addresses()[0], found.addresses()[-1]} <= {
        at for each in segments for at in (each.address, each.end - 1)
    }
    for each in segments:
        assert bytes(found.tobinarray(start=each.address, size=len(each.data))) == each.data
    assert len(found.addresses()) == len(IMAGE) + 1

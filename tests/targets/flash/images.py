"""Boards and ELF files for the tests of the runners."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mcu_sdk.board.board import Board
from mcu_sdk.targets.flash.runner import FlashJob
from mcu_sdk.targets.flash.segments import read_segments

FLASH, RAM = 0x0800_0000, 0x2000_0000
VECTORS = struct.pack("<2I", RAM + 0x1000, FLASH + 0x101)
IMAGE = VECTORS + bytes(range(200))


def make_board(flash: Mapping[str, Any] | None, **changes: Any) -> Board:
    """A Cortex-M4 with flash and RAM, which `flash` writes."""
    content: dict[str, Any] = {
        "name": "demo",
        "description": "flash and ram",
        "stack_bytes": 2048,
        "core": {"cpu": "cortex-m4", "fpu": True, "flags": ("-mcpu=cortex-m4", "-mfloat-abi=hard")},
        "region": (
            {"name": "flash", "origin": FLASH, "size": 1 << 18, "kind": "rom"},
            {"name": "ram", "origin": RAM, "size": 1 << 16, "kind": "ram"},
        ),
        "placement": dict.fromkeys(("vectors", "code", "weights"), "flash")
        | dict.fromkeys(("data", "arena", "kv_cache", "stack"), "ram"),
        "uart": {"driver": "cmsdk", "base": 0x40000000, "clock_hz": 25_000_000},
        "flash": flash,
    }
    return Board.model_validate(content | changes)


def make_elf(path: Path, segments: Mapping[int, bytes], *, machine: int = 40) -> Path:
    """An ELF file of Arm's with these LOAD segments: 52 bytes of header, 32 for each segment, and the bytes."""
    at = 52 + 32 * len(segments)
    headers, body = b"", b""
    for address, data in segments.items():
        headers += struct.pack("<8I", 1, at + len(body), address, address, len(data), len(data), 5, 4)
        body += data
    ident = b"\x7fELF" + bytes((1, 1, 1)) + bytes(9)
    header = struct.pack(
        "<HHIIIIIHHHHHH", 2, machine, 1, FLASH, 52, 0, 0x0500_0000, 52, 32, len(segments), 40, 0, 0
    )
    path.write_bytes(ident + header + headers + body)
    return path


def make_job(
    place: Path,
    flash: Mapping[str, Any] | None,
    segments: Mapping[int, bytes] | None = None,
    probe: str | None = None,
    **changes: Any,
) -> FlashJob:
    """An image in the flash of `make_board`, or these segments."""
    program = make_elf(place / "firmware.elf", segments or {FLASH: IMAGE})
    return FlashJob(make_board(flash, **changes), program, read_segments(program), probe, timeout=60)

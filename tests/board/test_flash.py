"""The table [flash] of a board.toml, and how a console is named on USB."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcu_sdk.board.board import load_board
from mcu_sdk.board.devices import UsbPort
from mcu_sdk.errors import BoardError
from tests.board.test_board import GOOD, write


def test_every_runner_has_a_table(tmp_path: Path) -> None:
    board = load_board(
        write(
            tmp_path,
            GOOD
            + """usb = [{ vid = 0x1366, pid = 0x1051 }, { vid = 0x1366, pid = 0x1069, interface = 2 }]
[flash]
default = "openocd"
chip = { address = 0x10000100, value = 0x52840 }
[flash.pyocd]
target = "nrf52840"
[flash.openocd]
config = ["interface/jlink.cfg", "target/nrf52.cfg"]
before = ["adapter speed 1000"]
[flash.gdb]
[flash.uf2]
family = 0xe48bff59
board_id = "RP2350"
[flash.jlink]
device = "nRF52840_xxAA"
[flash.teensy]
mcu = "TEENSY41"
""",
        )
    )
    assert board.flash is not None and board.uart is not None
    assert board.flash.runners == ("openocd", "pyocd", "gdb", "uf2", "jlink", "teensy")
    assert board.flash.chip is not None and board.flash.chip.mask == 0xFFFF_FFFF
    assert board.uart.usb[1] == UsbPort(vid=0x1366, pid=0x1069, interface=2)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "needs a table for one of its runners: pyocd, openocd"),
        ('default = "uf2"\n[flash.pyocd]\ntarget = "k64f"', r"there is no \[flash.uf2\]"),
        ('[flash.gdb]\n[flash.pyocd]\ntarget = "k64f"', "has pyocd and gdb; default says"),
        ('[flash.pyocd]\ntarget = "--erase=chip"', "target"),
        ('[flash.gdb]\nbefore = ["shell rm x"]', "before"),
        ('[flash.gdb]\nremote = "| sh"', "remote"),
        ('[flash.openocd]\nconfig = ["[exec true]"]', "config"),
        ("chip = { address = 2, value = 1 }\n[flash.gdb]", "no multiple of 4"),
        ("chip = { address = 4, value = 0x1ff, mask = 0xff }\n[flash.gdb]", "outside of mask"),
        ('command = ["pyocd", "flash", "{elf}"]', "no such key"),
    ],
)
def test_what_describes_no_way_to_flash_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(BoardError, match=complaint):
        load_board(write(tmp_path, f"{GOOD}[flash]\n{text}\n"))

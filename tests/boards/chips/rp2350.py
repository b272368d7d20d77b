"""Raspberry Pi RP2350 (RP2350 datasheet); its registers are a table in the board's folder."""

from __future__ import annotations

from collections.abc import Callable

from mcu_sdk import resources
from mcu_sdk.board.board import Board
from tests.boards.bus import Bus, Chip
from tests.boards.registers import Register, read_table

_CRYSTAL = 12e6


class _Uart:
    """12.1: a PL011."""

    def __init__(self, name: str) -> None:
        pass

    def read(self, bus: Bus, register: Register) -> int | None:
        if register.name == "UARTFR":
            return 0x80 | (0 if bus.waiting and self._on(bus, 9, 1) else 0x10)
        return bus.receive() if register.name == "UARTDR" else None

    def write(self, bus: Bus, register: Register, value: int) -> None:
        if register.name in ("UARTIBRD", "UARTFBRD", "UARTLCR_H") and bus.get("UART0.UARTCR.UARTEN"):
            bus.complain(f"{register.full_name} is written while the UART is on")
        if register.name in ("UARTIBRD", "UARTFBRD"):
            bus.set("UART0.UARTLCR_H", 0)  # the divisor counts once this is written
        if register.name == "UARTDR":
            if not self._on(bus, 8, 0) or bus.get("UART0.UARTLCR_H.WLEN") != 3:
                bus.complain("a byte is written to a UART that does not send")
            bus.send(value)

    @staticmethod
    def _on(bus: Bus, direction: int, pin: int) -> bool:
        needed = 1 << direction | 1
        pad = bus.value(f"PADS_BANK0.GPIO{pin}")
        open_pad = not pad >> 8 & 1 and (pin == 0 or bool(pad >> 6 & 1))  # ISO; IE where it is an input
        chosen = bus.get(f"IO_BANK0.GPIO{pin}_CTRL.FUNCSEL") == 2
        return bus.value("UART0.UARTCR") & needed == needed and chosen and open_pad


def _vco(bus: Bus) -> float:
    return _CRYSTAL / max(bus.get("PLL_SYS.CS.REFDIV"), 1) * bus.value("PLL_SYS.FBDIV_INT")


def _pll(bus: Bus) -> float:
    if bus.value("PLL_SYS.PWR") & 0x29:
        return 0
    return _vco(bus) / max(bus.get("PLL_SYS.PRIM.POSTDIV1"), 1) / max(bus.get("PLL_SYS.PRIM.POSTDIV2"), 1)


def _core(bus: Bus) -> float:
    reference = _CRYSTAL if bus.get("CLOCKS.CLK_REF_CTRL.SRC") == 2 else 0
    source = _pll(bus) if bus.get("CLOCKS.CLK_SYS_CTRL.SRC") else reference
    chosen = bus.get("CLOCKS.CLK_SYS_CTRL.AUXSRC") == 0 or not bus.get("CLOCKS.CLK_SYS_CTRL.SRC")
    return source / bus.get("CLOCKS.CLK_SYS_DIV.INT") if chosen else 0


def _uart(bus: Bus) -> float:
    on = bus.get("CLOCKS.CLK_PERI_CTRL.ENABLE") and not bus.get("CLOCKS.CLK_PERI_CTRL.AUXSRC")
    return _core(bus) / bus.get("CLOCKS.CLK_PERI_DIV.INT") if on else 0


def _baud(bus: Bus) -> float:
    """12.1.3: the divisor in sixty-fourths."""
    return _uart(bus) / 16 / max(bus.value("UART0.UARTIBRD") + bus.value("UART0.UARTFBRD") / 64, 1)


def _write(bus: Bus, register: Register, value: int) -> None:
    name = register.full_name
    if name == "RESETS.RESET":
        bus.set("RESETS.RESET_DONE", ~value & 0x1FFFFFFF)
    if name == "XOSC.CTRL" and value == 0xFABAA0:
        bus.set("XOSC.STATUS", 1 << 31 | 1 << 12)
    if name == "CLOCKS.CLK_REF_CTRL":
        bus.set("CLOCKS.CLK_REF_SELECTED", 1 << (value & 3))
    if name == "CLOCKS.CLK_SYS_CTRL":
        bus.set("CLOCKS.CLK_SYS_SELECTED", 1 << (value & 1))
    if register.peripheral == "PLL_SYS":
        running = not bus.value("PLL_SYS.PWR") & 0x21 and bus.value("PLL_SYS.FBDIV_INT")
        bus.set("PLL_SYS.CS", bus.value("PLL_SYS.CS") & 0x7FFFFFFF | (1 << 31 if running else 0))


def _check(bus: Bus, register: Register, value: int) -> str:
    name = register.full_name
    if name == "CLOCKS.CLK_REF_CTRL" and value & 3 == 2 and not bus.get("XOSC.STATUS.STABLE"):
        return "the reference clock is the crystal's before it runs"
    locked = bus.get("PLL_SYS.CS.LOCK") and 750e6 <= _vco(bus) <= 1600e6 and 0 < _pll(bus) <= 150e6
    if name == "CLOCKS.CLK_SYS_CTRL" and value & 1 and not locked:
        return f"the system takes the PLL's clock: {_vco(bus):,.0f} Hz in it, {_pll(bus):,.0f} out of it"
    if name == "PLL_SYS.FBDIV_INT" and bus.get("CLOCKS.CLK_SYS_CTRL.SRC"):
        return "the PLL changes while the system runs from it"
    return ""


def _boot(board: Board, memory: Callable[[int, int], bytes]) -> int:
    """5.9.5: a block in the first 4 KB, that says executable, secure, Arm, RP2350; without a vector table's address in it
    the image's first bytes are the table."""
    first = memory(0x1000_0000, 4096)
    words = [int.from_bytes(first[i : i + 4], "little") for i in range(0, 4096, 4)]
    start = words.index(0xFFFFDED3)
    assert words[start + 1 : start + 5] == [0x10210142, 0x000001FF, 0, 0xAB123579]
    return 0x1000_0000


_GATED = {"IO_BANK0": "IO_BANK0", "PADS_BANK0": "PADS_BANK0", "PLL_SYS": "PLL_SYS", "UART0": "UART0"}

CHIP = Chip(
    registers=read_table(resources.boards() / "pico2" / "registers.toml"),
    uart="UART0",
    model=_Uart,
    gates=dict.fromkeys(("RESETS", "CLOCKS", "XOSC"), "")
    | {name: f"!RESETS.RESET.{bit}" for name, bit in _GATED.items()},
    core_hz=_core,
    uart_hz=_uart,
    baud=_baud,
    write=_write,
    check=_check,
    # how long the crystal is waited for; a pull-up instead of a pull-down; the divider within 2 %; FEN
    free={
        "XOSC.STARTUP": 0xEB,
        "PADS_BANK0.GPIO1": 3 << 2,
        "UART0.UARTIBRD": 0x1,
        "UART0.UARTFBRD": 0x18,
        "UART0.UARTLCR_H": 1 << 4,
    },
    boot=_boot,
)

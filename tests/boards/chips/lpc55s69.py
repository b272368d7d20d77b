"""NXP LPC55S69 (UM11126)."""

from __future__ import annotations

from collections.abc import Callable

from mcu_sdk.board.board import Board
from tests.boards.bus import Bus, Chip
from tests.boards.registers import Register, read_svd

_TIMES = (11, 22, 33, 44, 55, 66, 84, 104, 119, 129, 144, 150)
"""4.5.60, FMCCR.FLASHTIM: the highest clock with 0, 1, ... in it, in MHz."""


class _Usart:
    """36 USART, in a Flexcomm that was made one."""

    def __init__(self, name: str) -> None:
        pass

    def read(self, bus: Bus, register: Register) -> int | None:
        if register.name == "FIFOSTAT":
            return 0x30 | (0x40 if bus.waiting and self._on(bus, 2, 29) else 0)
        return bus.receive() if register.name == "FIFORD" else None

    def write(self, bus: Bus, register: Register, value: int) -> None:
        if register.name == "FIFOWR":
            if not self._on(bus, 1, 30):
                bus.complain("a byte is written to a USART that does not send")
            bus.send(value)

    @staticmethod
    def _on(bus: Bus, fifo: int, pin: int) -> bool:
        """Function 1, and DIGIMODE."""
        return (
            bus.value("USART0.CFG") & 0xF == 5
            and bool(bus.value("USART0.FIFOCFG") & fifo)
            and bus.value("FLEXCOMM0.PSELID") & 7 == 1
            and bus.value(f"IOCON.PIO0_{pin}") & 0x10F == 0x101
        )


def _core(bus: Bus) -> float:
    if bus.value("SYSCON.MAINCLKSELB"):
        return 0
    clock = {0: 12e6, 3: 96e6 if bus.get("ANACTRL.FRO192M_CTRL.ENA_96MHZCLK") else 0}
    return clock.get(bus.value("SYSCON.MAINCLKSELA"), 0) / ((bus.value("SYSCON.AHBCLKDIV") & 255) + 1)


def _uart(bus: Bus) -> float:
    chosen = bus.value("SYSCON.FCCLKSEL0") & 7
    return {0: _core(bus), 2: 12e6 if bus.get("ANACTRL.FRO192M_CTRL.ENA_12MHZCLK") else 0}.get(chosen, 0)


def _check(bus: Bus, register: Register, value: int) -> str:
    if register.full_name == "SYSCON.MAINCLKSELA" and value == 3:
        if not bus.get("ANACTRL.FRO192M_CTRL.ENA_96MHZCLK"):
            return "the processor takes the oscillator's 96 MHz before they are on"
        if _TIMES[bus.get("SYSCON.FMCCR.FLASHTIM")] < 96:
            return "the flash has too few wait states for 96 MHz"
    return ""


def _boot(board: Board, memory: Callable[[int, int], bytes]) -> int:
    """10.3, the image's header in the vector table: a plain image has a type of 0."""
    kind = int.from_bytes(memory(0x24, 4), "little")
    assert kind == 0, f"the boot ROM takes the image for one of type {kind:#x}"
    return 0


CHIP = Chip(
    registers=read_svd("LPC55S69_cm33_core0.xml"),
    uart="USART0",
    model=_Usart,
    gates={
        "SYSCON": "",
        "ANACTRL": "SYSCON.AHBCLKCTRL2.ANALOG_CTRL",
        "IOCON": "SYSCON.AHBCLKCTRL0.IOCON",
        "FLEXCOMM0": "SYSCON.AHBCLKCTRL1.FC0",
        "USART0": "SYSCON.AHBCLKCTRL1.FC0",
    },
    core_hz=_core,
    uart_hz=_uart,
    baud=lambda bus: (
        _uart(bus) / ((bus.value("USART0.OSR") & 15) + 1) / ((bus.value("USART0.BRG") & 65535) + 1)
    ),
    check=_check,
    free={"IOCON.PIO0_29": 1 << 5},  # a pull-up
    boot=_boot,
    memory_gates={"sram1234": " ".join(f"SYSCON.AHBCLKCTRL0.SRAM_CTRL{i}" for i in range(1, 5))},
)

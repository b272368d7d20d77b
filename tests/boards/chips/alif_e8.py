"""Alif Ensemble E8 ("Hardware Reference Manual"); its registers are a table in the folder of the high-efficiency core's
board, and the same for both cores."""

from __future__ import annotations

from mcu_sdk import resources
from tests.boards.bus import Bus, Chip
from tests.boards.registers import Register, read_table

_APB, _OSCILLATOR = 100e6, 38.4e6


class _Uart:
    """A 16550: what lies at the first two addresses depends on DLAB."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.divider = 0

    def read(self, bus: Bus, register: Register) -> int | None:
        if register.name == "LSR":
            return 0x60 | (1 if bus.waiting and self._chosen(bus, 0) and bus.get("PINMUX.P1_0.REN") else 0)
        if register.name == "RBR_THR_DLL" and not bus.get("UART2.LCR.DLAB"):
            return bus.receive()
        return None

    def write(self, bus: Bus, register: Register, value: int) -> None:
        divides = bus.get("UART2.LCR.DLAB")
        if register.name == "RBR_THR_DLL" and divides:
            self.divider = self.divider & 0xFF00 | value
        elif register.name == "IER_DLH" and divides:
            self.divider = self.divider & 0xFF | value << 8
        elif register.name == "IER_DLH" and value:
            bus.complain("an interrupt of the UART is turned on")
        elif register.name == "RBR_THR_DLL":
            if not self._chosen(bus, 1) or bus.value("UART2.LCR") != 3 or not self.divider:
                bus.complain("a byte is written to a UART that does not send")
            bus.send(value)

    @staticmethod
    def _chosen(bus: Bus, pin: int) -> bool:
        return bus.get(f"PINMUX.P1_{pin}.PINMUX") == 1


def _uart(bus: Bus) -> float:
    return _APB if bus.get("CLKCTL_PER_SLV.UART_CTRL.CLK_SEL2") else _OSCILLATOR


def _baud(bus: Bus) -> float:
    assert isinstance(bus.uart, _Uart)
    return _uart(bus) / 16 / max(bus.uart.divider, 1)


def chip(core_hz: float) -> Chip:
    """The chip as one of its cores sees it, which the secure enclave has given this clock."""
    return Chip(
        registers=read_table(resources.boards() / "alif-ensemble-e8-he" / "registers.toml"),
        uart="UART2",
        model=_Uart,
        gates={"CLKCTL_PER_SLV": "", "PINMUX": "", "UART2": "CLKCTL_PER_SLV.UART_CTRL.CKEN2"},
        core_hz=lambda bus: core_hz,
        uart_hz=_uart,
        baud=_baud,
        free={"UART2.IIR_FCR": 0x6},  # the queues are empty already
        spaces=((0x1A60_0000, 0x1_0000),),
    )

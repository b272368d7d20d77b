"""Nordic nRF52840 (Product Specification v1.8)."""

from __future__ import annotations

from tests.boards.bus import Bus, Chip
from tests.boards.registers import Register, read_svd

_HIGH_CLOCK = 64e6  # "CLOCK": HFCLK64M, always
_UART_CLOCK = 16e6  # "CLOCK": PCLK16M


class _Uart:
    """ "UART": a byte goes out when one is written between STARTTX and STOPTX, if the UART is on and has a pin."""

    def __init__(self, name: str) -> None:
        self.sending = self.receiving = False

    def read(self, bus: Bus, register: Register) -> int | None:
        if register.name == "EVENTS_RXDRDY" and self.receiving and bus.waiting:
            return 1
        return bus.receive() if register.name == "RXD" else None

    def write(self, bus: Bus, register: Register, value: int) -> None:
        if register.name == "TASKS_STARTTX" and value == 1:
            self.sending = bus.value("UART0.ENABLE") == 4 and bus.value("P0.PIN_CNF6") & 3 == 3
        if register.name == "TASKS_STARTRX" and value == 1:
            input_connected = bus.value("P0.PIN_CNF8") & 3 == 0
            self.receiving = bus.value("UART0.ENABLE") == 4 and _pin(bus, "RXD") == 8 and input_connected
        if register.name == "TXD":
            if not self.sending or _pin(bus, "TXD") != 6:
                bus.complain("a byte is written to a UART that does not send")
            if bus.value("UART0.EVENTS_TXDRDY"):
                bus.complain("that a byte has left is not told from that of the one before")
            bus.send(value)
            bus.set("UART0.EVENTS_TXDRDY", 1)


def _pin(bus: Bus, name: str) -> int:
    """The pin of a signal, or -1: bit 31 says that it is not connected."""
    value = bus.value(f"UART0.PSEL.{name}")
    return -1 if value >> 31 else value & 63


def _write(bus: Bus, register: Register, value: int) -> None:
    if register.full_name == "CLOCK.TASKS_HFCLKSTART" and value == 1:
        bus.set("CLOCK.EVENTS_HFCLKSTARTED", 1)
    if register.full_name == "P0.OUTSET":
        bus.set("P0.OUT", bus.value("P0.OUT") | value)


def _check(bus: Bus, register: Register, value: int) -> str:
    if register.full_name == "UART0.ENABLE" and not bus.value("CLOCK.EVENTS_HFCLKSTARTED"):
        return "the UART is turned on before the crystal runs"
    if register.full_name == "P0.PIN_CNF6" and not bus.value("P0.OUT") >> 6 & 1:
        return "the transmitter's pin becomes an output that is low, which is a start bit"
    return ""


def _baud(bus: Bus) -> float:
    """ "UART", BAUDRATE: a fraction of 16 MHz in 2^-32."""
    return bus.value("UART0.BAUDRATE") * _UART_CLOCK / 2**32


def _final(bus: Bus) -> str:
    """What has to be so in the end."""
    return "" if bus.value("NVMC.ICACHECNF") & 1 else "the cache is off"


CHIP = Chip(
    registers=read_svd("nrf52840.svd"),
    uart="UART0",
    model=_Uart,
    gates=dict.fromkeys(("CLOCK", "NVMC", "P0", "UART0"), ""),  # clocks go where they are asked for
    core_hz=lambda bus: _HIGH_CLOCK,
    uart_hz=lambda bus: _UART_CLOCK,
    baud=_baud,
    write=_write,
    check=_check,
    free={"P0.PIN_CNF8": 3 << 2, "UART0.BAUDRATE": 0x7E000},  # a pull-up; the rate within 2 %
    final=_final,
)

"""Nordic nRF54L15 (Product Specification), by its secure addresses."""

from __future__ import annotations

from tests.boards.bus import Bus, Chip
from tests.boards.registers import Register, read_svd

_UART = "GLOBAL_UARTE20_S"
_UART_CLOCK = 16e6  # "UARTE": PCLK16M, of instances 20, 21, 22 and 30
_FREQUENCIES = {1: 128e6, 3: 64e6}  # OSCILLATORS.PLL.FREQ
_TRIM = 0x15
"""What the factory wants in a register: one of the crystals' capacitors stands for all that it trims."""


class _Uarte:
    """ "UARTE": DMA.TX.START sends what lies in RAM at PTR, DMA.RX.START takes bytes until MAXCNT of them are in RAM."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.received: int | None = None
        """Bytes since DMA.RX.START; None before it, and once there are enough."""

    def read(self, bus: Bus, register: Register) -> int | None:
        if register.name == "EVENTS_DMA.RX.END":
            self._receive(bus)
        return None

    def write(self, bus: Bus, register: Register, value: int) -> None:
        name = register.name
        if name == "TASKS_DMA.RX.START" and value == 1 and self._on(bus, "RXD", 5):
            if bus.value(f"{self.name}.DMA.RX.MAXCNT") == 0:
                bus.complain("nothing can be received: MAXCNT is 0")
            self.received = 0
        if name == "TASKS_DMA.TX.START" and value == 1:
            if not self._on(bus, "TXD", 4):
                bus.complain("bytes are given to a UART that does not send")
            if bus.value(f"{self.name}.EVENTS_DMA.TX.END"):
                bus.complain("the end of what is sent is not told from that of what was sent before")
            count = bus.value(f"{self.name}.DMA.TX.MAXCNT")
            for byte in bus.load(bus.value(f"{self.name}.DMA.TX.PTR"), count):
                bus.send(byte)
            bus.set(f"{self.name}.DMA.TX.AMOUNT", count)
            bus.set(f"{self.name}.EVENTS_DMA.TX.END", 1)

    def _receive(self, bus: Bus) -> None:
        while self.received is not None and bus.waiting:
            where = bus.value(f"{self.name}.DMA.RX.PTR") + self.received
            bus.store(where, bytes([bus.receive()]))
            self.received += 1
            if self.received >= bus.value(f"{self.name}.DMA.RX.MAXCNT"):
                bus.set(f"{self.name}.DMA.RX.AMOUNT", self.received)
                bus.set(f"{self.name}.EVENTS_DMA.RX.END", 1)
                self.received = None

    def _on(self, bus: Bus, signal: str, pin: int) -> bool:
        """8: enabled. P1.04, an output, and P1.05, an input that is connected ("UARTE", pin configuration)."""
        return (
            bus.value(f"{self.name}.ENABLE") == 8
            and bus.value(f"GLOBAL_P1_S.PIN_CNF{pin}") & 3 == (3 if signal == "TXD" else 0)
            and bus.value(f"{self.name}.PSEL.{signal}") & (1 << 31 | 0xFF) == 1 << 5 | pin
        )


def _write(bus: Bus, register: Register, value: int) -> None:
    name = register.full_name
    if name == "GLOBAL_CLOCK_S.TASKS_XOSTART" and value == 1:
        bus.set("GLOBAL_CLOCK_S.EVENTS_XOSTARTED", 1)
    if name == "GLOBAL_OSCILLATORS_S.PLL.FREQ" and value in _FREQUENCIES:
        bus.set("GLOBAL_OSCILLATORS_S.PLL.CURRENTFREQ", value)
    if name == "GLOBAL_P1_S.OUTSET":
        bus.set("GLOBAL_P1_S.OUT", bus.value("GLOBAL_P1_S.OUT") | value)


def _check(bus: Bus, register: Register, value: int) -> str:
    name = register.full_name
    if name == f"{_UART}.ENABLE" and not bus.value("GLOBAL_CLOCK_S.EVENTS_XOSTARTED"):
        return "the UART is turned on before the crystal runs"
    if name in (f"{_UART}.CONFIG", f"{_UART}.BAUDRATE") and bus.value(f"{_UART}.ENABLE"):
        return f"{name} is written while the UART is on"
    if name == "GLOBAL_P1_S.PIN_CNF4" and not bus.value("GLOBAL_P1_S.OUT") >> 4 & 1:
        return "the transmitter's pin becomes an output that is low, which is a start bit"
    if name.startswith("GLOBAL_TAMPC_S.PROTECT."):
        return _check_protection(bus.value_of(register), value, name)
    return ""


def _check_protection(before: int, value: int, name: str) -> str:
    """ "TAMPC": a write counts with the key, and one of VALUE after the write protection was cleared."""
    if value >> 16 != 0x50FA:
        return f"{name} is written without its key"
    if value & 2:
        return f"{name} is locked"
    cleared = value & 0xF0 == 0xF0
    if not cleared and before & 0xF0 != 0xF0:
        return f"{name} is written before its protection is cleared"
    return ""


def _final(bus: Bus) -> str:
    """What has to be so when the board is ready."""
    if bus.value("GLOBAL_OSCILLATORS_S.XOSC32KI.INTCAP") != _TRIM:
        return "the factory's trim values are not loaded"
    if not all(bus.value(f"GLOBAL_TAMPC_S.PROTECT.{signal}.CTRL") & 1 for signal in _SIGNALS):
        return "the debug port is closed"
    if bus.value("ICACHE_S.ENABLE") != 1:
        return "the cache is off"
    return ""


_SIGNALS = (*(f"DOMAIN0.{signal}" for signal in ("DBGEN", "NIDEN", "SPIDEN", "SPNIDEN")), "AP0.DBGEN")

CHIP = Chip(
    registers=read_svd("nrf54l15.svd"),
    uart=_UART,
    model=_Uarte,
    gates=dict.fromkeys(  # clocks go where they are asked for
        (
            "GLOBAL_CLOCK_S",
            "GLOBAL_OSCILLATORS_S",
            "GLOBAL_FICR_NS",
            "GLOBAL_TAMPC_S",
            "GLOBAL_P1_S",
            "ICACHE_S",
            _UART,
        ),
        "",
    ),
    core_hz=lambda bus: _FREQUENCIES[bus.value("GLOBAL_OSCILLATORS_S.PLL.CURRENTFREQ")],
    uart_hz=lambda bus: _UART_CLOCK,
    baud=lambda bus: bus.value(f"{_UART}.BAUDRATE") * _UART_CLOCK / 2**32,
    write=_write,
    check=_check,
    final=_final,
    # the write protection that comes back; a pull-up; the rate within 2 %
    free={
        **{f"GLOBAL_TAMPC_S.PROTECT.{signal}.CTRL": 1 << 4 for signal in _SIGNALS},
        "GLOBAL_P1_S.PIN_CNF5": 3 << 2,
        f"{_UART}.BAUDRATE": 0x7E000,
    },
    initial={"GLOBAL_FICR_NS.TRIMCNF0.ADDR": 0x5012_0904, "GLOBAL_FICR_NS.TRIMCNF0.DATA": _TRIM},
    spaces=((0x00FF_C000, 0x1000),),
)

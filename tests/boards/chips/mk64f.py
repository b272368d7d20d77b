"""NXP MK64FN1M0VLL12 (K64P144M120SF5RM)."""

from __future__ import annotations

from tests.boards.bus import Bus, Chip
from tests.boards.registers import Register, read_svd

_OUTSIDE, _SLOW_INSIDE = 50e6, 32768.0
_UNLOCKED = "unlocked"


class _Uart:
    """52 UART: S1 says that there is room, and whether a byte came."""

    def __init__(self, name: str) -> None:
        pass

    def read(self, bus: Bus, register: Register) -> int | None:
        if register.name == "S1":
            return 0xC0 | (0x20 if bus.waiting and self._on(bus, 2, 16) else 0)
        return bus.receive() if register.name == "D" else None

    def write(self, bus: Bus, register: Register, value: int) -> None:
        if register.name == "D":
            if not self._on(bus, 3, 17):
                bus.complain("a byte is written to a UART that does not send")
            bus.send(value)

    @staticmethod
    def _on(bus: Bus, direction: int, pin: int) -> bool:
        return bool(bus.value("UART0.C2") >> direction & 1) and bus.value(f"PORTB.PCR{pin}") >> 8 & 7 == 3


def _core(bus: Bus) -> float:
    source = bus.value("MCG.S") >> 2 & 3
    mcg = {0: _SLOW_INSIDE * 640, 1: _SLOW_INSIDE, 2: _OUTSIDE, 3: _pll(bus)}[source]
    return mcg / ((bus.value("SIM.CLKDIV1") >> 28) + 1)


def _pll(bus: Bus) -> float:
    """25.3.5, 25.3.6: PRDIV0 and VDIV0."""
    return _OUTSIDE / ((bus.value("MCG.C5") & 31) + 1) * ((bus.value("MCG.C6") & 31) + 24)


def _write(bus: Bus, register: Register, value: int) -> None:
    """25.3.7: S follows C1 and C6."""
    if register.peripheral == "MCG":
        control, pll = bus.value("MCG.C1"), bus.value("MCG.C6") >> 6 & 1
        selected = control >> 6
        shown = {0: 3 if pll else 0}.get(selected, selected)
        bus.set("MCG.S", (control >> 2 & 1) << 4 | shown << 2 | pll << 5 | pll << 6)


def _check(bus: Bus, register: Register, value: int) -> str:
    name = register.full_name
    if name == "WDOG.STCTRLH" and bus.last_writes[-3:-1] != [
        ("WDOG.UNLOCK", 0xC520),
        ("WDOG.UNLOCK", 0xD928),
    ]:
        return "the watchdog is configured without having been unlocked"
    if register.peripheral in ("MCG", "SIM") and bus.value("WDOG.STCTRLH") & 1:
        return "the watchdog is still on"
    if name == "MCG.C1" and value >> 6 == 2:  # 25.3.1: FRDIV with RANGE not 0
        reference = _OUTSIDE / (32, 64, 128, 256, 512, 1024, 1280, 1536)[value >> 3 & 7]
        if not bus.value("MCG.C2") >> 4 & 3 or not 31250 <= reference <= 39062.5:
            return f"the FLL is given {reference:,.0f} Hz"
    if name == "MCG.C6" and value >> 6 & 1:
        into, out = (
            _OUTSIDE / ((bus.value("MCG.C5") & 31) + 1),
            _OUTSIDE / ((bus.value("MCG.C5") & 31) + 1) * ((value & 31) + 24),
        )
        if bus.value("MCG.S") >> 2 & 3 != 2 or not 2e6 <= into <= 4e6 or out > 120e6:
            return f"the PLL gets {into:,.0f} Hz and gives {out:,.0f}"
    if name == "MCG.C1" and not value >> 6:
        if not bus.value("MCG.S") >> 6 & 1:
            return "the processor takes the PLL's clock before it is locked"
        limits = (120e6, 60e6, 50e6, 25e6)  # core, bus, FlexBus, flash
        dividers = [(bus.value("SIM.CLKDIV1") >> shift & 15) + 1 for shift in (28, 24, 20, 16)]
        if any(_pll(bus) / divider > most for divider, most in zip(dividers, limits, strict=True)):
            return f"a clock is too fast: {_pll(bus):,.0f} Hz divided by {dividers}"
    return ""


def _baud(bus: Bus) -> float:
    """52.3.1: in thirty-seconds."""
    divider = (bus.value("UART0.BDH") & 31) << 8 | bus.value("UART0.BDL")
    return _core(bus) / (16 * (max(divider, 1) + (bus.value("UART0.C4") & 31) / 32))


CHIP = Chip(
    registers=read_svd("MK64F12.svd"),
    uart="UART0",
    model=_Uart,
    gates={"WDOG": "", "MCG": "", "SIM": "", "PORTB": "SIM.SCGC5.PORTB", "UART0": "SIM.SCGC4.UART0"},
    core_hz=_core,
    uart_hz=_core,  # UART0 and 1 run at the core's clock
    baud=_baud,
    write=_write,
    check=_check,
    # a slower flash clock; the divider within 2 %
    free={"SIM.CLKDIV1": 1 << 16, "UART0.BDL": 0x1, "UART0.C4": 0x3},
)

"""Renesas RA8D1 ("User's Manual: Hardware"); its registers are a table in the board's folder."""

from __future__ import annotations

from mcu_sdk import resources
from tests.boards.bus import Bus, Chip, Mirror
from tests.boards.registers import Register, read_table

_CRYSTAL, _INSIDE = 20e6, 8e6
_SOURCES = {1: _INSIDE, 3: _CRYSTAL}  # SCKSCR, SCICKCR: MOCO, the main oscillator


class _Sci:
    """ "Serial Communications Interface", asynchronous, without FIFO."""

    def __init__(self, name: str) -> None:
        pass

    def read(self, bus: Bus, register: Register) -> int | None:
        if register.name == "CSR":
            waiting = bus.waiting and bus.get("SCI9.CCR0.RE") and _connected(bus, "PFS.PA15")
            return 0x6000_8000 | (1 << 31 if waiting else 0)
        return bus.receive() if register.name == "RDR" else None

    def write(self, bus: Bus, register: Register, value: int) -> None:
        if register.name == "TDR_BY":
            if not bus.get("SCI9.CCR0.TE") or not _connected(bus, "PFS.PA14"):
                bus.complain("a byte is written to a UART that does not send")
            bus.send(value)


def _connected(bus: Bus, pin: str) -> bool:
    return bus.get(f"{pin}.PSEL") == 5 and bool(bus.get(f"{pin}.PMR"))


def _core(bus: Bus) -> float:
    source = _SOURCES.get(bus.get("SYSTEM.SCKSCR.CKSEL"), 0)
    return source / (1 << bus.get("SYSTEM.SCKDIVCR2.CPUCK"))


def _uart(bus: Bus) -> float:
    source = _SOURCES.get(bus.get("SYSTEM.SCICKCR.SCICKSEL"), 0)
    return source / (1, 2, 4, 6, 8, 3, 5, 10)[bus.get("SYSTEM.SCICKDIVCR.CKDIV")]


def _baud(bus: Bus) -> float:
    """With ABCSE six ticks a bit."""
    ticks = 6 if bus.get("SCI9.CCR2.ABCSE") else 32 >> bus.get("SCI9.CCR2.BGDM") + bus.get("SCI9.CCR2.ABCS")
    divider = 4 ** bus.get("SCI9.CCR2.CKS") * (bus.get("SCI9.CCR2.BRR") + 1)
    modulated = bus.get("SCI9.CCR2.MDDR") / 256 if bus.get("SCI9.CCR2.BRME") else 1
    return _uart(bus) * modulated / ticks / divider


def _write(bus: Bus, register: Register, value: int) -> None:
    if register.full_name == "SYSTEM.MOSCCR":
        bus.set("SYSTEM.OSCSF", 0 if value & 1 else 8)


def _check(bus: Bus, register: Register, value: int) -> str:
    name = register.full_name
    if name == "SYSTEM.PRCR":
        return "" if value >> 8 == 0xA5 else "PRCR is written without its key"
    if register.peripheral == "SYSTEM":
        return _check_clock(bus, name, value)
    if name == "PMISC.PWPRS" and value & 0x40 and bus.get("PMISC.PWPRS.B0WI"):
        return "PFSWE is written while B0WI keeps it"
    if register.peripheral == "PFS":
        if not bus.get("PMISC.PWPRS.PFSWE"):
            return f"{name} is written while it is protected"
        if (value ^ bus.value(name)) >> 24 and bus.get(f"{name}.PMR") | value >> 16 & 1:
            return f"the function of {name} is changed while the pin is a peripheral's"
    if name == "SCI9.CCR2" and bus.value("SCI9.CESR"):
        return "the bit rate is changed while the UART is on"
    return ""


def _check_clock(bus: Bus, name: str, value: int) -> str:
    if not bus.get("SYSTEM.PRCR.PRC0"):
        return f"{name} is written while it is protected"
    if name == "SYSTEM.MOMCR" and not bus.get("SYSTEM.MOSCCR.MOSTP"):
        return "the crystal's drive is changed while it runs"
    if name == "SYSTEM.MOMCR" and not value >> 5 & 1:
        return "bit 5 of MOMCR is not written as 1"
    if name == "SYSTEM.MOSCCR" and not value & 1 and bus.get("SYSTEM.MOMCR.MODRV0") != 3:
        return "the crystal has not the drive for 8 to 24 MHz"
    if name == "SYSTEM.SCKSCR" and value == 3 and not bus.get("SYSTEM.OSCSF.MOSCSF"):
        return "the processor takes the crystal's clock before it is stable"
    changes = name == "SYSTEM.SCICKDIVCR" or (
        name == "SYSTEM.SCICKCR" and value & 15 != bus.get("SYSTEM.SCICKCR.SCICKSEL")
    )
    if changes and not bus.get("SYSTEM.SCICKCR.CKSRDY"):
        return "the UART's clock is switched before it may be"
    return ""


def _final(bus: Bus) -> str:
    """What has to be so when the board is ready."""
    if bus.value("SYSTEM.PRCR") & 0xFF or bus.value("PMISC.PWPRS") != 0x80:
        return "registers are left unprotected"
    if bus.get("SYSTEM.SCICKCR.CKSRDY"):
        return "the UART's clock is still being switched, and stands"
    return ""


CHIP = Chip(
    registers=read_table(resources.boards() / "ek-ra8d1" / "registers.toml"),
    uart="SCI9",
    model=_Sci,
    gates={"SYSTEM": "", "MSTP": "", "PMISC": "", "PFS": "", "SCI9": "!MSTP.MSTPCRB.MSTPB22"},
    core_hz=_core,
    uart_hz=_uart,
    baud=_baud,
    mirrors=(
        Mirror("SYSTEM.SCICKCR", 0x40, "SYSTEM.SCICKCR", 1),
        Mirror("SCI9.CCR0", 0x11, "SCI9.CESR", 0),
    ),
    write=_write,
    check=_check,
    final=_final,
)

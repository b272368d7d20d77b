"""NXP i.MX RT1062 (IMXRT1060RM)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from mcu_sdk.board.board import Board
from tests.boards.bus import Bus, Chip
from tests.boards.registers import Register, read_svd

_CRYSTAL = 24e6


class _Uart:
    """49 LPUART. `pins`: the pads of transmitter and receiver, and what else has to be chosen for the receiver."""

    def __init__(self, name: str, pins: tuple[str, str], select: str = "") -> None:
        self.name, self.pins, self.select = name, pins, select

    def read(self, bus: Bus, register: Register) -> int | None:
        if register.name == "STAT":
            return 0xC00000 | (1 << 21 if bus.waiting and self._receives(bus) else 0)
        return bus.receive() if register.name == "DATA" else None

    def write(self, bus: Bus, register: Register, value: int) -> None:
        if register.name == "DATA":
            if not bus.get(f"{self.name}.CTRL.TE") or not self._chosen(bus, self.pins[0]):
                bus.complain("a byte is written to a UART that does not send")
            bus.send(value)

    def _receives(self, bus: Bus) -> bool:
        selected = not self.select or bus.value(f"IOMUXC.{self.select}") == 1
        return bool(bus.get(f"{self.name}.CTRL.RE")) and self._chosen(bus, self.pins[1]) and selected

    @staticmethod
    def _chosen(bus: Bus, pad: str) -> bool:
        return bus.value(f"IOMUXC.SW_MUX_CTL_PAD_{pad}") & 7 == 2


def _arm_pll(bus: Bus) -> float:
    """14.8: PLL_ARM."""
    if bus.get("CCM_ANALOG.PLL_ARM.BYPASS"):
        return _CRYSTAL
    return _CRYSTAL * bus.get("CCM_ANALOG.PLL_ARM.DIV_SELECT") / 2


def _fast(bus: Bus) -> float:
    """The clock that PRE_PERIPH_CLK_SEL chooses, if it is the ARM PLL's."""
    return (
        _arm_pll(bus) / (bus.get("CCM.CACRR.ARM_PODF") + 1)
        if bus.get("CCM.CBCMR.PRE_PERIPH_CLK_SEL") == 3
        else 0
    )


def _core(bus: Bus) -> float:
    slow = {1: _CRYSTAL}.get(bus.get("CCM.CBCMR.PERIPH_CLK2_SEL"), 0) / (
        bus.get("CCM.CBCDR.PERIPH_CLK2_PODF") + 1
    )
    chosen = slow if bus.get("CCM.CBCDR.PERIPH_CLK_SEL") else _fast(bus)
    return chosen / (bus.get("CCM.CBCDR.AHB_PODF") + 1)


def _uart(bus: Bus) -> float:
    source = _CRYSTAL if bus.get("CCM.CSCDR1.UART_CLK_SEL") else 80e6
    return source / (bus.get("CCM.CSCDR1.UART_CLK_PODF") + 1)


def _baud(bus: Bus, uart: str) -> float:
    return _uart(bus) / (bus.get(f"{uart}.BAUD.OSR") + 1) / max(bus.get(f"{uart}.BAUD.SBR"), 1)


def _write(bus: Bus, register: Register, value: int) -> None:
    if register.full_name == "CCM_ANALOG.PLL_ARM":
        locked = value >> 13 & 1 and not value >> 12 & 1
        bus.set("CCM_ANALOG.PLL_ARM", value & ~(1 << 31) | (1 << 31 if locked else 0))


def _check(bus: Bus, register: Register, value: int) -> str:
    name = register.full_name
    from_pll = not bus.get("CCM.CBCDR.PERIPH_CLK_SEL")
    if name == "CCM_ANALOG.PLL_ARM" and from_pll:
        return "the PLL changes while the core runs from it"
    if name == "CCM.CBCDR" and value >> 25 & 1 and bus.get("CCM.CBCMR.PERIPH_CLK2_SEL") != 1:
        return "while the PLL changes, the core takes another clock than the crystal's"
    if name == "CCM.CBCDR" and not from_pll and not value >> 25 & 1:
        if not bus.get("CCM_ANALOG.PLL_ARM.LOCK") or bus.get("CCM_ANALOG.PLL_ARM.BYPASS"):
            return "the core takes the PLL's clock before it is locked"
        if not 648e6 <= _arm_pll(bus) <= 1300e6 or _fast(bus) > 600e6:
            return f"the PLL runs at {_arm_pll(bus):,.0f} Hz, and the core would at {_fast(bus):,.0f}"
        volts = 0.8 + 0.025 * bus.get("DCDC.REG3.TRG")
        if (volts < 1.2499 and _fast(bus) > 528e6) or volts > 1.3001:
            return f"the core's voltage is not for its clock: {volts:.3f} V"
        if _fast(bus) / ((value >> 10 & 7) + 1) / ((value >> 8 & 3) + 1) > 150e6:
            return "the peripherals' bus is too fast"
    if name == "RTWDOG.TOVAL" and bus.last_writes[-2:-1] != [("RTWDOG.CNT", 0xD928C520)]:
        return "the watchdog is configured without having been unlocked"
    return ""


def _final(bus: Bus) -> str:
    """What has to be so when the board is ready."""
    if bus.value("RTWDOG.CS") >> 7 & 1 or bus.value("WDOG1.WMCR") & 1 or bus.value("WDOG2.WMCR") & 1:
        return "a watchdog is on"
    return ""


def _boot(board: Board, memory: Callable[[int, int], bytes]) -> int:
    """9.6.3, 9.7: the FlexSPI configuration block, the image vector table behind it, and the boot data."""

    def word(address: int) -> int:
        return int.from_bytes(memory(address, 4), "little")

    flash = 0x6000_0000
    assert memory(flash, 4) == b"FCFB" and word(flash + 4) >> 24 == ord("V")
    assert memory(flash + 0x44, 3) == bytes([1, 4, 6]), "serial NOR, four pads, 100 MHz"
    size = word(flash + 0x50)
    regions = [board.regions[name] for name in ("boot", "flash")]
    assert all(region.end <= flash + size for region in regions)
    read = [word(flash + 0x80 + 4 * i) >> shift & 0xFFFF for i in range(2) for shift in (0, 16)]
    steps = [(step >> 10, 1 << (step >> 8 & 3), step & 255) for step in read]  # operation, pads, operand
    assert steps == [(0x01, 1, 0xEB), (0x02, 4, 24), (0x0C, 4, 6), (0x09, 4, 4)], steps
    table = flash + 0x1000
    header, entry, _, dcd, boot_data, self, csf, _ = (word(table + 4 * i) for i in range(8))
    assert header & 0xF0FFFFFF == 0x402000D1 and self == table and not dcd and not csf
    start, length, plugin = (word(boot_data + 4 * i) for i in range(3))
    assert (start, length, plugin) == (flash, size, 0)
    return entry


def chip(uart: str, gate: str, pins: tuple[str, str], select: str = "") -> Chip:
    return Chip(
        registers=read_svd("MIMXRT1062.xml"),
        uart=uart,
        model=partial(_Uart, pins=pins, select=select),
        gates={
            "CCM": "",
            "CCM_ANALOG": "",
            "DCDC": "CCM.CCGR6.CG3",
            "IOMUXC": "CCM.CCGR4.CG1",
            "WDOG1": "CCM.CCGR3.CG8",
            "WDOG2": "CCM.CCGR5.CG5",
            "RTWDOG": "CCM.CCGR5.CG2",
            uart: gate,
        },
        core_hz=_core,
        uart_hz=_uart,
        baud=partial(_baud, uart=uart),
        write=_write,
        check=_check,
        # RTWDOG: the time of a watchdog that is off, and whether it can be set again; 25 mV; what came with a byte
        free={"RTWDOG.TOVAL": 0xFBFF, "RTWDOG.CS": 1 << 5, "DCDC.REG3": 0x1, f"{uart}.DATA": 1 << 12},
        final=_final,
        boot=_boot,
        # 59.4.2: the unlocking word has 32 bits. 49.3.1.9: above bit 9, DATA says what came with a received byte.
        exempt={"RTWDOG.CNT": 0xD9280000, f"{uart}.DATA": 0xF000},
        initial={"DCDC.REG0": 0x94030111},  # STS_DC_OK
    )

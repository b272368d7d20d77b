"""ST STM32F405 to F439 (RM0090): their clocks. A module for each chip says which crystal, USART and pins its board has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from tests.boards.bus import Bus, Chip, Mirror
from tests.boards.chips.stm32 import StatusDataUsart
from tests.boards.registers import Register, read_svd

_RC = 16e6
_HIGHEST = 168e6  # 5.1.4: without over-drive

Pin = tuple[str, int, int]


@dataclass(frozen=True)
class _Clocks:
    crystal: float

    def pll_input(self, bus: Bus) -> float:
        value = bus.value("RCC.PLLCFGR")
        return (self.crystal if value >> 22 & 1 else _RC) / max(value & 63, 1)

    def vco(self, bus: Bus) -> float:
        return self.pll_input(bus) * (bus.value("RCC.PLLCFGR") >> 6 & 511)

    def pll(self, bus: Bus) -> float:
        return self.vco(bus) / (2, 4, 6, 8)[bus.value("RCC.PLLCFGR") >> 16 & 3]

    def core(self, bus: Bus) -> float:
        value = bus.value("RCC.CFGR")
        clock = (_RC, self.crystal, self.pll(bus))[value >> 2 & 3]
        divider = value >> 4 & 15
        return clock / (1 if divider < 8 else (2, 4, 8, 16, 64, 128, 256, 512)[divider - 8])

    def bus_clock(self, bus: Bus, shift: int) -> float:
        divider = bus.value("RCC.CFGR") >> shift & 7
        return self.core(bus) / (1 if divider < 4 else 2 << (divider - 4))

    def apb2(self, bus: Bus) -> float:
        return self.bus_clock(bus, 13)

    def check(self, bus: Bus, register: Register, value: int) -> str:
        """6.3.2 on the PLL's limits; 3.5.1 on wait states; 2.7 to 3.6 V."""
        pll = self.pll(bus)
        if register.full_name == "RCC.CR" and value >> 24 & 1:
            if bus.value("RCC.PLLCFGR") >> 22 & 1 and not value >> 17 & 1:
                return "the PLL is turned on before the crystal runs"
            taken, vco = self.pll_input(bus), self.vco(bus)
            if not (1e6 <= taken <= 2e6 and 100e6 <= vco <= 432e6 and pll <= _HIGHEST):
                return f"the PLL gets {taken:,.0f} Hz, runs at {vco:,.0f} and gives {pll:,.0f}"
        if register.full_name == "RCC.CFGR" and value & 3 == 2:
            if not bus.value("RCC.CR") >> 25 & 1:
                return "the processor takes the PLL's clock before it is locked"
            if bus.value("FLASH.ACR") & 15 < -(-pll // 30e6) - 1:
                return "the flash has too few wait states for the PLL's clock"
            slower = self.core(bus) / pll
            if self.bus_clock(bus, 10) > 45e6 * slower or self.apb2(bus) > 90e6 * slower:
                return "a peripheral bus is too fast for the PLL's clock"
        return ""


def stm32f4(svd: str, crystal: float, uart: str, pins: tuple[Pin, Pin], gates: Mapping[str, str]) -> Chip:
    """The chip of a board with this crystal, in Hz, and a `uart` on APB2 at these `pins`; `gates` are those of both."""
    clocks = _Clocks(crystal)
    return Chip(
        registers=read_svd(svd),
        uart=uart,
        model=partial(StatusDataUsart, pins=pins),
        gates={"RCC": "", "FLASH": "", **gates},
        core_hz=clocks.core,
        uart_hz=clocks.apb2,
        baud=lambda bus: clocks.apb2(bus) / max(bus.value(f"{uart}.BRR"), 1),
        mirrors=(
            Mirror("RCC.CR", 1 << 16, "RCC.CR", 1),
            Mirror("RCC.CR", 1 << 24, "RCC.CR", 1),
            Mirror("RCC.CFGR", 3, "RCC.CFGR", 2),
        ),
        check=clocks.check,
        # PLLQ, for USB; caches and prefetch; a pull-up; the divider within 2 %
        free={
            "RCC.PLLCFGR": 3 << 24,
            "FLASH.ACR": 7 << 8,
            f"{pins[1][0]}.PUPDR": 1 << 2 * pins[1][1],
            f"{uart}.BRR": 0x9,
        },
    )

"""ST STM32F429 (RM0090)."""

from __future__ import annotations

from functools import partial

from tests.boards.bus import Bus, Chip, Mirror
from tests.boards.chips.stm32 import StatusDataUsart
from tests.boards.registers import Register, read_svd

_CRYSTAL, _RC = 8e6, 16e6
_HIGHEST = 168e6  # 5.1.4: without over-drive


def _pll_input(bus: Bus) -> float:
    value = bus.value("RCC.PLLCFGR")
    return (_CRYSTAL if value >> 22 & 1 else _RC) / (value & 63)


def _vco(bus: Bus) -> float:
    return _pll_input(bus) * (bus.value("RCC.PLLCFGR") >> 6 & 511)


def _pll(bus: Bus) -> float:
    return _vco(bus) / (2, 4, 6, 8)[bus.value("RCC.PLLCFGR") >> 16 & 3]


def _core(bus: Bus) -> float:
    value = bus.value("RCC.CFGR")
    clock = (_RC, _CRYSTAL, _pll(bus))[value >> 2 & 3]
    divider = value >> 4 & 15
    return clock / (1 if divider < 8 else (2, 4, 8, 16, 64, 128, 256, 512)[divider - 8])


def _bus_clock(bus: Bus, shift: int) -> float:
    divider = bus.value("RCC.CFGR") >> shift & 7
    return _core(bus) / (1 if divider < 4 else 2 << (divider - 4))


def _check(bus: Bus, register: Register, value: int) -> str:
    """6.3.2 on the PLL's limits; 3.5.1 on wait states; 2.7 to 3.6 V."""
    if register.full_name == "RCC.CR" and value >> 24 & 1:
        if bus.value("RCC.PLLCFGR") >> 22 & 1 and not value >> 17 & 1:
            return "the PLL is turned on before the crystal runs"
        if not (1e6 <= _pll_input(bus) <= 2e6 and 100e6 <= _vco(bus) <= 432e6 and _pll(bus) <= _HIGHEST):
            return (
                f"the PLL gets {_pll_input(bus):,.0f} Hz, runs at {_vco(bus):,.0f} and gives {_pll(bus):,.0f}"
            )
    if register.full_name == "RCC.CFGR" and value & 3 == 2:
        if not bus.value("RCC.CR") >> 25 & 1:
            return "the processor takes the PLL's clock before it is locked"
        if bus.value("FLASH.ACR") & 15 < -(-_pll(bus) // 30e6) - 1:
            return "the flash has too few wait states for the PLL's clock"
        if _bus_clock(bus, 10) > 45e6 * _core(bus) / _pll(bus) or _bus_clock(bus, 13) > 90e6 * _core(
            bus
        ) / _pll(bus):
            return "a peripheral bus is too fast for the PLL's clock"
    return ""


def _uart(bus: Bus) -> float:
    return _bus_clock(bus, 13)


CHIP = Chip(
    registers=read_svd("STM32F429x.svd"),
    uart="USART1",
    model=partial(StatusDataUsart, pins=(("GPIOA", 9, 7), ("GPIOA", 10, 7))),
    gates={"RCC": "", "FLASH": "", "GPIOA": "RCC.AHB1ENR.GPIOAEN", "USART1": "RCC.APB2ENR.USART1EN"},
    core_hz=_core,
    uart_hz=_uart,
    baud=lambda bus: _uart(bus) / max(bus.value("USART1.BRR"), 1),
    mirrors=(
        Mirror("RCC.CR", 1 << 16, "RCC.CR", 1),
        Mirror("RCC.CR", 1 << 24, "RCC.CR", 1),
        Mirror("RCC.CFGR", 3, "RCC.CFGR", 2),
    ),
    check=_check,
)

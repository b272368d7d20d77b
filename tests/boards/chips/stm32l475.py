"""ST STM32L475 (RM0351)."""

from __future__ import annotations

from functools import partial

from tests.boards.bus import Bus, Chip, Mirror
from tests.boards.chips.stm32 import TwoDataUsart
from tests.boards.registers import Register, read_svd

_RC, _MSI = 16e6, 4e6


def _input(bus: Bus) -> float:
    """PLLSRC, PLLM."""
    value = bus.value("RCC.PLLCFGR")
    return {1: _MSI, 2: _RC}.get(value & 3, 0) / ((value >> 4 & 7) + 1)


def _vco(bus: Bus) -> float:
    return _input(bus) * bus.get("RCC.PLLCFGR.PLLN")


def _pll(bus: Bus) -> float:
    return _vco(bus) / (2, 4, 6, 8)[bus.get("RCC.PLLCFGR.PLLR")] if bus.get("RCC.PLLCFGR.PLLREN") else 0


def _core(bus: Bus) -> float:
    divider = bus.get("RCC.CFGR.HPRE")
    clock = (_MSI, _RC, 0, _pll(bus))[bus.get("RCC.CFGR.SWS")]
    return clock / (1 if divider < 8 else (2, 4, 8, 16, 64, 128, 256, 512)[divider - 8])


def _uart(bus: Bus) -> float:
    """USART1 runs from PCLK2 unless CCIPR says otherwise."""
    divider = bus.get("RCC.CFGR.PPRE2")
    return _core(bus) / (1 if divider < 4 else 2 << (divider - 4)) if not bus.value("RCC.CCIPR") & 3 else 0


def _check(bus: Bus, register: Register, value: int) -> str:
    """6.4.4 on the PLL's limits; 3.3.3 on wait states, in range 1."""
    if register.full_name == "RCC.CR" and value >> 24 & 1:
        if not value >> 10 & 1:
            return "the PLL is turned on before the oscillator runs"
        if not (4e6 <= _input(bus) <= 16e6 and 64e6 <= _vco(bus) <= 344e6 and _pll(bus) <= 80e6):
            return f"the PLL gets {_input(bus):,.0f} Hz, runs at {_vco(bus):,.0f} and gives {_pll(bus):,.0f}"
    if register.full_name == "RCC.CFGR" and value & 3 == 3:
        if not bus.get("RCC.CR.PLLRDY"):
            return "the processor takes the PLL's clock before it is locked"
        if bus.get("FLASH.ACR.LATENCY") < -(-_pll(bus) // 16e6) - 1 or bus.get("PWR.CR1.VOS") != 1:
            return "the flash has too few wait states for the PLL's clock"
    return ""


CHIP = Chip(
    registers=read_svd("STM32L4x5.svd"),
    uart="USART1",
    model=partial(TwoDataUsart, pins=(("GPIOB", 6, 7), ("GPIOB", 7, 7))),
    gates={"RCC": "", "FLASH": "", "GPIOB": "RCC.AHB2ENR.GPIOBEN", "USART1": "RCC.APB2ENR.USART1EN"},
    core_hz=_core,
    uart_hz=_uart,
    baud=lambda bus: _uart(bus) / max(bus.value("USART1.BRR"), 1),
    mirrors=(
        Mirror("RCC.CR", 1 << 8, "RCC.CR", 2),
        Mirror("RCC.CR", 1 << 24, "RCC.CR", 1),
        Mirror("RCC.CFGR", 3, "RCC.CFGR", 2),
    ),
    check=_check,
    # prefetch, a pull-up, the divider within 2 %, OVRDIS
    free={"FLASH.ACR": 1 << 8, "GPIOB.PUPDR": 1 << 14, "USART1.BRR": 0x6, "USART1.CR3": 1 << 12},
)

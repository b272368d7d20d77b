"""ST STM32H743 (RM0433); its registers are a table in the board's folder."""

from __future__ import annotations

from functools import partial

from mcu_sdk import resources
from tests.boards.bus import Bus, Chip, Mirror
from tests.boards.chips.stm32 import TwoDataUsart
from tests.boards.registers import Register, read_table

_OUTSIDE, _RC = 8e6, 64e6


def _input(bus: Bus) -> float:
    source = {0: _RC, 2: _OUTSIDE}.get(bus.get("RCC.PLLCKSELR.PLLSRC"), 0)
    return source / max(bus.get("RCC.PLLCKSELR.DIVM1"), 1)


def _vco(bus: Bus) -> float:
    return _input(bus) * (bus.get("RCC.PLL1DIVR.DIVN1") + 1)


def _pll(bus: Bus) -> float:
    return _vco(bus) / (bus.get("RCC.PLL1DIVR.DIVP1") + 1) if bus.get("RCC.PLLCFGR.DIVP1EN") else 0


def _ahb_divider(value: int) -> int:
    return 1 if value < 8 else (2, 4, 8, 16, 64, 128, 256, 512)[value - 8]


def _apb_divider(value: int) -> int:
    return 1 if value < 4 else 2 << (value - 4)


def _core(bus: Bus) -> float:
    clock = {0: _RC, 2: _OUTSIDE, 3: _pll(bus)}.get(bus.get("RCC.CFGR.SWS"), 0)
    return clock / _ahb_divider(bus.get("RCC.D1CFGR.D1CPRE"))


def _uart(bus: Bus) -> float:
    """USART3 runs from PCLK1 unless D2CCIP2R says otherwise."""
    clock = (
        _core(bus) / _ahb_divider(bus.get("RCC.D1CFGR.HPRE")) / _apb_divider(bus.get("RCC.D2CFGR.D2PPRE1"))
    )
    return clock if not bus.get("RCC.D2CCIP2R.USART234578SEL") else 0


def _check(bus: Bus, register: Register, value: int) -> str:
    """8.5.5 on the PLL's limits; 4.3.8 on wait states; 6.6.2 on the voltage."""
    name = register.full_name
    if name == "RCC.CR" and value >> 16 & 1 and not value >> 18 & 1:
        return "the clock that comes from the debugger is taken for a crystal"
    if name == "RCC.CR" and value >> 24 & 1:
        low = (1e6, 2e6, 4e6, 8e6)[bus.get("RCC.PLLCFGR.PLL1RGE")]
        wide = not bus.get("RCC.PLLCFGR.PLL1VCOSEL")
        if not value >> 17 & 1:
            return "the PLL is turned on before its clock runs"
        if not (low <= _input(bus) <= 2 * low and wide and 192e6 <= _vco(bus) <= 836e6):
            return f"the PLL gets {_input(bus):,.0f} Hz and runs at {_vco(bus):,.0f}"
    if name == "RCC.CFGR" and value & 7 == 3:
        ahb = _pll(bus) / _ahb_divider(bus.get("RCC.D1CFGR.HPRE"))
        fields = ("D1CFGR.D1PPRE", "D2CFGR.D2PPRE1", "D2CFGR.D2PPRE2", "D3CFGR.D3PPRE")
        slowest = min(_apb_divider(bus.get(f"RCC.{field}")) for field in fields)
        if not bus.get("RCC.CR.PLL1RDY"):
            return "the processor takes the PLL's clock before it is locked"
        if bus.get("PWR.D3CR.VOS") != 3 or _pll(bus) > 400e6 or ahb > 200e6 or ahb / slowest > 100e6:
            return f"at this voltage and with these dividers {_pll(bus):,.0f} Hz are too fast"
        if bus.get("FLASH.ACR.LATENCY") < 2 or bus.get("FLASH.ACR.WRHIGHFREQ") < 2:
            return "the flash has too few wait states for the PLL's clock"
    if name == "PWR.D3CR" and ("PWR.CR3", 2) not in bus.last_writes:
        return "the voltage is changed before the supply is configured"
    return ""


CHIP = Chip(
    registers=read_table(resources.boards() / "nucleo-h743zi" / "registers.toml"),
    uart="USART3",
    model=partial(TwoDataUsart, pins=(("GPIOD", 8, 7), ("GPIOD", 9, 7))),
    gates={
        "PWR": "",
        "RCC": "",
        "FLASH": "",
        "GPIOD": "RCC.AHB4ENR.GPIODEN",
        "USART3": "RCC.APB1LENR.USART3EN",
    },
    core_hz=_core,
    uart_hz=_uart,
    baud=lambda bus: _uart(bus) / max(bus.value("USART3.BRR"), 1),
    mirrors=(
        Mirror("RCC.CR", 1 << 16, "RCC.CR", 1),
        Mirror("RCC.CR", 1 << 24, "RCC.CR", 1),
        Mirror("RCC.CFGR", 7, "RCC.CFGR", 3),
    ),
    check=_check,
    # DIVQ1EN, DIVR1EN and the wider of two ranges; WRHIGHFREQ; a pull-up; the divider within 2 %; OVRDIS
    free={
        "RCC.PLLCFGR": 0x60004,
        "FLASH.ACR": 1 << 4,
        "GPIOD.PUPDR": 1 << 18,
        "USART3.BRR": 0x4,
        "USART3.CR3": 1 << 12,
    },
    memory_gates={"sram123": "RCC.AHB2ENR.SRAM1EN RCC.AHB2ENR.SRAM2EN RCC.AHB2ENR.SRAM3EN"},
    initial={"PWR.CSR1": 0x6000, "PWR.D3CR": 0x6000},  # both voltages are ready
)

"""ST STM32N657 (RM0486), by its secure addresses; its registers are a table in the board's folder."""

from __future__ import annotations

from functools import partial

from mcu_sdk import resources
from tests.boards.bus import Bus, Chip, Mirror
from tests.boards.chips.stm32 import TwoDataUsart
from tests.boards.registers import Register, read_table

_RC = 64e6
_BANKS = (3, 4, 5, 6)


def _divided(bus: Bus) -> float:
    """14.10, HSICFGR.HSIDIV."""
    return _RC / (1 << bus.get("RCC.HSICFGR.HSIDIV"))


def _core(bus: Bus) -> float:
    """CPUSWS, SYSSWS: 0, HSI. Whatever else they choose is not set by this firmware."""
    return _divided(bus) if not bus.get("RCC.CFGR1.CPUSWS") and not bus.get("RCC.CFGR1.SYSSWS") else 0


def _uart(bus: Bus) -> float:
    """USART1SEL: 6, HSI."""
    return _divided(bus) if bus.get("RCC.CCIPR13.USART1SEL") == 6 else 0


def _check(bus: Bus, register: Register, value: int) -> str:
    if register.full_name == "RCC.CFGR1" and value & 0x0303_0000 == 0 and not bus.get("RCC.SR.HSIRDY"):
        return "the processor takes the oscillator's clock before it runs"
    if register.full_name == "RCC.CCIPR13" and bus.get("RCC.APB2ENR.USART1EN"):
        return "the USART's clock is chosen while it has one"
    return ""


CHIP = Chip(
    registers=read_table(resources.boards() / "nucleo-n657x0-q" / "registers.toml"),
    uart="USART1",
    model=partial(TwoDataUsart, pins=(("GPIOE", 5, 7), ("GPIOE", 6, 7))),
    gates={
        "RCC": "",
        "RAMCFG": "RCC.AHB2ENR.RAMCFGEN",
        "GPIOE": "RCC.AHB4ENR.GPIOEEN",
        "USART1": "RCC.APB2ENR.USART1EN",
    },
    core_hz=_core,
    uart_hz=_uart,
    baud=lambda bus: _uart(bus) / max(bus.value("USART1.BRR"), 1),
    mirrors=(
        Mirror("RCC.CR", 1 << 3, "RCC.SR", 0),
        Mirror("RCC.CFGR1", 3 << 16, "RCC.CFGR1", 4),
        Mirror("RCC.CFGR1", 3 << 24, "RCC.CFGR1", 4),
    ),
    sets={
        "RCC.CSR": "RCC.CR",
        "RCC.MEMENSR": "RCC.MEMENR",
        "RCC.AHB2ENSR": "RCC.AHB2ENR",
        "RCC.AHB4ENSR": "RCC.AHB4ENR",
        "RCC.APB2ENSR": "RCC.APB2ENR",
    },
    check=_check,
    # a pull-up; OVRDIS; the divider within 2 %
    free={"GPIOE.PUPDR": 1 << 12, "USART1.CR3": 1 << 12, "USART1.BRR": 0xC},
    # As a boot ROM can leave it: on a PLL, the oscillator off and divided by four.
    initial={"RCC.CR": 0x100, "RCC.SR": 0x100, "RCC.CFGR1": 0x3333_0000, "RCC.HSICFGR": 2 << 7},
    memory_gates={
        "axisram3456": " ".join(
            f"RCC.MEMENR.AXISRAM{bank}EN !RAMCFG.AXISRAM{bank}CR.SRAMSD" for bank in _BANKS
        )
    },
)

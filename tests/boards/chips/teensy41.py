"""Teensy 4.1's i.MX RT1062: LPUART6."""

from tests.boards.chips.imxrt1062 import chip

CHIP = chip("LPUART6", "CCM.CCGR3.CG3", ("GPIO_AD_B0_02", "GPIO_AD_B0_03"), "LPUART6_RX_SELECT_INPUT")

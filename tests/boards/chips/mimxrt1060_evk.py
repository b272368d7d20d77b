"""MIMXRT1060-EVK's i.MX RT1062: LPUART1."""

from tests.boards.chips.imxrt1062 import chip

CHIP = chip("LPUART1", "CCM.CCGR5.CG12", ("GPIO_AD_B0_12", "GPIO_AD_B0_13"))

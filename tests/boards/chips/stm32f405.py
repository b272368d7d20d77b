"""ST STM32F405, on Netduino Plus 2; its registers are those of the STM32F415 without the cryptography."""

from __future__ import annotations

from tests.boards.chips.stm32f4 import stm32f4

CHIP = stm32f4(
    "STM32F41x.svd",
    25e6,
    "USART6",
    (("GPIOC", 6, 8), ("GPIOC", 7, 8)),
    {"GPIOC": "RCC.AHB1ENR.GPIOCEN", "USART6": "RCC.APB2ENR.USART6EN"},
)

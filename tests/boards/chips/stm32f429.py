"""ST STM32F429, on STM32F429I-DISC1."""

from __future__ import annotations

from tests.boards.chips.stm32f4 import stm32f4

CHIP = stm32f4(
    "STM32F429x.svd",
    8e6,
    "USART1",
    (("GPIOA", 9, 7), ("GPIOA", 10, 7)),
    {"GPIOA": "RCC.AHB1ENR.GPIOAEN", "USART1": "RCC.APB2ENR.USART1EN"},
)

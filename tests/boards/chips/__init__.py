"""What is known of each board's chip beside its registers, from the vendor's reference manual: a module for each."""

from __future__ import annotations

from importlib import import_module

from tests.boards.bus import Chip

BOARDS = {
    "b-l475e-iot01a": "stm32l475",
    "frdm-k64f": "mk64f",
    "lpcxpresso55s69": "lpc55s69",
    "mimxrt1060-evk": "mimxrt1060_evk",
    "netduino-plus-2": "stm32f405",
    "nrf52840-dk": "nrf52840",
    "nrf54l15-dk": "nrf54l15",
    "nucleo-h743zi": "stm32h743",
    "pico2": "rp2350",
    "stm32f429i-disc1": "stm32f429",
    "teensy41": "teensy41",
}
"""The boards that are run in unicorn, and their chip's module."""


def chip_of(board: str) -> Chip:
    found: Chip = import_module(f"tests.boards.chips.{BOARDS[board]}").CHIP
    return found

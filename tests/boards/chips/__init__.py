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

WITH_HELIUM = {
    "alif-ensemble-e8-he": "alif_e8_he",
    "alif-ensemble-e8-hp": "alif_e8_hp",
    "ek-ra8d1": "ra8d1",
    "nucleo-n657x0-q": "stm32n657",
}
"""Boards whose core has Helium, which unicorn does not know: what they do to registers is seen with an image for a
Cortex-M33 (`scalar` in firmware.py)."""

CHECKED = BOARDS | WITH_HELIUM


def chip_of(board: str) -> Chip:
    found: Chip = import_module(f"tests.boards.chips.{CHECKED[board]}").CHIP
    return found

"""The Ensemble E8's high-efficiency core."""

from tests.boards.chips.alif_e8 import chip

CHIP = chip(160e6)

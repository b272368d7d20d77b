"""The Ensemble E8's high-performance core."""

from tests.boards.chips.alif_e8 import chip

CHIP = chip(400e6)

"""Firmware of boards that no emulator here knows, run with the vendors' register descriptions beside it."""

"""Command streams put together by hand."""

from __future__ import annotations

STOP = 0xFFFF0000
_CMD1 = 1 << 14
_DMA_START, _DMA_WAIT = 0x010, 0x011
_SOURCE_REGION, _DESTINATION_REGION, _MODE = 0x130, 0x131, 0x132
_SOURCE, _DESTINATION, _LENGTH = 0x030, 0x031, 0x032


def dma(source: tuple[int, int], destination: tuple[int, int], length: int) -> list[int]:
    """Copy `length` bytes from (region, offset) to (region, offset)."""
    return [
        _SOURCE_REGION | source[0] << 16,
        _CMD1 | _SOURCE,
        source[1],
        _DESTINATION_REGION | destination[0] << 16,
        _CMD1 | _DESTINATION,
        destination[1],
        _CMD1 | _LENGTH,
        length,
        _DMA_START,
        _DMA_WAIT,
    ]


def copy_stream(length: int = 64, source: int = 0, destination: int = 0) -> list[int]:
    """Weights (region 0) from `source` on to the scratch (region 1) from `destination` on, then STOP."""
    return [*dma((0, source), (1, destination), length), STOP]

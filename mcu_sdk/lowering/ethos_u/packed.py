"""How many bytes Vela packs a linear's weights into, without compiling anything."""

from __future__ import annotations

import numpy as np
import torch

from mcu_sdk.errors import ToolMissingError

MICRO_BLOCK, BLOCK = 8, 128
"""Channels of an ethos-u55-128's micro-blocks, and output channels of a block. Vela chooses blocks for each linear, and divides
some into several streams, and other accelerators have other micro-blocks: all of that changes the bytes by a percent or so."""


def packed_bytes(values: torch.Tensor) -> int:
    """Bytes of one stream of weights int8[N, K], about. Raises ToolMissingError without ethos-u-vela."""
    try:
        from ethosu import mlw_codec
    except ModuleNotFoundError:
        raise ToolMissingError(
            "Packing weights for an Ethos-U needs ethos-u-vela, which is not installed.",
            hint="Install it: pip install ethos-u-vela",
        ) from None
    volume = np.ascontiguousarray(values.numpy().astype(np.int16)[:, None, None, :])
    block = min(len(volume), BLOCK)
    stream, _ = mlw_codec.reorder_encode(MICRO_BLOCK, MICRO_BLOCK, volume, block, False, False, 8, 8, 8)
    return len(stream)

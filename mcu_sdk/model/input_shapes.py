"""The shape of an encoder's main input, where it is no text, by its configuration."""

from __future__ import annotations

from typing import Any

from mcu_sdk.errors import UsageError

IMAGE_SIDE = 224
"""Pixels; for networks of convolutions, whose configuration names no size: what ImageNet's classifiers are trained at."""

SAMPLES = 16_000
"""Of a waveform where nothing is asked for: one second at the usual rate."""


def shape_of_input(
    name: str, config: Any, length: int | None, option: str = "--max-cache-len"
) -> tuple[int, ...] | None:
    """The shape of the main input `name` of one call; None where it is not known. `length`: samples of a waveform, which
    `option` asks for.

    Pixels are [1, C, H, W]; spectrograms [1, bins, frames] (Whisper) or [1, frames, bins] (AST); waveforms [1, samples],
    which all other input values are; time series [1, context, channels]. Raises UsageError for a waveform without samples.
    """

    def sizes(*names: str) -> tuple[int, ...] | None:
        values = [getattr(config, each, None) for each in names]
        found = tuple(value for value in values if isinstance(value, int) and value > 0)
        return found if len(found) == len(values) else None

    if name == "pixel_values":
        size = getattr(config, "image_size", IMAGE_SIDE)
        side = size if isinstance(size, (list, tuple)) else [size] * 2
        return (1, getattr(config, "num_channels", 3), *side)
    if name == "past_values" and (series := sizes("context_length", "num_input_channels")):
        return (1, *series)
    if name == "input_features" and (bins := sizes("num_mel_bins", "max_source_positions")):
        return (1, bins[0], 2 * bins[1])
    if name == "input_values" and (frames := sizes("max_length", "num_mel_bins")):
        return (1, *frames)
    if name == "input_values":
        if length is not None and length < 1:
            raise UsageError(
                f"A waveform has at least 1 sample; {option} {length} was given.",
                hint=f"Leave it out for {SAMPLES:,} samples.",
            )
        return (1, SAMPLES if length is None else length)
    return None

"""Images to calibrate on where nobody gives any: noise of every size over one another, as in photographs, where white
noise would leave out what filters for edges and areas answer to. Prepared as the checkpoint's own are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

COLOR = 0.3
"""What the channels differ by, as a share of what they have in common."""

CONTRASTS = (0.08, 0.15, 0.25, 0.5)
"""Standard deviations, of a range of 1, which the images have by turns; of the last one much is black or white."""


def made_up_images(shape: tuple[int, ...], facts: Mapping[str, Any], count: int) -> list[torch.Tensor]:
    """`count` images, float32[1, C, H, W], from a fixed seed. `facts`: of image_facts, where nothing is refused."""
    _, channels, height, width = shape
    return [_prepared(pixels, facts)[None] for pixels in _pixels(channels, height, width, count)]


def made_up_frames(channels: int, size: tuple[int, int], count: int) -> list[NDArray[np.uint8]]:
    """`count` frames of a camera, [height, width, channels], `size` being (height, width)."""
    return [pixels.permute(1, 2, 0).to(torch.uint8).numpy() for pixels in _pixels(channels, *size, count)]


def _pixels(channels: int, height: int, width: int, count: int) -> Iterator[torch.Tensor]:
    """Whole numbers from 0 to 255, float32[C, H, W]."""
    generator = torch.Generator().manual_seed(0)
    for number in range(count):
        picture = _picture(channels, height, width, generator)
        middle = 0.3 + 0.4 * torch.rand((), generator=generator)
        spread = float(picture.double().std(correction=0)) or 1.0
        pixels = picture * (CONTRASTS[number % len(CONTRASTS)] / spread) + middle
        yield (pixels.clamp(0, 1) * 255).round()


def _picture(channels: int, height: int, width: int, generator: torch.Generator) -> torch.Tensor:
    """float32[C, H, W]: areas of a half, a quarter ... of the image down to single pixels, each size with the same weight.
    Nothing is interpolated, so that every computer makes the same."""
    picture = torch.zeros(channels, height, width)
    cells = 1
    while cells < 2 * max(height, width):
        cells = min(cells, max(height, width))
        noise = torch.randn(1 + channels, cells, cells, generator=generator)
        mixed = noise[:1] + COLOR * noise[1:]
        rows, columns = (torch.arange(side) * cells // side for side in (height, width))
        picture += mixed[:, rows][:, :, columns]
        if cells == max(height, width):
            break
        cells *= 2
    return picture - float(picture.double().mean())


def _prepared(pixels: torch.Tensor, facts: Mapping[str, Any]) -> torch.Tensor:
    """Pixels from 0 to 255 as the model's input (mcu_sdk/project/images.py)."""
    values = pixels if facts["factor"] is None else pixels * facts["factor"]
    if facts["mean"] is not None and facts["std"] is not None:
        mean, std = (torch.tensor(facts[name]).reshape(-1, 1, 1) for name in ("mean", "std"))
        values = (values - mean) / std
    return values.flip(0) if facts["flip"] else values

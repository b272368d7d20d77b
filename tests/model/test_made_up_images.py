"""Made-up images are pixels, prepared as the checkpoint says, the same each time, and of every size of detail."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mcu_sdk.model.image_processor import prepares
from mcu_sdk.model.made_up_images import made_up_images

PLAIN: dict[str, Any] = {"factor": None, "mean": None, "std": None, "flip": False}


@pytest.mark.parametrize("shape", [(1, 3, 32, 32), (1, 1, 24, 40), (1, 3, 1, 1), (1, 3, 7, 5)])
def test_pixels(shape: tuple[int, ...]) -> None:
    first, second = (made_up_images(shape, PLAIN, 8) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    everything = torch.cat(first)
    assert everything.shape == (8, *shape[1:]) and everything.dtype == torch.float32
    assert torch.equal(everything, everything.round()) and everything.min() >= 0 and everything.max() <= 255
    if shape[2] >= 24:
        assert everything.min() == 0 and everything.max() == 255  # of the high contrasts
        assert len({float(image.std()) for image in first}) == 8


def test_they_have_areas_and_details() -> None:
    """Means of quarters differ by more than those of white noise would, and so do neighbours."""
    images = torch.cat(made_up_images((1, 1, 64, 64), PLAIN, 4))
    quarters = torch.nn.functional.avg_pool2d(images, 32).flatten(1).std(1)
    neighbours = (images[..., 1:] - images[..., :-1]).flatten(1).std(1)
    whole = images.flatten(1).std(1)
    assert (quarters > 4 * whole / 32).all() and (neighbours > 0.2 * whole).all()


def test_prepared_as_is_said() -> None:
    shape = (1, 3, 16, 16)
    facts = {"factor": 1 / 255, "mean": [0.5, 0.4, 0.3], "std": [0.2], "flip": True}
    assert prepares(facts, shape) and not prepares({"refused": "it"}, shape)
    assert not prepares({**facts, "mean": [0.5, 0.5]}, shape)
    for plain, ready in zip(made_up_images(shape, PLAIN, 3), made_up_images(shape, facts, 3), strict=True):
        wanted = (plain / 255 - torch.tensor([0.5, 0.4, 0.3]).reshape(3, 1, 1)) / 0.2
        torch.testing.assert_close(ready, wanted.flip(1))

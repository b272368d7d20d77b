"""An image file as a model's input, prepared as the checkpoint's preprocessor_config.json says (Pillow and numpy; what
transformers' own classes for Pillow compute, to the bit)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcu_sdk.errors import ToolMissingError, UsageError
from mcu_sdk.project.accuracy import read_facts
from mcu_sdk.project.preparation import YOURSELF, reading, said_of
from mcu_sdk.project.tensors import Border, borders_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    from mcu_sdk.project.opened import Project

MODES = {1: "L", 3: "RGB"}
"""What Pillow calls images of so many channels."""

DEEP = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
"""Modes of more than 8 bits a channel, which Pillow would cut."""


@dataclass(frozen=True)
class Preprocessing:
    """The steps, in this order; each None where it is not done. Sizes are (height, width); `edge`: of the shortest side."""

    edge: int | None
    size: tuple[int, int] | None
    resample: int
    crop: tuple[int, int] | None
    factor: float | None
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    flip: bool

    @classmethod
    def of(cls, facts: Mapping[str, Any], name: str) -> Preprocessing:
        """From model/report.json. Raises UsageError where it says nothing, or why it does not know."""
        said = said_of(facts, "images", name, "no image processor is known of it")
        with reading("images", name):
            resize, crop, mean, std = (said[key] for key in ("resize", "crop", "mean", "std"))
            edge = None if resize is None else resize.get("shortest_edge")
            size = None if resize is None or edge is not None else (resize["height"], resize["width"])
            return cls(
                edge,
                size,
                int(said["resample"]),
                None if crop is None else (crop["height"], crop["width"]),
                None if said["factor"] is None else float(said["factor"]),
                None if mean is None else tuple(map(float, mean)),
                None if std is None else tuple(map(float, std)),
                bool(said["flip"]),
            )

    def apply(self, image: Image) -> NDArray[Any]:
        """float32[C, H, W] of an image of 8 bits a channel; uint8 where nothing makes floats of it."""
        import numpy as np

        if (size := self._new_size(image.height, image.width)) is not None:
            image = image.resize((size[1], size[0]), resample=self.resample)
        pixels = np.asarray(image)
        array = np.moveaxis(pixels[..., None] if pixels.ndim == 2 else pixels, -1, 0)
        if self.crop is not None:
            array = _center(array, *self.crop)
        if self.factor is not None:
            array = (array.astype(np.float64) * self.factor).astype(np.float32)
        array = array.astype(np.float32, copy=False)
        if self.mean is not None and self.std is not None:
            mean, std = (np.array(values, np.float32).reshape(-1, 1, 1) for values in (self.mean, self.std))
            array = (array - mean) / std
        return np.ascontiguousarray(array[::-1] if self.flip else array)

    def _new_size(self, height: int, width: int) -> tuple[int, int] | None:
        if self.edge is None:
            return self.size
        if width <= height:
            return int(self.edge * height / width), self.edge
        return self.edge, int(self.edge * width / height)


def _center(array: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """The middle of array[C, H, W]; zeros around it where it is smaller."""
    import numpy as np

    channels, rows, columns = array.shape
    tall, wide = max(rows, height), max(columns, width)
    if (tall, wide) != (rows, columns):
        top, left = math.ceil((tall - rows) / 2), math.ceil((wide - columns) / 2)
        padded = np.zeros((channels, tall, wide), array.dtype)
        padded[:, top : top + rows, left : left + columns] = array
        # Where the original's middle is, though it is rounded down there and up here.
        top, left = (rows - height) // 2 + top, (columns - width) // 2 + left
        return padded[:, max(0, top) : min(tall, top + height), max(0, left) : min(wide, left + width)]
    top, left = (rows - height) // 2, (columns - width) // 2
    return array[:, top : top + height, left : left + width]


def read_image(project: Project, path: Path) -> dict[str, NDArray[Any]]:
    """The project's only input, by its name, from an image file. Raises UsageError for a model that takes none or an image
    that does not become one, and ToolMissingError without Pillow."""
    facts = read_facts(project.folder / "model")
    frame = frame_of(facts)
    border = _input(project, frame)
    if frame is not None:
        return {border.name: _frame(path, frame, border.shape[3])}
    preprocessing = Preprocessing.of(facts, project.manifest.name)
    for name in ("mean", "std"):
        values = getattr(preprocessing, name)
        if values is not None and len(values) not in (1, border.shape[1]):
            raise UsageError(
                f"The checkpoint has {len(values)} values of image_{name}; the model takes {border.shape[1]} channels.",
                hint=YOURSELF,
            )
    array = preprocessing.apply(_open(path, border.shape[1]))
    if array.shape != border.shape[1:]:
        found, wanted = (" x ".join(map(str, shape)) for shape in (array.shape, border.shape[1:]))
        raise UsageError(
            f"{str(path)!r} becomes {found} as the checkpoint's preprocessor_config.json has it; the model takes {wanted}.",
            hint=f"Crop it to the shape of the model's input, or: {YOURSELF[0].lower()}{YOURSELF[1:]}",
        )
    return {border.name: array[None]}


def frame_of(facts: Mapping[str, Any]) -> tuple[int, int] | None:
    """(height, width) of the camera's frames that a model takes by model/report.json; None of one that takes images."""
    said = facts.get("images")
    frame = said.get("frame") if isinstance(said, Mapping) else None
    if not isinstance(frame, list) or len(frame) != 2 or not all(type(side) is int for side in frame):
        return None
    return frame[0], frame[1]


def _frame(path: Path, frame: tuple[int, int], channels: int) -> NDArray[Any]:
    """uint8[1, H, W, C]. Raises UsageError for an image of another size."""
    import numpy as np

    image = _open(path, channels)
    if (image.height, image.width) != frame:
        raise UsageError(
            f"A frame of {frame[1]} x {frame[0]} pixels was expected, as the firmware takes; {str(path)!r} has {image.width} x "
            f"{image.height}.",
            hint=f"Resize it, or generate for its size: --frame {image.width}x{image.height}.",
        )
    return np.asarray(image, np.uint8).reshape(1, *frame, channels)


def _input(project: Project, frame: tuple[int, int] | None) -> Border:
    """The only input, float32[1, C, H, W] of 1 or 3 channels, or uint8[1, H, W, C] of frames."""
    inputs = borders_of(project).inputs if not project.is_language_model else ()
    dtype, axis = ("float32", 1) if frame is None else ("uint8", 3)
    if len(inputs) != 1 or inputs[0].dtype != dtype or len(inputs[0].shape) != 4:
        told = (
            "tokens" if project.is_language_model else ", ".join(f"{b.name} {b}" for b in inputs) or "nothing"
        )
        raise UsageError(
            f"--image is for models of one image; {project.manifest.name} takes {told}.",
            hint="Give it what it takes: --prompt, --text or --input.",
        )
    if inputs[0].shape[0] != 1 or inputs[0].shape[axis] not in MODES:
        raise UsageError(
            f"--image is for one image of 1 or 3 channels; {project.manifest.name} takes {inputs[0]}.",
            hint=YOURSELF,
        )
    return inputs[0]


def _open(path: Path, channels: int) -> Image:
    """The image as it is looked at, in 8 bits a channel. Transparency is left out, as transformers does."""
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise ToolMissingError(
            "--image needs the Python package pillow, which is not installed.",
            hint='Install the extra: pip install "mcu-sdk[vision]"',
        ) from error
    try:
        with Image.open(path) as image:
            frames = getattr(image, "n_frames", 1)
            if frames > 1:
                raise UsageError(
                    f"{str(path)!r} has {frames} images; one is wanted.", hint="Save one of them by itself."
                )
            if image.mode in DEEP:
                raise UsageError(
                    f"{str(path)!r} has more than 8 bits a channel (mode {image.mode}); 8 are wanted.",
                    hint="Save it with 8 bits, scaled as its values are meant.",
                )
            return ImageOps.exif_transpose(image).convert(MODES[channels])
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError, Image.DecompressionBombError) as error:
        raise UsageError(
            f"{str(path)!r} cannot be read as an image: {getattr(error, 'strerror', None) or error}.",
            hint="Give a PNG, JPEG or another format that Pillow reads.",
        ) from error

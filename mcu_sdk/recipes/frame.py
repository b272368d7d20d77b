"""A camera's frame -> an image model's main input, as a part of the model: what transformers' image processors do, and held
against them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mcu_sdk.errors import ModelError, ToolMissingError, UsageError
from mcu_sdk.model.image_processor import image_facts
from mcu_sdk.model.input_shapes import shape_of_input
from mcu_sdk.operators.reference.frame import resampled
from mcu_sdk.operators.resampling import cropped, flat, spans_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from mcu_sdk.model.load import Checkpoint

FRAME = "frame"
"""The name of its input."""


class FrameFront(nn.Module):
    """forward(frame uint8[1, H, W, C]) -> float32[1, C, h, w]. `facts`: of image_facts, nothing refused; `frame`: (height,
    width); `shape`: that of the main input, [1, C, h, w].

    Raises ModelError where the facts make images of another size of such a frame, and ToolMissingError without Pillow.
    """

    column_spans: torch.Tensor
    column_weights: torch.Tensor
    row_spans: torch.Tensor
    row_weights: torch.Tensor
    table: torch.Tensor

    def __init__(self, facts: Mapping[str, Any], frame: tuple[int, int], shape: Sequence[int]) -> None:
        super().__init__()
        self.facts, self.frame, self.channels = dict(facts), frame, int(shape[1])
        self.input_names: tuple[str, ...] = (FRAME,)
        rows, columns = self._axes((int(shape[2]), int(shape[3])))
        self.ring = max(1, *(count for _, count in rows[0].tolist()))
        self.rows_first = _rows_first(frame, _resized(facts["resize"], frame), facts["resample"])
        tables = {
            "column_spans": columns[0],
            "column_weights": columns[1],
            "row_spans": rows[0],
            "row_weights": rows[1],
            "table": _values(facts, self.channels),
        }
        for name, table in tables.items():
            self.register_buffer(name, torch.from_numpy(table))

    def forward(self, frame: torch.Tensor) -> torch.Tensor:
        tables = (self.column_spans, self.column_weights, self.row_spans, self.row_weights, self.table)
        image: torch.Tensor = torch.ops.mcu.resize_frame(frame, *tables, self.ring, self.rows_first)[0]
        image = image.permute(0, 3, 1, 2)
        return image.flip(1) if self.facts["flip"] else image

    def calls_of(self, frames: Sequence[NDArray[np.uint8]]) -> list[tuple[torch.Tensor, ...]]:
        """The calls of frames of pixels [H, W, C]."""
        return [(torch.from_numpy(np.ascontiguousarray(pixels))[None],) for pixels in frames]

    def _axes(self, wanted: tuple[int, int]) -> list[tuple[NDArray[np.int32], NDArray[np.int32]]]:
        sides = _resized(self.facts["resize"], self.frame)
        crop = self.facts["crop"]
        size = sides if crop is None else (crop["height"], crop["width"])
        if size != wanted:
            found, expected = (" x ".join(map(str, size)) for size in (size, wanted))
            raise ModelError(
                f"Images of {expected} pixels (height x width) were expected, as the model takes; a frame of "
                f"{self.frame[0]} x {self.frame[1]} becomes {found} as the checkpoint's preprocessor_config.json has it.",
                hint="Take another --frame, or leave it out and prepare images on the host.",
            )
        return [
            cropped(*spans_of(length, side, self.facts["resample"]), side, end, length)
            for length, side, end in zip(self.frame, sides, wanted, strict=True)
        ]


def _resized(resize: Mapping[str, int] | None, frame: tuple[int, int]) -> tuple[int, int]:
    """(height, width) after resizing (project/images.py)."""
    if resize is None:
        return frame
    edge = resize.get("shortest_edge")
    if edge is None:
        return resize["height"], resize["width"]
    height, width = frame
    return (int(edge * height / width), edge) if width <= height else (edge, int(edge * width / height))


def _values(facts: Mapping[str, Any], channels: int) -> NDArray[np.float32]:
    """[C, 256]: what each of the frame's channels becomes, by the same operations as project/images.py.

    Raises ModelError for a number of means or deviations that is not that of the channels.
    """
    values = np.arange(256, dtype=np.uint8)[None].repeat(channels, 0)
    if facts["factor"] is not None:
        values = (values.astype(np.float64) * facts["factor"]).astype(np.float32)
    values = values.astype(np.float32, copy=False)
    for name in ("mean", "std"):
        if facts[name] is not None and len(facts[name]) not in (1, channels):
            raise ModelError(
                f"{channels} values of image_{name} were expected, one for each channel; preprocessor_config.json has "
                f"{len(facts[name])}.",
                hint="Mend the file, or leave --frame out.",
            )
    if facts["mean"] is not None and facts["std"] is not None:
        mean, std = (np.array(facts[name], np.float32).reshape(-1, 1) for name in ("mean", "std"))
        values = (values - mean) / std
    return np.ascontiguousarray(values, np.float32)


def pillow() -> Any:
    """PIL.Image. Raises ToolMissingError where it is not installed."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ToolMissingError(
            "--frame needs the Python package pillow, which is not installed.",
            hint='Install the extra: pip install "mcu-sdk[vision]"',
        ) from error
    return Image


def _rows_first(frame: tuple[int, int], sides: tuple[int, int], resample: int) -> bool:
    """In which order Pillow, whose versions differ there, resizes such a frame: found by trying. Raises ToolMissingError
    without it."""
    if frame[0] == sides[0] or frame[1] == sides[1]:
        return False
    generator = np.random.default_rng(0)
    count = max(1, min(64, 4096 // (sides[0] * sides[1])))  # of few pixels both ways are alike by chance
    tried = [generator.integers(0, 256, frame).astype(np.uint8) for _ in range(count)]
    wanted = [
        np.asarray(pillow().fromarray(pixels).resize(sides[::-1], resample=resample)) for pixels in tried
    ]
    axes = [flat(*spans_of(length, side, resample)) for length, side in zip(frame, sides, strict=True)]
    for order in ((1, 0), (0, 1)):
        made = np.stack(tried, -1).astype(np.int64)
        for axis in order:
            made = resampled(made, axis, *axes[axis])
        if np.array_equal(made, np.stack(wanted, -1)):
            return order == (0, 1)
    raise ModelError(
        f"Pillow {version('pillow')} resizes a frame of {frame[1]} x {frame[0]} pixels in a way that is not known here.",
        hint="Please report it. Without --frame the model takes images that are prepared on the host.",
    )


# ---- of a checkpoint


def make_frame_front(model: PreTrainedModel, checkpoint: Checkpoint, frame: tuple[int, int]) -> FrameFront:
    """The front end of a model of images for frames of (height, width) pixels. Raises UsageError for another model, or one
    whose checkpoint does not say how images are prepared, and what FrameFront raises."""
    facts = image_facts(checkpoint.folder)
    shape = shape_of_input("pixel_values", model.config, None)
    if model.main_input_name != "pixel_values" or shape is None:
        why = f"takes {model.main_input_name}"
    elif "refused" in facts:
        why = f"is not known to prepare them: {facts['refused']}"
    else:
        return FrameFront(facts, frame, shape)
    raise UsageError(f"--frame is for models of images; {checkpoint.name} {why}.", hint="Leave --frame out.")


def compare_frames(front: FrameFront, checkpoint: Checkpoint, calls: Sequence[Sequence[Any]]) -> None:
    """Raises ModelError where frames do not become, to the bit, what transformers' own class for Pillow makes of them."""
    import transformers

    processor = transformers.AutoImageProcessor.from_pretrained(checkpoint.folder, backend="pil")
    for (frame,) in calls:
        pixels = frame[0].numpy()
        image = pillow().fromarray(pixels if front.channels == 3 else pixels[..., 0])
        theirs = np.asarray(processor(image, return_tensors="np")["pixel_values"], np.float32)
        if not np.array_equal(front(frame).numpy(), theirs):
            raise ModelError(
                f"A frame was expected to become what the checkpoint's own {type(processor).__name__} makes of it; it does "
                "not.",
                hint="That is a defect in mcu-sdk's front end; please report it with preprocessor_config.json. Without "
                "--frame the model takes prepared images.",
            )

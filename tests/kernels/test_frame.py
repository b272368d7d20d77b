"""A camera's frames: the kernel is its reference, and the reference is Pillow, bit for bit."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mcu_sdk.operators.reference.frame import resize_frame
from mcu_sdk.project.images import Preprocessing
from mcu_sdk.recipes.frame import FrameFront
from tests.kernels.call import Guarded, assert_same_bits, call

SIDES = st.integers(1, 70)


class Sizes(ctypes.Structure):
    """McuResizeFrame."""

    _fields_ = [
        (name, ctypes.c_int32) for name in ("width", "channels", "columns", "rows", "ring", "rows_first")
    ]


@st.composite
def processors(draw: Any, channels: int) -> dict[str, Any]:
    """What image_facts says of an image processor."""
    size = st.builds(lambda h, w: {"height": h, "width": w}, SIDES, SIDES)
    edge = st.builds(lambda side: {"shortest_edge": side}, st.integers(1, 40))
    return {
        "resize": draw(st.one_of(st.none(), size, edge)),
        "crop": draw(st.one_of(st.none(), size)),
        "resample": draw(st.integers(0, 5)),
        "factor": draw(st.sampled_from([None, 1 / 255])),
        "mean": draw(st.sampled_from([None, [0.4], [0.5, 0.4, 0.3][:channels]])),
        "std": [0.2, 0.3, 0.25][:channels],
        "flip": draw(st.booleans()) and channels == 3,
    }


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    channels=st.sampled_from([1, 3]),
    height=SIDES,
    width=SIDES,
    seed=st.integers(0, 2**32 - 1),
)
def test_frames_become_what_pillow_makes_of_them(
    kernel_library: ctypes.CDLL, data: Any, channels: int, height: int, width: int, seed: int
) -> None:
    facts = data.draw(processors(channels))
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels)).astype(np.uint8)
    image = Image.fromarray(pixels if channels == 3 else pixels[..., 0])
    wanted = Preprocessing.of({"images": facts}, "test").apply(image)
    front = FrameFront(facts, (height, width), (1, *wanted.shape))
    assert_same_bits(front(*front.calls_of([pixels])[0])[0].numpy(), wanted)
    for table in (front.table, torch.arange(channels * 256).reshape(channels, 256).to(torch.int8)):
        compare(kernel_library, front, pixels, table)


def compare(
    library: ctypes.CDLL, front: FrameFront, pixels: np.ndarray[Any, Any], table: torch.Tensor
) -> None:
    """The kernel and its reference."""
    tables = (front.column_spans, front.column_weights, front.row_spans, front.row_weights, table)
    expected, scratch = resize_frame(torch.from_numpy(pixels)[None], *tables, front.ring, front.rows_first)
    columns, rows = len(front.column_spans), len(front.row_spans)
    sizes = Sizes(pixels.shape[1], pixels.shape[2], columns, rows, front.ring, front.rows_first)
    parameters = np.frombuffer(bytearray(sizes), np.int32).copy()
    kind = table.numpy().dtype
    out = Guarded(tuple(expected.shape), kind)
    name = "resize_frame_f32" if kind == np.float32 else "resize_frame_s8"
    room = Guarded((len(scratch),), np.uint8)
    call(library, name, pixels, *(each.numpy() for each in tables), out, room, parameters)
    assert_same_bits(out.array, expected.numpy())

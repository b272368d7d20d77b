"""The inputs that a firmware makes up itself, computed again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def made_up_inputs(shapes: Sequence[tuple[str, int]], seed: int, steps: int = 1) -> list[list[NDArray[Any]]]:
    """The inputs that `@run steps=N seed=S` makes on the device: for each step, one flat array for each input.

    `shapes` are (numpy dtype name, elements). The formula is in firmware/runtime/tensor_model.h.
    """
    import numpy as np

    state = seed & 0xFFFFFFFF or 1
    result = []
    for _ in range(steps):
        arrays = []
        for kind, count in shapes:
            numbers = np.empty(count, dtype=np.uint32)
            for i in range(count):
                state ^= state << 13 & 0xFFFFFFFF
                state ^= state >> 17
                state ^= state << 5 & 0xFFFFFFFF
                numbers[i] = state
            arrays.append(_as(kind, numbers))
        result.append(arrays)
    return result


def _as(kind: str, x: NDArray[np.uint32]) -> NDArray[Any]:
    """Random 32-bit numbers as values of one type."""
    import numpy as np

    signed = x.view(np.int32)
    if kind in ("int8", "uint8"):
        return (x >> 24).astype(np.uint8).view(kind)
    if kind == "int16":
        return (x >> 16).astype(np.uint16).view(np.int16)
    if kind in ("int32", "int64"):
        return (x >> 30).astype(kind)
    if kind == "bool":
        return (x >> 31).astype(np.bool_)
    if kind == "float16":
        return ((signed >> 21) / 1024.0).astype(np.float16)
    return ((signed >> 8) / 8388608.0).astype(kind)

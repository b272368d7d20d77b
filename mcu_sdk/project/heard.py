"""A language model whose encoder takes tensors, a sound mostly: these are put into its inputs, then it is asked for an
answer."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

from mcu_sdk.console import log
from mcu_sdk.errors import UsageError
from mcu_sdk.project.asked import Sampling
from mcu_sdk.project.tensors import ATTEMPTS, Borders, borders_of, prepare
from mcu_sdk.targets.protocol import Request
from mcu_sdk.targets.transfer import puts_of
from mcu_sdk.targets.verdict import InputsLostError, check_verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mcu_sdk.project.opened import Project
    from mcu_sdk.project.runners import Device
    from mcu_sdk.targets.protocol import Transcript


@dataclass(frozen=True)
class Heard:
    """The encoder's inputs, in its order and shapes, and what is asked about them."""

    borders: Borders
    arrays: tuple[NDArray[Any], ...]
    request: Request

    @classmethod
    def of(cls, project: Project, arrays: Mapping[str, NDArray[Any]], **sampling: Unpack[Sampling]) -> Heard:
        """Raises UsageError for arrays that the encoder does not take, or more than one of each, and for a mask that is none
        of rows at the beginning."""
        borders = borders_of(project)
        inputs = prepare(borders.inputs, arrays)
        if inputs.stacked:
            raise UsageError(
                f"An answer is about one call of the encoder; there are arrays for {len(inputs.steps)}.",
                hint="Give them one by one.",
            )
        (given,) = inputs.steps
        found = cls(borders, given, project.request_of_inputs(**sampling))
        if project.masks_rows and found.last() is None:
            raise UsageError(
                f"The input {borders.inputs[-1].name} is 1 for the encoder's rows that count, one at least, and 0 for those "
                "behind them.",
                hint="`run --audio` makes it of a sound.",
            )
        return found

    def last(self) -> int | None:
        """The place of the last row that the mask, the last input, counts; None where that is no beginning of them."""
        import numpy as np

        mask = self.arrays[-1].ravel()
        count = int(mask.sum())
        return count - 1 if count and np.array_equal(mask, np.arange(len(mask)) < count) else None

    def stored(self) -> list[NDArray[Any]]:
        """The elements of each input as they lie in memory, flat."""
        import numpy as np

        return [
            np.frombuffer(border.to_bytes(array), border.dtype).copy()
            for border, array in zip(self.borders.inputs, self.arrays, strict=True)
        ]

    def ask(self, device: Device, request: Request | None = None) -> Transcript:
        """What a firmware answers to this, or another, request. A board that is reset in the middle begins again. Raises
        what the device and `check_verdict` raise."""
        data = b"".join(array.tobytes() for array in self.stored())
        puts = puts_of(data)
        for attempt in range(1, ATTEMPTS + 1):
            with closing(device.each([*puts, request or self.request])) as answers:
                try:
                    for _ in puts:
                        check_verdict(next(answers), device.name)
                    return check_verdict(next(answers), device.name)
                except InputsLostError:
                    if attempt == ATTEMPTS:
                        raise
            log(f"  {device.name} lost its inputs; beginning again")
        raise AssertionError("the last attempt returns or raises")

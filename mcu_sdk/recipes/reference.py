"""The checkpoint that a project was generated from, as a reference for what its firmware computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mcu_sdk.console import quiet_libraries
from mcu_sdk.errors import McuSdkError
from mcu_sdk.model.load import Checkpoint, find_checkpoint

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mcu_sdk.model.encoder import Encoder

Found = TypeVar("Found")
Arrays = list["NDArray[Any]"]

BEYOND = 16
"""Tokens beyond the end of a cache that are compared with the checkpoint."""

SAMPLE = 2
"""Calls of those that an encoder was calibrated on."""


@dataclass(frozen=True)
class CheckpointReference:
    """The float outputs of a checkpoint; None where it is not at hand: not there, or not the one with this fingerprint.

    `model`: None for the bundled one; `text`: the file that was calibrated on, if any; `samples`: whether that is at
    hand; `for_npu`: whether an encoder was made for an NPU, and so has no front end; `stream`: of
    sound, frames of a step; `frame`: (height, width) of a camera's; `slides`: (positions, sinks) of a decoder's cache that
    slides.
    """

    model: str | None
    fingerprint: str | None
    text: Path | None = None
    samples: bool = True
    for_npu: bool = False
    stream: int | None = None
    frame: tuple[int, int] | None = None
    slides: tuple[int, int] | None = None

    def logits(self, tokens: Sequence[int]) -> NDArray[Any] | None:
        """Of a decoder: float32[len(tokens), V]; of one whose cache slides at most BEYOND more than it has positions, each of
        which takes a pass over all before."""

        def compute() -> NDArray[Any] | None:
            import torch

            from mcu_sdk.lowering.guard import checkpoint_logits
            from mcu_sdk.lowering.sliding_guard import sliding_logits
            from mcu_sdk.model.load import load_model

            checkpoint = self._checkpoint
            if checkpoint is None:
                return None
            model, read = load_model(checkpoint), torch.tensor([list(tokens)])
            if self.slides is None:
                (found,) = checkpoint_logits(model, read)
            else:
                length, sinks = self.slides
                (found,) = sliding_logits(model, read[:, : length + BEYOND], length, sinks)
            logits: NDArray[Any] = found.numpy()
            return logits

        return _if_at_hand(compute)

    def pair_logits(self, source: Arrays, tokens: Sequence[int]) -> NDArray[Any] | None:
        """Of a decoder that attends to an encoder: float32[len(tokens), V], where the encoder has taken `source`, arrays of its
        shapes."""

        def compute() -> NDArray[Any] | None:
            import torch

            from mcu_sdk.lowering.encoder_decoder import Heads
            from mcu_sdk.lowering.pair_guard import pair_logits
            from mcu_sdk.model.encoder import Microphone
            from mcu_sdk.model.encoder_calls import input_shape
            from mcu_sdk.model.encoder_decoder import load_pair, pair_architecture
            from mcu_sdk.recipes.fronts import front_maker

            checkpoint = self._checkpoint
            architecture = pair_architecture(checkpoint) if checkpoint is not None else None
            if checkpoint is None or architecture is None:
                return None
            model, encoder = load_pair(checkpoint, architecture, front_maker(None, None))
            if isinstance(encoder.front, Microphone):
                encoder.take_sound(input_shape(encoder, source[0].shape[1]))
            call = tuple(torch.from_numpy(array.copy()) for array in source)
            (found,) = pair_logits(model, Heads(model, encoder), [call], torch.tensor([list(tokens)]))
            logits: NDArray[Any] = found.numpy()
            return logits

        return _if_at_hand(compute)

    def outputs(self, steps: Sequence[Sequence[NDArray[Any]]]) -> list[Arrays] | None:
        """Of an encoder, for the inputs of each step in the model's shapes: flat arrays."""

        def compute() -> list[Arrays] | None:
            import torch

            from mcu_sdk.lowering.guard import outputs_of
            from mcu_sdk.lowering.memoryless import without_memory

            encoder = self._encoder
            if encoder is None or any(len(arrays) != len(encoder.input_names) for arrays in steps):
                return None  # the second: a project of an earlier version, for an NPU
            calls = [[torch.from_numpy(array.copy()) for array in arrays] for arrays in steps]
            try:
                if not self.for_npu:
                    with without_memory(encoder):
                        encoder.look_for_optional_outputs(tuple(calls[0]))
                with without_memory(encoder):
                    found = [outputs_of(encoder, call) for call in calls]
            except (
                RuntimeError,
                IndexError,
            ):  # an id beyond the vocabulary, say, of which the firmware makes zeros
                return None
            return [[output.contiguous().flatten().numpy() for output in outputs] for outputs in found]

        return _if_at_hand(compute)

    def sample(self, length: int) -> list[Arrays] | None:
        """Inputs of the kind that an encoder was calibrated on, `length` elements in the first one."""

        def compute() -> list[Arrays] | None:
            from mcu_sdk.model.encoder_calls import example_calls
            from mcu_sdk.recipes.unread_padding import without_padding

            encoder, checkpoint = self._encoder, self._checkpoint
            if encoder is None or checkpoint is None or not self.samples:
                return None
            is_text = encoder.input_name == "input_ids"
            is_long = is_text or (
                encoder.input_name == "input_values" and not self.stream
            )  # tokens, or samples
            calls = example_calls(encoder, length if is_long else None, self.text, checkpoint)
            if not self.for_npu:
                calls = without_padding(encoder, calls)
            return [[tensor.numpy() for tensor in call] for call in calls[:SAMPLE]]

        return _if_at_hand(compute)

    @cached_property
    def _checkpoint(self) -> Checkpoint | None:
        if self.fingerprint is None:
            return None
        found = find_checkpoint(self.model)
        return found if found.fingerprint() == self.fingerprint else None

    @cached_property
    def _encoder(self) -> Encoder | None:
        from mcu_sdk.model.encoder import encoder_architecture, load_encoder
        from mcu_sdk.recipes.fronts import front_maker

        checkpoint = self._checkpoint
        architecture = encoder_architecture(checkpoint) if checkpoint is not None else None
        if checkpoint is None or architecture is None:
            return None
        make_front = front_maker(self.stream, self.frame)
        return load_encoder(checkpoint, architecture, for_npu=self.for_npu, make_front=make_front).eval()


def _if_at_hand(compute: Callable[[], Found | None]) -> Found | None:
    """What it computes; None where a file is not there any more, or what it holds is refused."""
    try:
        with quiet_libraries():
            return compute()
    except (McuSdkError, OSError):
        return None

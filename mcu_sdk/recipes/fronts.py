"""Which front end a model gets: of sound, or of a camera's frames; and that it is what transformers has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mcu_sdk.model.encoder import Front, MakeFront
from mcu_sdk.model.load import Checkpoint
from mcu_sdk.operators.reference.sound_front import SoundFront
from mcu_sdk.recipes.frame import FrameFront, compare_frames, make_frame_front
from mcu_sdk.recipes.sound import compare_with_transformers, make_sound_front

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def front_maker(stream: int | None, frame: tuple[int, int] | None) -> MakeFront:
    """`stream`: frames of sound that are new in a step; `frame`: (height, width) of a camera's. Making it raises UsageError
    for a model that takes nothing of the kind."""

    def make(model: PreTrainedModel, checkpoint: Checkpoint) -> Front | None:
        sound = make_sound_front(model, checkpoint, stream)
        return sound if frame is None else make_frame_front(model, checkpoint, frame)

    return make


def compare_front(front: Front, checkpoint: Checkpoint, calls: Sequence[Sequence[Any]]) -> float:
    """The greatest difference from what transformers' own class makes of the calls' inputs. Raises ModelError where that is
    more than can be explained."""
    if isinstance(front, SoundFront):
        return compare_with_transformers(front, checkpoint, calls)
    assert isinstance(front, FrameFront)
    compare_frames(front, checkpoint, calls)
    return 0.0

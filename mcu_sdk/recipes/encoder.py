"""An encoder's checkpoint -> a .pte, for a processor or an NPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mcu_sdk.model.load import Checkpoint
from mcu_sdk.options import CompileOptions
from mcu_sdk.recipes.compiled import CompiledModel
from mcu_sdk.recipes.module import compile_for_npu, compile_for_processor
from mcu_sdk.recipes.stage import stage

if TYPE_CHECKING:
    from torch import nn

    from mcu_sdk.model.encoder import Encoder

RANDOM_NOTE = (
    "The int8 scales were taken from random {what}, since there was no --calibration-text: of the kind of input that the "
    "model is for they would be better."
)

SOUNDS_NOTE = (
    "The int8 scales were taken from made-up sounds, prepared as the checkpoint says; `verify --audio FILE` tells how well they "
    "suit a real one."
)

IMAGES_NOTE = (
    "The int8 scales were taken from made-up images, prepared as the checkpoint says; `verify --image FILE` tells how well they "
    "suit a real one."
)


def compile_encoder(checkpoint: Checkpoint, architecture: str, options: CompileOptions) -> CompiledModel:
    """Load the class `architecture` of transformers, make calls to calibrate on, and compile it as any module, int8 at
    calibrated scales. Raises UsageError for a length that the model does not have, ModelError and TextError."""
    with stage(f"Loading PyTorch and the checkpoint, a {architecture}"):
        from mcu_sdk.lowering.memoryless import without_memory
        from mcu_sdk.model.encoder import labels_of, load_encoder
        from mcu_sdk.model.encoder_calls import example_calls
        from mcu_sdk.recipes.fronts import front_maker

        encoder = load_encoder(
            checkpoint,
            architecture,
            for_npu=options.npu is not None,
            make_front=front_maker(options.stream, options.frame_size()),
        )
        labels = labels_of(encoder)
        calls = example_calls(encoder, options.cache_length, options.calibration_text, checkpoint)
        if options.npu is None:
            with without_memory(encoder):
                encoder.look_for_optional_outputs(calls[0])
    front = _compare_front(encoder, checkpoint, calls)
    if options.npu is not None:
        compiled = compile_for_npu(encoder, calls, options.npu)
    else:
        from mcu_sdk.recipes.unread_padding import without_padding

        compiled = compile_for_processor(
            encoder,
            calls,
            calibration=without_padding(encoder, calls),
            layout=options.weight_layout,
            reference=_as_written(encoder),
            logits=encoder.gives_logits,
            record=options.etrecord,
        )
    facts = {**compiled.facts, **_facts(encoder, checkpoint, labels), **front}
    if options.calibration_text is None:
        facts["notes"] = [*facts.get("notes", ()), _note(facts)]
    return replace(compiled, facts=facts)


def _note(facts: Mapping[str, Any]) -> str:
    """What the scales were taken from."""
    if "refused" not in facts.get("images", {"refused": ""}):
        return IMAGES_NOTE
    if facts.get("sounds", {}).get("front") == DEVICE:
        return SOUNDS_NOTE
    return RANDOM_NOTE.format(what="token ids" if "texts" in facts else "noise")


def _facts(encoder: Encoder, checkpoint: Checkpoint, labels: dict[str, Any] | None) -> dict[str, Any]:
    """What is called how, how a classifier's scores are read, and how texts or images become its inputs."""
    from mcu_sdk.model.encoder_calls import texts_of

    return {
        "task": encoder.task.name,
        "input_names": list(encoder.input_names),
        "output_names": list(encoder.output_names),
        **({"labels": labels} if labels is not None else {}),
        **({"texts": texts_of(encoder)} if encoder.input_name == "input_ids" else {}),
        **_images(encoder, checkpoint),
        **_sounds(encoder, checkpoint),
    }


DEVICE, HOST = "device", "host"
"""Where the features of a sound are computed: within the model, or by what sends it its input."""


def _images(encoder: Encoder, checkpoint: Checkpoint) -> dict[str, Any]:
    """How images become the main input, and of which (height, width) a camera's frames are that the model takes."""
    from mcu_sdk.model.encoder import Camera
    from mcu_sdk.model.image_processor import image_facts

    if isinstance(encoder.front, Camera):
        return {"images": {**encoder.front.facts, "frame": list(encoder.front.frame)}}
    return {"images": image_facts(checkpoint.folder)} if encoder.input_name == "pixel_values" else {}


def _sounds(encoder: Encoder, checkpoint: Checkpoint) -> dict[str, Any]:
    from mcu_sdk.model.encoder import Microphone, sound_facts_of

    if isinstance(encoder.front, Microphone):
        return {"sounds": {**encoder.front.facts, "front": DEVICE}}
    facts = sound_facts_of(encoder.model, checkpoint)
    return {} if facts is None else {"sounds": {**facts, "front": HOST}}


def _compare_front(
    encoder: Encoder, checkpoint: Checkpoint, calls: Sequence[tuple[Any, ...]]
) -> dict[str, Any]:
    """The front end against transformers' own class. Raises ModelError where they differ."""
    from mcu_sdk.recipes.fronts import compare_front

    if encoder.front is None:
        return {}
    with stage("Comparing the front end with transformers' own"):
        return {"front_error": compare_front(encoder.front, checkpoint, calls)}


def _as_written(encoder: Encoder) -> nn.Module:
    """The encoder with attention in plain PyTorch, as its authors wrote it: what the exported one is compared with."""
    import torch

    from mcu_sdk.lowering.guard import eager_attention

    class Eager(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder

        def forward(self, *inputs: torch.Tensor) -> Any:
            with eager_attention(encoder.model):
                return encoder(*inputs)

    return Eager()

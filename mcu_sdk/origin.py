"""What a project was made from, as far as it is at hand: its checkpoint, and the library's side of its tokenizer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcu_sdk.project.accuracy import read_facts
from mcu_sdk.project.images import frame_of
from mcu_sdk.project.manifest import TOKENIZER, digest, read_places

if TYPE_CHECKING:
    from mcu_sdk.model.text_encoder import TextEncoder
    from mcu_sdk.project.opened import Project
    from mcu_sdk.recipes.reference import CheckpointReference


def checkpoint_of(project: Project) -> CheckpointReference | None:
    """The checkpoint that the project was made from; None for a .pte, whose checkpoint is not known."""
    entry, accuracy = project.manifest.inputs.get("model"), project.accuracy()
    if entry is None:
        return None
    from mcu_sdk.recipes.reference import CheckpointReference

    places = read_places(project.folder)
    model = entry.name if entry.kind in ("packaged", "hub") else str(places.get("model"))
    text, said = places.get("calibration_text"), project.manifest.inputs.get("calibration_text")
    if said is not None and (text is None or not text.is_file() or digest(text.read_bytes()) != said.sha256):
        text, samples = None, False
    else:
        samples = True
    fingerprint, for_npu = accuracy.checkpoint if accuracy else None, project.accelerator is not None
    facts = read_facts(project.folder / "model")
    sounds = facts.get("sounds")
    stream = sounds.get("stream") if isinstance(sounds, dict) else None
    return CheckpointReference(
        model,
        fingerprint,
        text,
        samples,
        for_npu,
        stream if type(stream) is int else None,
        frame_of(facts),
    )


def text_encoder_of(project: Project) -> TextEncoder:
    """The tokenizer of a project whose firmware takes texts, cut to the model's length. Raises UsageError for another
    project, ModelError where its tokenizer.json is gone."""
    from mcu_sdk.model.text_encoder import TextEncoder
    from mcu_sdk.project.texts import check_takes_texts

    check_takes_texts(project)
    texts = read_facts(project.folder / "model").get("texts")
    most = texts.get("bytes") if isinstance(texts, dict) else None
    length = project.manifest.model.max_sequence_length
    return TextEncoder(
        project.folder / "model" / TOKENIZER, length, most if type(most) is int else 4 * length
    )

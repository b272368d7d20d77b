"""What a project was made from, as far as it is at hand: its checkpoint, and the library's side of its tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mcu_sdk.project.accuracy import read_facts
from mcu_sdk.project.images import frame_of
from mcu_sdk.project.manifest import TOKENIZER, digest, read_places

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from mcu_sdk.model.chat.turns import Chat
    from mcu_sdk.model.text_encoder import TextEncoder
    from mcu_sdk.project.opened import Project
    from mcu_sdk.recipes.reference import CheckpointReference


class ChatTurns:
    """What a project's chat template makes of a turn, by the `tokenizers` library."""

    def __init__(self, chat: Chat, tokenizer: Tokenizer) -> None:
        self._chat, self._tokenizer = chat, tokenizer

    def ids(self, text: str, system: str | None, *, first: bool) -> list[int]:
        """Errors as `Chat.turn` raises them."""
        return self._chat.turn(self._encode, text, first=first, system=system)

    def remembered(self, read: Sequence[int], answer: Sequence[int], said: bytes) -> list[int]:
        """`Chat.remembered`."""
        return self._chat.remembered(self._encode, read, answer, said)

    def _encode(self, piece: str) -> list[int]:
        from mcu_sdk.model.chat.compile import encode_plain

        return encode_plain(self._tokenizer, piece)


def chat_of(project: Project) -> ChatTurns | None:
    """The chat template that the project keeps, compiled anew; None where that cannot be done."""
    from mcu_sdk.model.chat.files import ChatFiles, read_chat
    from mcu_sdk.model.tokenizer import load_tokenizer

    folder = project.folder / "model"
    system = project.manifest.options.get("system")
    date = project.manifest.options.get("chat_date")
    found = read_chat(
        [folder],
        folder / TOKENIZER,
        system if isinstance(system, str) else None,
        date if isinstance(date, str) else None,
    )
    tokenizer = load_tokenizer(folder / TOKENIZER)
    return (
        ChatTurns(found.chat, tokenizer) if isinstance(found, ChatFiles) and tokenizer is not None else None
    )


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
    facts, model_facts = read_facts(project.folder / "model"), project.manifest.model
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
        (model_facts.max_sequence_length, model_facts.sinks) if model_facts.sinks >= 0 else None,
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

"""The chat template of a checkpoint's folder for a project, or why there is none."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcu_sdk.errors import ModelError, UsageError
from mcu_sdk.model.chat.compile import compile_chat
from mcu_sdk.model.chat.rendering import Template, Unsuitable, read_template
from mcu_sdk.model.chat.turns import Chat
from mcu_sdk.model.tokenizer import load_tokenizer

CHAT_CONFIG = "tokenizer_config.json"
"""In a project's model/: the chat template that its conversations follow, with the special tokens that it names."""


@dataclass(frozen=True)
class ChatFiles:
    """A chat, and the template that it was made from; `date`: what it was told, as YYYY-MM-DD."""

    chat: Chat
    template: Template
    date: str | None = None

    @property
    def config(self) -> bytes:
        """The content of CHAT_CONFIG, from which the same chat can be made again."""
        content = {**self.template.specials, "chat_template": self.template.source}
        return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()

    @property
    def facts(self) -> dict[str, Any]:
        """For the report."""
        return {
            "template": self.template.name,
            "system": self.chat.system,
            "takes_system": self.chat.before_system is not None,
            "opening_tokens": len(self.chat.opening.ids),
            "date": self.date,
            "rewrites_answers": self.chat.rewrites,
        }

    @property
    def shortest(self) -> int:
        """How many tokens stand around the first text of a conversation."""
        return len(self.chat.opening.ids) + len(self.chat.before_answer.ids)

    def opening(self) -> tuple[int, ...]:
        """The ids that every conversation begins with. Raises UsageError where there are none."""
        if not self.chat.opening.ids:
            raise UsageError(
                "The chat template begins with text that belongs to the first turn: there is nothing to store.",
                hint="Leave --store-system-cache out.",
            )
        return self.chat.opening.ids

    @property
    def greatest_id(self) -> int:
        gaps = (
            self.chat.opening,
            self.chat.before_system,
            self.chat.behind_system,
            self.chat.before_answer,
            self.chat.behind_answer,
            self.chat.past.before,
        )
        return max((i for gap in gaps if gap is not None for i in gap.ids), default=-1)


def read_chat(
    folders: Sequence[Path], tokenizer: Path, system: str | None, date: str | None = None
) -> ChatFiles | str | None:
    """The template of the first folder that has one; in words why it cannot be followed; None where none of them has one,
    or there is no tokenizer.json. `system`: what every conversation begins with; `date`: what the template is told, as
    YYYY-MM-DD. Raises ModelError for files that cannot be read.
    """
    template = next((found for folder in folders if (found := read_template(folder)) is not None), None)
    loaded = load_tokenizer(tokenizer) if template is not None else None
    if template is None or loaded is None:
        return None
    try:
        day = datetime.date.fromisoformat(date) if date is not None else None
        return ChatFiles(compile_chat(template, loaded, system=system, date=day), template, date)
    except Unsuitable as error:
        return f"the chat template in {template.name} {error}"


def no_chat(why: object) -> ModelError:
    """For a checkpoint that was to hold conversations, and cannot."""
    return ModelError(
        f"A chat template was asked for that a firmware can follow; {why or 'there is none beside the tokenizer.json'}.",
        hint="Leave --chat, --system and --chat-date out, or give the checkpoint another chat_template.jinja.",
    )

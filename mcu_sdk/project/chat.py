"""A conversation with a project's firmware, which keeps what it has read between the turns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from mcu_sdk.errors import McuSdkError, TextError, UsageError
from mcu_sdk.project.prompts import Answer
from mcu_sdk.targets.protocol import Request, Transcript
from mcu_sdk.targets.verdict import InputsLostError, check_verdict

if TYPE_CHECKING:
    from mcu_sdk.project.opened import Project
    from mcu_sdk.project.runners import Device

NEW = "@new"
"""What is typed, here and on a board's console, to begin a new conversation."""


def check_holds_chats(project: Project) -> None:
    """Raises UsageError for a project whose firmware knows no chat template."""
    if not project.manifest.model.chat:
        raise UsageError(
            f"{project.manifest.name} holds no conversations: it was generated without a chat template.",
            hint="Generate it from a checkpoint that has one; `mcu-sdk generate --chat` says why it cannot be used.",
        )


class Turns:
    """What was said, and the request for what is said next. `plain`: the request of a prompt, with its settings; `system`:
    what each conversation begins with, in the place of the project's own."""

    def __init__(self, plain: Callable[[str], Request], system: str | None = None) -> None:
        self._plain, self._system = plain, system
        self.forget()

    def forget(self) -> None:
        """The next turn begins a conversation."""
        self._ids: tuple[
            int, ...
        ] = ()  # of all turns: what was read, and the last token, which may not have been
        self._read = 0
        self._is_lost = False

    def request(self, text: str, *, checked: bool = True) -> Request:
        """What to send. `checked`: with how far the conversation is, which has to be known then: all answers before were
        taken. Where the board has lost the conversation, all of it is sent again."""
        plain = self._plain(text)
        if self._is_lost:
            return replace(plain, chat=0, history=self._ids)
        if checked and not self._ids:
            return replace(plain, chat=0, system=self._system)
        return replace(plain, chat=1, at=self._read if checked else None)

    def first(self, text: str) -> Request:
        """The request that begins a conversation."""
        return replace(self._plain(text), chat=0, system=self._system)

    def take(self, answer: Transcript) -> None:
        """An answer that has come."""
        before = self._ids[: self._read] if not self._is_lost else ()
        self._ids = (*before, *answer.prompt_ids, *answer.ids)
        self._read = answer.number("position") or 0
        if answer.pending_ids is not None:
            self._ids = (*self._ids[: self._read], *answer.pending_ids)
        self._is_lost = False

    def lost(self, error: McuSdkError) -> bool:
        """Whether the board does not have the conversation any more, so that its next request is another one."""
        again = isinstance(error, InputsLostError) and bool(self._ids) and not self._is_lost
        self._is_lost = self._is_lost or again
        return again


def converse(
    device: Device, texts: Iterable[str], turns: Turns, on_prompt: Callable[[str], None] | None = None
) -> Iterator[Answer]:
    """One turn after the other, in one run of the firmware. A list goes to a simulator at once; of anything else, and on a
    board, a text is taken when the answer before has come. NEW begins a new conversation.

    A text that is refused is told in its answer; raises what `device` raises, and RunError for any other verdict.
    """
    begin = on_prompt or (lambda text: None)
    if isinstance(texts, Sequence) and not device.stays:
        with closing(device.each(_at_once(texts, turns))) as answers:
            for text in (text for text in texts if text != NEW):
                begin(text)
                yield _checked(text, next(answers), device.name)
        return
    asked: list[str] = []
    again: list[str] = []

    def requests() -> Iterator[Request]:
        for text in texts:
            if text == NEW:
                turns.forget()
                continue
            begin(text)
            asked.append(text)
            yield turns.request(text)
            while again:
                yield turns.request(again.pop())

    with closing(device.each(requests())) as answers:
        for transcript in answers:
            answer = _checked(asked[-1], transcript, device.name)
            if answer.error is None:
                turns.take(transcript)
            elif turns.lost(answer.error):
                again.append(asked[-1])
                continue
            yield answer


def _at_once(texts: Sequence[str], turns: Turns) -> list[Request]:
    requests, begins = [], True
    for text in texts:
        if text == NEW:
            begins = True
            continue
        requests.append(turns.first(text) if begins else turns.request(text, checked=False))
        begins = False
    return requests


def _checked(text: str, transcript: Transcript, name: str) -> Answer:
    try:
        check_verdict(transcript, name)
    except (UsageError, TextError, InputsLostError) as error:
        return Answer(text, transcript, error)
    return Answer(text, transcript)

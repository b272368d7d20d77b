"""The same on device, host and PyTorch, compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from mcu_sdk.api.given import (
    Arrays,
    Texts,
    check_alone,
    heard_in,
    opened_of,
    prepared_for,
    requests_of,
    with_media,
)
from mcu_sdk.api.results import Verified, verified_of
from mcu_sdk.origin import chat_of, checkpoint_of, text_encoder_of
from mcu_sdk.project import verify as verifying
from mcu_sdk.project.asked import (
    PromptOptions,
    RunOptions,
    Where,
    asked_in,
    sampling_in,
    text_in,
    where_in,
    with_text_as_prompt,
)
from mcu_sdk.project.chat import check_holds_chats
from mcu_sdk.project.opened import Project
from mcu_sdk.project.prompts import check_takes_text
from mcu_sdk.project.tensors import borders_of
from mcu_sdk.project.texts import Reader
from mcu_sdk.project.verify_chat import verify_chat as verify_turns
from mcu_sdk.project.verify_tensors import verify_series
from mcu_sdk.project.verify_texts import verify_each_text


def verify(
    project: str | Path | Project,
    *,
    inputs: Arrays | None = None,
    image: str | Path | None = None,
    audio: str | Path | None = None,
    board: str | None = None,
    with_python: bool = True,
    **options: Unpack[RunOptions],
) -> Verified:
    """Run the same request on device and host, and the .pte in PyTorch, and compare; `options` as `run` takes them.

    A difference is not raised but told: `verdict.ok`; `verdict.require()` raises it.
    """
    opened = opened_of(project, board)
    if opened.answers_texts:
        options = with_text_as_prompt(options)
    asked, where = asked_in(options), where_in(options)
    text, inputs = text_in(options), with_media(opened, inputs, image, audio)
    if text is not None:
        check_alone(asked, inputs)
        (found,) = verify_texts(opened, [text], with_python=with_python, **where)
        return found
    if inputs is not None and opened.answers_tensors:
        check_alone(asked)
        verdict = verifying.verify_heard(
            opened,
            heard_in(opened, inputs, options),
            with_python=with_python,
            checkpoint=checkpoint_of(opened),
            **where,
        )
        return verified_of(opened, verdict, where)
    if inputs is not None:
        check_alone(asked)
        borders = borders_of(opened)
        prepared = prepared_for(borders, inputs)
        verdict, _ = verify_series(
            opened, borders, prepared, with_python=with_python, checkpoint=checkpoint_of(opened), **where
        )
        return verified_of(opened, verdict, where)
    verdict = verifying.verify(
        opened,
        opened.request(**asked),
        with_python=with_python,
        checkpoint=checkpoint_of(opened),
        **where,
    )
    return verified_of(opened, verdict, where)


def verify_prompts(
    project: str | Path | Project,
    prompts: Sequence[str],
    *,
    board: str | None = None,
    with_python: bool = True,
    **options: Unpack[PromptOptions],
) -> list[Verified]:
    """`verify` for each of several prompts."""
    opened, sampling, where = opened_of(project, board), sampling_in(options), where_in(options)
    check_takes_text(opened)
    requests = [opened.request(prompt=prompt, **sampling) for prompt in prompts]
    verdicts = verifying.verify_each(
        opened, requests, with_python=with_python, checkpoint=checkpoint_of(opened), **where
    )
    return [verified_of(opened, verdict, where) for verdict in verdicts]


def verify_chat(
    project: str | Path | Project,
    texts: Sequence[str],
    *,
    system: str | None = None,
    board: str | None = None,
    with_python: bool = True,
    **options: Unpack[PromptOptions],
) -> list[Verified]:
    """`verify` for each turn of a conversation; the last verdict is about all steps in PyTorch, too."""
    opened, sampling, where = opened_of(project, board), sampling_in(options), where_in(options)
    check_holds_chats(opened)
    verdicts = verify_turns(
        opened,
        texts,
        lambda text: opened.request(prompt=text, **sampling),
        system,
        template=chat_of(opened),
        with_python=with_python,
        checkpoint=checkpoint_of(opened),
        **where,
    )
    return [verified_of(opened, verdict, where) for verdict in verdicts]


def verify_texts(
    project: str | Path | Project,
    texts: Texts,
    *,
    board: str | None = None,
    with_python: bool = True,
    **where: Unpack[Where],
) -> list[Verified]:
    """`verify` for each of several texts."""
    opened = opened_of(project, board)
    reader = Reader.of(opened, text_encoder_of(opened))
    asked = reader.ask_each(requests_of(texts))
    verdicts = verify_each_text(
        opened, reader, asked, with_python=with_python, checkpoint=checkpoint_of(opened), **where
    )
    return [verified_of(opened, verdict, where) for verdict in verdicts]

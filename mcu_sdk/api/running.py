"""A project's firmware runs: on one request, on inputs, or on prompts, turns and texts one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
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
from mcu_sdk.api.results import Answered, Ran, Read, report_of
from mcu_sdk.console import step
from mcu_sdk.origin import text_encoder_of
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
from mcu_sdk.project.chat import Turns, check_holds_chats, converse
from mcu_sdk.project.heard import Heard
from mcu_sdk.project.opened import Project
from mcu_sdk.project.prompts import Answer, ask, check_takes_text
from mcu_sdk.project.runners import BuiltDevice, Device, built_device
from mcu_sdk.project.tensors import Borders, Inputs, borders_of, run_series, stack
from mcu_sdk.project.texts import Reader, ask_texts
from mcu_sdk.targets.protocol import OnText, Request, Transcript


def run(
    project: str | Path | Project,
    *,
    inputs: Arrays | None = None,
    image: str | Path | None = None,
    audio: str | Path | None = None,
    board: str | None = None,
    on_text: OnText | None = None,
    **options: Unpack[RunOptions],
) -> Ran:
    """Build a project's firmware and run it: in the board's simulator, in `simulator`, or on a board at `port`.

    `options`: those of the command, which project/asked.py lists: `prompt` or `ids` for a language model, with `tokens`,
    `temperature`, `top_k`, `seed`; for one of tensors `inputs`, or `image` or `audio`, a file, whose outputs come back, or `steps` on made-up
    ones; for one that answers a sound `audio`, or its encoder's `inputs`; for an encoder `text` and `text_pair`;
    `simulator`, `port`, `timeout`. `on_text` is called with each piece of text as it comes.
    """
    opened = opened_of(project, board)
    if opened.answers_texts:
        options = with_text_as_prompt(options)
    asked, where = asked_in(options), where_in(options)
    text, inputs = text_in(options), with_media(opened, inputs, image, audio)
    if text is not None:
        check_alone(asked, inputs)
        read = run_texts(opened, [text], **where)
        (answer,) = read.answers
        return Ran(answer.transcript, read.report, answer.outputs, answer)
    if inputs is not None:
        check_alone(asked)
        if opened.answers_tensors:
            return run_heard(opened, heard_in(opened, inputs, options), on_text=on_text, **where)
        borders = borders_of(opened)
        return run_inputs(opened, borders, prepared_for(borders, inputs), **where)
    return run_request(opened, opened.request(**asked), on_text=on_text, **where)


def run_heard(
    project: Project,
    heard: Heard,
    *,
    on_text: OnText | None = None,
    on_start: Callable[[], None] | None = None,
    **where: Unpack[Where],
) -> Ran:
    """`run` for what an encoder takes, checked already; `on_start` is called when the build is done."""
    return _run(project, heard.ask, on_text, on_start, **where)


def run_request(
    project: Project,
    request: Request,
    *,
    on_text: OnText | None = None,
    on_start: Callable[[], None] | None = None,
    **where: Unpack[Where],
) -> Ran:
    """`run` for a request that is checked already; `on_start` is called when the build is done."""
    return _run(project, lambda device: device(request), on_text, on_start, **where)


def _run(
    project: Project,
    ask: Callable[[Device], Transcript],
    on_text: OnText | None,
    on_start: Callable[[], None] | None,
    **where: Unpack[Where],
) -> Ran:
    """Build, and ask the device; the text shows that work goes on, and where there is none to show, a clock does."""
    found = built_device(project, on_text=on_text, **where)
    if on_start is not None:
        on_start()
    with nullcontext() if on_text is not None else step(f"Running on {found.target}"):
        transcript = ask(found.device)
    return Ran(transcript, report_of(project, found.built, transcript, found.target))


def run_inputs(project: Project, borders: Borders, inputs: Inputs, **where: Unpack[Where]) -> Ran:
    """`run` for inputs that are checked already."""
    found = built_device(project, **where)
    with step(f"Running on {found.target}"):
        ran = run_series(found.device, borders, inputs)
    outputs = stack(ran, borders.outputs, stacked=inputs.stacked)
    return Ran(ran.transcript, report_of(project, found.built, ran.transcript, found.target), outputs)


def run_prompts(
    project: str | Path | Project,
    prompts: Iterable[str],
    *,
    board: str | None = None,
    on_text: OnText | None = None,
    on_start: Callable[[], None] | None = None,
    on_prompt: Callable[[str], None] | None = None,
    on_answer: Callable[[Answer], None] | None = None,
    **options: Unpack[PromptOptions],
) -> Answered:
    """Build a project's firmware and give it one prompt after the other; the model forgets in between.

    A list is sent to one run of the firmware; of anything else a prompt is taken when the one before is answered. A
    prompt that the firmware refuses is told by its answer. `on_start` is called when the build is done, `on_prompt`
    with each prompt before its answer comes, `on_answer` with each answer when it is complete.
    """
    opened, sampling, where = opened_of(project, board), sampling_in(options), where_in(options)
    check_takes_text(opened)

    def request_for(prompt: str) -> Request:
        return opened.request(prompt=prompt, **sampling)

    if isinstance(prompts, Sequence):
        for prompt in prompts:
            request_for(prompt)
    found = built_device(opened, on_text=on_text, **where)
    if on_start is not None:
        on_start()
    return _answered(opened, found, ask(found.device, prompts, request_for, on_prompt), on_answer)


def chat(
    project: str | Path | Project,
    texts: Iterable[str],
    *,
    system: str | None = None,
    board: str | None = None,
    on_text: OnText | None = None,
    on_start: Callable[[], None] | None = None,
    on_prompt: Callable[[str], None] | None = None,
    on_answer: Callable[[Answer], None] | None = None,
    **options: Unpack[PromptOptions],
) -> Answered:
    """Build a project's firmware and hold a conversation with it: each text is answered behind the turns before, of which the
    model computes nothing again. `system`: what the conversation begins with, in the place of the project's own.

    The rest is as `run_prompts` has it. A turn for which the cache has no room is refused, and told by its answer. The text
    "@new" begins a new conversation. Raises UsageError for a project without a chat template.
    """
    opened, sampling, where = opened_of(project, board), sampling_in(options), where_in(options)
    check_holds_chats(opened)

    def request_for(text: str) -> Request:
        return opened.request(prompt=text, **sampling)

    turns = Turns(request_for, system)
    for text in texts if isinstance(texts, Sequence) else ():
        turns.first(text).encode()
    found = built_device(opened, on_text=on_text, **where)
    if on_start is not None:
        on_start()
    return _answered(opened, found, converse(found.device, texts, turns, on_prompt), on_answer)


def _answered(
    opened: Project, found: BuiltDevice, answers: Iterable[Answer], on_answer: Callable[[Answer], None] | None
) -> Answered:
    """Takes the answers as they come, and reports on the last that is no error."""
    taken = []
    for answer in answers:
        taken.append(answer)
        if on_answer is not None:
            on_answer(answer)
    last = next((answer.transcript for answer in reversed(taken) if answer.error is None), None)
    return Answered(tuple(taken), report_of(opened, found.built, last, found.target))


def run_texts(
    project: str | Path | Project,
    texts: Texts,
    *,
    board: str | None = None,
    whole: bool = False,
    **where: Unpack[Where],
) -> Read:
    """Build the project of an encoder and give its firmware one text after the other; it encodes them itself.

    `whole`: take all outputs, of a masked language model, too, whose rows for the masks alone are taken otherwise.
    """
    opened = opened_of(project, board)
    reader = Reader.of(opened, text_encoder_of(opened))
    asked = reader.ask_each(requests_of(texts))
    found = built_device(opened, **where)
    with step(f"Running on {found.target}"):
        answers = ask_texts(found.device, reader, asked, whole=whole)
    last = answers[-1].transcript if answers else None
    return Read(tuple(answers), report_of(opened, found.built, last, found.target))

"""Several prompts to one firmware: from a file, one a line, or as they are typed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mcu_sdk.errors import McuSdkError, TextError, UsageError
from mcu_sdk.targets.protocol import Request
from mcu_sdk.targets.verdict import check_verdict

if TYPE_CHECKING:
    from mcu_sdk.project.opened import Project
    from mcu_sdk.project.runners import Device
    from mcu_sdk.targets.protocol import Transcript


@dataclass(frozen=True)
class Answer:
    """What a prompt led to; `error`: why the firmware refused it."""

    prompt: str
    transcript: Transcript
    error: McuSdkError | None = None


def read_prompts(path: Path) -> list[str]:
    """A file's lines that are not blank, without a byte order mark. Raises TextError for what is no UTF-8 text, or has
    none."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise TextError(
            f"The prompts cannot be read from {str(path)!r}: {error.strerror or error}.",
            hint="Name a text file with one prompt a line.",
        ) from error
    except UnicodeDecodeError as error:
        raise TextError(
            f"{str(path)!r} was expected to be text in UTF-8; byte {error.start} is not.",
            hint="Save it as UTF-8.",
        ) from error
    return prompts_in(text.split("\n"), str(path))


def prompts_in(lines: Iterable[str], where: str) -> list[str]:
    """The lines that are not blank, without their ends. Raises TextError where there is none."""
    prompts = [line.rstrip("\r\n") for line in lines if line.strip()]
    if not prompts:
        raise TextError(
            f"There are no prompts in {where}: every line is blank.", hint="Write one prompt a line."
        )
    return prompts


def check_takes_text(project: Project) -> None:
    """Raises UsageError for a model of tensors, TextError for a language model without a tokenizer."""
    if not project.is_language_model:
        raise UsageError(
            f"{project.manifest.name} takes tensors, not prompts.",
            hint="Give it --input FILE.npy, or --steps N made-up ones.",
        )
    if project.answers_tensors:
        raise project.no_prompt()
    if not project.manifest.model.tokenizer:
        raise TextError(
            f"{project.manifest.name} has no tokenizer, so it takes no text.",
            hint="Give the prompt as token ids (--ids), or generate it with --tokenizer.",
        )


def ask(
    device: Device,
    prompts: Iterable[str],
    request_for: Callable[[str], Request],
    on_prompt: Callable[[str], None] | None = None,
) -> Iterator[Answer]:
    """Give a firmware prompt after prompt. A list goes to one run of it; what is typed, to one run each on a simulator,
    which would be busy with waiting. `on_prompt` is called before an answer comes.

    A prompt that is refused is told in its answer; raises what `device` raises, and RunError for any other verdict.
    """
    begin = on_prompt or (lambda prompt: None)
    if isinstance(prompts, Sequence):
        with closing(device.each([request_for(prompt) for prompt in prompts])) as answers:
            for prompt in prompts:
                begin(prompt)
                yield _checked(prompt, next(answers), device.name)
        return
    if not device.stays:
        for prompt in prompts:
            begin(prompt)
            with closing(device.each([request_for(prompt)])) as answers:
                yield _checked(prompt, next(answers), device.name)
        return
    asked: list[str] = []

    def requests() -> Iterator[Request]:
        for prompt in prompts:
            begin(prompt)
            asked.append(prompt)
            yield request_for(prompt)

    with closing(device.each(requests())) as answers:
        for number, transcript in enumerate(answers):
            yield _checked(asked[number], transcript, device.name)


def _checked(prompt: str, transcript: Transcript, name: str) -> Answer:
    try:
        check_verdict(transcript, name)
    except (UsageError, TextError) as error:
        return Answer(prompt, transcript, error)
    return Answer(prompt, transcript)


def require(answers: Sequence[Answer]) -> None:
    """Raises the first refusal, with how many there were."""
    refused = [(number, answer) for number, answer in enumerate(answers, start=1) if answer.error is not None]
    if not refused:
        return
    number, answer = refused[0]
    error = answer.error
    assert error is not None
    raise type(error)(
        f"{len(refused)} of {len(answers)} prompts were refused; the first is number {number}, {answer.prompt!r}: "
        f"{error.message}",
        hint=error.hint,
    )

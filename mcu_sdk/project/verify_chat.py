"""A conversation on device and host, turn by turn, and all of its steps in PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, Unpack

from mcu_sdk.console import step
from mcu_sdk.project.chat import NEW, Turns, converse
from mcu_sdk.project.host_library import HostModel
from mcu_sdk.project.pair import built_pair
from mcu_sdk.project.prompts import Answer, require
from mcu_sdk.project.verify import (
    Check,
    Reference,
    Verdict,
    compare_transcripts,
    compare_with_python,
    fed_tokens,
)
from mcu_sdk.targets.protocol import Request, Transcript

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mcu_sdk.project.asked import Where
    from mcu_sdk.project.opened import Project
    from mcu_sdk.project.runners import Device


class Template(Protocol):
    """What the checkpoint's chat template makes of a turn, by the `tokenizers` library."""

    def ids(self, text: str, system: str | None, /, *, first: bool) -> Sequence[int]: ...


def verify_chat(
    project: Project,
    texts: Sequence[str],
    plain: Callable[[str], Request],
    system: str | None = None,
    *,
    template: Template | None = None,
    with_python: bool = True,
    checkpoint: Reference | None = None,
    **where: Unpack[Where],
) -> list[Verdict]:
    """A verdict for each turn; the last one has what PyTorch computes of the whole conversation. `plain`, `system`: as
    `Turns` has them. Raises what building and running raise, and the refusal of a turn."""
    pair = built_pair(project, **where)

    def ask(device: Device) -> list[Answer]:
        found = list(converse(device, [text for text in texts if text != NEW], Turns(plain, system)))
        require(found)
        return found

    on_device, on_host = pair.run(ask)
    verdicts = []
    for number, (left, right) in enumerate(zip(on_device, on_host, strict=True)):
        checks = [compare_transcripts(left.transcript, right.transcript)]
        if template is not None:
            wanted = template.ids(right.prompt, None if number else system, first=number == 0)
            checks.append(compare_turn(right.transcript, wanted))
        verdicts.append(Verdict(tuple(checks), left.transcript, right.transcript, pair.built))
    if with_python:
        with step("Running the .pte in PyTorch"):
            model = HostModel(pair.library, project.accelerator)
            answers = [answer.transcript for answer in on_host]
            whole = whole_conversation(answers)
            more = [compare_library(model, answers)]
            # Behind that, all of it is one prompt to the library, read step by step.
            facts = {"digest": f"{model.digest(list(model.tokens(fed_tokens(whole)))):016x}", "chunks": "0"}
            whole = replace(whole, facts={**whole.facts, **facts})
            more += compare_with_python(project, plain(texts[0]), whole, pair.library, checkpoint)
        verdicts[-1] = replace(verdicts[-1], checks=(*verdicts[-1].checks, *more))
    return verdicts


def compare_turn(answer: Transcript, wanted: Sequence[int]) -> Check:
    """The tokens that the firmware made of a turn, behind the last token of the answer before, against the template's."""
    name, found = "turn = the chat template's", answer.prompt_ids
    if found[-len(wanted) :] == tuple(wanted) and len(found) <= len(wanted) + 1:
        return Check(name, True, f"{len(wanted)} tokens")
    return Check(name, False, f"{','.join(map(str, found))} instead of {','.join(map(str, wanted))}")


def compare_library(model: HostModel, answers: Sequence[Transcript]) -> Check:
    """The library's digest of a conversation, read turn by turn as the firmware reads it, against the program's."""
    logits: list[NDArray[Any]] = []
    model.reset()
    position = 0
    for answer in answers:
        end, stored = answer.number("position") or 0, answer.number("stored") or 0
        prompt, rest = answer.prompt_ids, answer.ids[: end - position - len(answer.prompt_ids)]
        for token in prompt[:stored]:
            model.step(token)
        logits += model.read_prompt(prompt[stored:], answer.number("chunks") or 0)
        logits += [model.step(token).copy() for token in rest]
        position = end
    digest, program = f"{model.digest(logits):016x}", answers[-1].digest
    told = (
        f"digest {digest}"
        if digest == program
        else f"the library's digest is {digest}, the program's {program}"
    )
    return Check("host library = host program", digest == program, told)


def whole_conversation(answers: Sequence[Transcript]) -> Transcript:
    """One answer to all that was read: the first turn's tokens are its prompt, the rest is its answer."""
    fed: list[int] = []
    for answer in answers:
        read = (answer.number("position") or 0) - len(fed)
        fed += [*answer.prompt_ids, *answer.ids][:read]
    first, last = answers[0], answers[-1]
    rest = [*fed[len(first.prompt_ids) :], last.ids[-1] if last.ids else 0]
    ids = {"prompt_ids": ",".join(map(str, first.prompt_ids)), "ids": ",".join(map(str, rest))}
    return Transcript(last.text, {**last.facts, **ids})

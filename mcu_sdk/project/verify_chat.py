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
from mcu_sdk.project.verdict import Check, Verdict
from mcu_sdk.project.verify_device import compare_transcripts, fed_tokens
from mcu_sdk.project.verify_python import Reference, compare_with_python
from mcu_sdk.targets.protocol import Request, Transcript

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mcu_sdk.project.asked import Where
    from mcu_sdk.project.opened import Project
    from mcu_sdk.project.runners import Device


class Template(Protocol):
    """What the checkpoint's chat template makes of a turn, by the `tokenizers` library."""

    def ids(self, text: str, system: str | None, /, *, first: bool) -> Sequence[int]: ...

    def remembered(self, read: Sequence[int], answer: Sequence[int], said: bytes, /) -> Sequence[int]:
        """The ids of a conversation up to an answer, and that as it is written once another turn follows. `answer`: its ids
        without the one that ended it; `said`: their text."""
        ...


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
    verdicts, turns = [], None
    if template is not None:
        model = HostModel(pair.library, project.accelerator)
        turns = compare_turns(
            [a.transcript for a in on_host], [a.prompt for a in on_host], system, template, model
        )
    for number, (left, right) in enumerate(zip(on_device, on_host, strict=True)):
        checks = [compare_transcripts(left.transcript, right.transcript)]
        if turns is not None:
            checks.append(turns[number])
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


def compare_turns(
    answers: Sequence[Transcript],
    texts: Sequence[str],
    system: str | None,
    template: Template,
    model: HostModel,
) -> list[Check]:
    """The tokens that the firmware made of each turn, and of the answer before, against the template's. `model`: decodes as
    the firmware does."""
    checks: list[Check] = []
    possible: list[list[int]] = [[]]  # what was said before, as the template has it
    read = 0
    for number, (answer, text) in enumerate(zip(answers, texts, strict=True)):
        turn = template.ids(text, None if number else system, first=number == 0)
        found = answer.prompt_ids
        said = next((each for each in possible if (*each[read:], *turn) == found), None)
        wanted = (*possible[0][read:], *turn)
        told = f"{','.join(map(str, found))} instead of {','.join(map(str, wanted))}"
        checks.append(
            Check(
                "turn = the chat template's",
                said is not None,
                f"{len(wanted)} tokens" if said is not None else told,
            )
        )
        whole, read = [*(possible[0] if said is None else said), *turn], answer.number("position") or 0
        # The last token is a part of the answer, or what ended it: the next turn shows which.
        ends = [answer.ids, answer.ids[:-1]] if answer.ids else [()]
        possible = [list(template.remembered(whole, ids, b"".join(map(model.decode, ids)))) for ids in ends]
    return checks


def compare_library(model: HostModel, answers: Sequence[Transcript]) -> Check:
    """The library's digest of a conversation, read turn by turn as the firmware reads it, against the program's."""
    logits: list[NDArray[Any]] = []
    position = 0
    for answer in answers:
        end, stored = answer.number("position") or 0, answer.number("stored") or 0
        read = end + (answer.number("rewound") or 0)
        prompt, rest = answer.prompt_ids, answer.ids[: read - position - len(answer.prompt_ids)]
        if position == 0:  # begins, or begins again
            logits = []
            model.reset()
        else:
            model.rewind(position)
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
    position = 0
    for answer in answers:
        fed = fed[:position]
        position = answer.number("position") or 0
        read = position + (answer.number("rewound") or 0)
        fed += [*answer.prompt_ids, *answer.ids][: read - len(fed)]
    first, last = answers[0], answers[-1]
    begin = min(len(first.prompt_ids), len(fed))
    rest = [*fed[begin:], last.ids[-1] if last.ids else 0]
    ids = {"prompt_ids": ",".join(map(str, fed[:begin])), "ids": ",".join(map(str, rest))}
    return Transcript(last.text, {**last.facts, **ids})

"""The whole way from Python, as the command line goes it: what `mcu_sdk` offers (docs/python_api.md).

Every function raises what its parts raise, all of it `mcu_sdk.errors.McuSdkError`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union, Unpack

from mcu_sdk.board.board import load_board
from mcu_sdk.board.npu_target import ActivationBits, default_target
from mcu_sdk.board.target import choose_target
from mcu_sdk.console import step
from mcu_sdk.errors import ToolMissingError, UsageError
from mcu_sdk.model.load import find_checkpoint
from mcu_sdk.operators.layouts import layout_for
from mcu_sdk.options import CompileOptions
from mcu_sdk.origin import chat_of, checkpoint_of, text_encoder_of
from mcu_sdk.project import build as building
from mcu_sdk.project import verify as verifying
from mcu_sdk.project.asked import (
    Asked,
    PromptOptions,
    RunOptions,
    Start,
    Where,
    asked_in,
    sampling_in,
    text_in,
    where_in,
    with_text_as_prompt,
)
from mcu_sdk.project.build import BuildResult
from mcu_sdk.project.chat import Turns, check_holds_chats, converse
from mcu_sdk.project.compare import Compared
from mcu_sdk.project.heard import Heard
from mcu_sdk.project.images import read_image
from mcu_sdk.project.opened import Project, open_project
from mcu_sdk.project.prompts import Answer, ask, check_takes_text
from mcu_sdk.project.report import Report, make_report
from mcu_sdk.project.runners import BuiltDevice, Device, built_device, choose_simulator
from mcu_sdk.project.sounds import read_sound
from mcu_sdk.project.tensors import Borders, Inputs, borders_of, choose, prepare, run_series, stack
from mcu_sdk.project.texts import Reader, TextAnswer, ask_texts
from mcu_sdk.project.verify_chat import verify_chat as verify_turns
from mcu_sdk.project.verify_tensors import verify_series
from mcu_sdk.project.verify_texts import verify_each_text
from mcu_sdk.recipes.compiled import CompiledModel, write_compiled
from mcu_sdk.targets.process import DEFAULT_TIMEOUT
from mcu_sdk.targets.protocol import OnText, Request, Transcript
from mcu_sdk.targets.texts import TextRequest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mcu_sdk.project.verify import Verdict

__all__ = [
    "Answered",
    "Built",
    "Ran",
    "Read",
    "Verified",
    "build",
    "chat",
    "compare",
    "compile_checkpoint",
    "run",
    "run_prompts",
    "run_texts",
    "verify",
    "verify_chat",
    "verify_prompts",
    "verify_texts",
]


@dataclass(frozen=True)
class Built:
    """A build and what it takes of the board's memories."""

    result: BuildResult
    report: Report


@dataclass(frozen=True)
class Ran:
    """What the firmware said (`transcript.text`, `.ids`, `.digest`), and the report on it. `outputs`: by name, of a model
    that was given inputs or a text, which `answer` is about."""

    transcript: Transcript
    report: Report
    outputs: dict[str, NDArray[Any]] = field(default_factory=dict)
    answer: TextAnswer | None = None


@dataclass(frozen=True)
class Answered:
    """The answer to each prompt (`.prompt`, `.transcript`, `.error` where it was refused), and the report on the last."""

    answers: tuple[Answer, ...]
    report: Report


@dataclass(frozen=True)
class Read:
    """The answer to each text (`.labels`, `.outputs`, `.dropped` tokens, `.transcript`), and the report on the last."""

    answers: tuple[TextAnswer, ...]
    report: Report


@dataclass(frozen=True)
class Verified:
    """What was compared (`verdict.ok`, `.checks`), and the report on the device's run."""

    verdict: Verdict
    report: Report


Arrays = Union["NDArray[Any]", Sequence["NDArray[Any]"], Mapping[str, "NDArray[Any]"]]
"""A model's inputs: the only one, all of them in the model's order, or by name."""


def compile_checkpoint(
    model: str | Path | None = None,
    options: CompileOptions | None = None,
    *,
    board: str | None = None,
    target: str | None = None,
    memory_mode: str | None = None,
    activation_bits: ActivationBits = 8,
    output: str | Path | None = None,
    use_cache: bool = True,
) -> CompiledModel:
    """Quantize a checkpoint and lower it to a .pte, ready for `generate --pte`.

    `model`: a folder or a hub id; None is the bundled one. `board`: weights are laid out for its core; `target`: one of its
    NPUs, or any where no board is named. `output`: where to write the .pte; what is known of it goes beside it.
    """
    from mcu_sdk.recipes import checkpoint as recipe

    if output is not None and Path(output).suffix != ".pte":
        raise UsageError(
            f"output is the path of a .pte; {str(output)!r} does not end so.", hint="Add .pte to it."
        )
    found = load_board(board) if board is not None else None
    if found is not None:
        npu = choose_target(found, target, memory_mode=memory_mode, activation_bits=activation_bits)
    else:
        npu = default_target(target, activation_bits) if target is not None else None
    if npu is None and activation_bits != 8:
        raise UsageError(
            "activation_bits is for an NPU; none is the target.", hint="Leave it out, or name a target."
        )
    if npu is not None:
        npu.check()
    layout = layout_for(helium=found is not None and found.core.helium and npu is None)
    chosen = replace(options or CompileOptions(), npu=npu, weight_layout=layout)
    checkpoint = find_checkpoint(str(model) if model is not None else None)
    compiled = recipe.compile_checkpoint(checkpoint, chosen, use_cache=use_cache)
    if output is not None:
        write_compiled(compiled, Path(output))
    return compiled


def build(
    project: str | Path, preset: str = "release", *, board: str | None = None, self_test: bool = False
) -> Built:
    """Build a preset of a generated project ("release", "debug", "host", "host-debug"). With `self_test` the firmware
    tests its kernels at boot.

    `board`: the folder of the project's board, if it is none of the packaged ones and was moved.
    """
    opened = open_project(Path(project), board)
    result = building.build(opened.folder, preset, self_test=self_test)
    report = make_report(
        opened.manifest.name,
        opened.board,
        result,
        npu_details=opened.npu_details(),
        accuracy=opened.accuracy(),
        bound=opened.bound(),
        experts=opened.experts(),
        decode=opened.decode(),
        when_full=opened.manifest.model.when_full,
    )
    return Built(result, report)


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
    opened = _opened(project, board)
    if opened.answers_texts:
        options = with_text_as_prompt(options)
    asked, where = asked_in(options), where_in(options)
    text, inputs = text_in(options), _with_media(opened, inputs, image, audio)
    if text is not None:
        _check_alone(asked, inputs)
        read = run_texts(opened, [text], **where)
        (answer,) = read.answers
        return Ran(answer.transcript, read.report, answer.outputs, answer)
    if inputs is not None:
        _check_alone(asked)
        if opened.answers_tensors:
            return run_heard(opened, _heard(opened, inputs, options), on_text=on_text, **where)
        borders = borders_of(opened)
        return run_inputs(opened, borders, _prepared(borders, inputs), **where)
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


def _heard(project: Project, inputs: Arrays, options: RunOptions) -> Heard:
    """What an encoder takes, by its names."""
    borders = borders_of(project).inputs
    return Heard.of(project, choose(borders, _named(inputs), "an input"), **sampling_in(options))


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
    return Ran(transcript, _report(project, found.built, transcript, found.target))


def run_inputs(project: Project, borders: Borders, inputs: Inputs, **where: Unpack[Where]) -> Ran:
    """`run` for inputs that are checked already."""
    found = built_device(project, **where)
    with step(f"Running on {found.target}"):
        ran = run_series(found.device, borders, inputs)
    outputs = stack(ran, borders.outputs, stacked=inputs.stacked)
    return Ran(ran.transcript, _report(project, found.built, ran.transcript, found.target), outputs)


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
    opened, sampling, where = _opened(project, board), sampling_in(options), where_in(options)
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
    opened, sampling, where = _opened(project, board), sampling_in(options), where_in(options)
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
    return Answered(tuple(taken), _report(opened, found.built, last, found.target))


Texts = Sequence[TextRequest | str | tuple[str, str | None]]
"""Texts for an encoder; of two, the second is beside the first."""


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
    opened = _opened(project, board)
    reader = Reader.of(opened, text_encoder_of(opened))
    asked = reader.ask_each(_requests(texts))
    found = built_device(opened, **where)
    with step(f"Running on {found.target}"):
        answers = ask_texts(found.device, reader, asked, whole=whole)
    last = answers[-1].transcript if answers else None
    return Read(tuple(answers), _report(opened, found.built, last, found.target))


def verify_texts(
    project: str | Path | Project,
    texts: Texts,
    *,
    board: str | None = None,
    with_python: bool = True,
    **where: Unpack[Where],
) -> list[Verified]:
    """`verify` for each of several texts."""
    opened = _opened(project, board)
    reader = Reader.of(opened, text_encoder_of(opened))
    asked = reader.ask_each(_requests(texts))
    verdicts = verify_each_text(
        opened, reader, asked, with_python=with_python, checkpoint=checkpoint_of(opened), **where
    )
    return [_verified(opened, verdict, where) for verdict in verdicts]


def _requests(texts: Texts) -> list[TextRequest]:
    return [
        each
        if isinstance(each, TextRequest)
        else TextRequest(each)
        if isinstance(each, str)
        else TextRequest(*each)
        for each in texts
    ]


def compare(
    projects: Sequence[str | Path | Project],
    *,
    titles: Sequence[str] = (),
    tokens: int = 8,
    simulator: str | None = None,
    timeout: float = DEFAULT_TIMEOUT,
) -> list[Compared]:
    """Build each project, run it where there is a simulator for it, and put what is known of them side by side.

    A language model makes `tokens` tokens from its start token, so that the instructions of the last step are those of
    the same position; a model of tensors one step on made-up inputs. `titles`: what each is called; its folder's name.
    """
    found = []
    for number, project in enumerate(projects):
        opened = _opened(project, None)
        longest = opened.manifest.model.max_sequence_length
        request = (
            replace(opened.request(tokens=0), tokens=min(tokens, longest))
            if opened.is_language_model
            else opened.request(steps=1)
        )
        try:
            target = choose_simulator(opened, simulator)
        except UsageError:
            if simulator is not None:
                raise
            target = ""
        transcript, note = None, "" if target else "no simulator"
        if target:
            running = built_device(opened, simulator=target, timeout=timeout)
            built = running.built
            try:
                with step(f"Running on {target}"):
                    transcript = running.device(replace(request, past_end=True))
            except ToolMissingError as error:
                note = error.message
        else:
            built = building.build(opened.folder, opened.preset_for(target))
        title = titles[number] if titles else opened.folder.resolve().name
        found.append(Compared(title, _report(opened, built, transcript, target), note))
    return found


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
    opened = _opened(project, board)
    if opened.answers_texts:
        options = with_text_as_prompt(options)
    asked, where = asked_in(options), where_in(options)
    text, inputs = text_in(options), _with_media(opened, inputs, image, audio)
    if text is not None:
        _check_alone(asked, inputs)
        (found,) = verify_texts(opened, [text], with_python=with_python, **where)
        return found
    if inputs is not None and opened.answers_tensors:
        _check_alone(asked)
        verdict = verifying.verify_heard(
            opened,
            _heard(opened, inputs, options),
            with_python=with_python,
            checkpoint=checkpoint_of(opened),
            **where,
        )
        return _verified(opened, verdict, where)
    if inputs is not None:
        _check_alone(asked)
        borders = borders_of(opened)
        prepared = _prepared(borders, inputs)
        verdict, _ = verify_series(
            opened, borders, prepared, with_python=with_python, checkpoint=checkpoint_of(opened), **where
        )
        return _verified(opened, verdict, where)
    verdict = verifying.verify(
        opened,
        opened.request(**asked),
        with_python=with_python,
        checkpoint=checkpoint_of(opened),
        **where,
    )
    return _verified(opened, verdict, where)


def verify_prompts(
    project: str | Path | Project,
    prompts: Sequence[str],
    *,
    board: str | None = None,
    with_python: bool = True,
    **options: Unpack[PromptOptions],
) -> list[Verified]:
    """`verify` for each of several prompts."""
    opened, sampling, where = _opened(project, board), sampling_in(options), where_in(options)
    check_takes_text(opened)
    requests = [opened.request(prompt=prompt, **sampling) for prompt in prompts]
    verdicts = verifying.verify_each(
        opened, requests, with_python=with_python, checkpoint=checkpoint_of(opened), **where
    )
    return [_verified(opened, verdict, where) for verdict in verdicts]


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
    opened, sampling, where = _opened(project, board), sampling_in(options), where_in(options)
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
    return [_verified(opened, verdict, where) for verdict in verdicts]


def _verified(project: Project, verdict: Verdict, where: Where) -> Verified:
    port = where.get("port")
    target = port if port is not None else choose_simulator(project, where.get("simulator"))
    agreement = "ok" if verdict.ok else "DIFFERS"
    return Verified(verdict, _report(project, verdict.built, verdict.device, target, agreement))


def _check_alone(asked: Asked, inputs: object = None) -> None:
    """Raises UsageError for anything that is given beside inputs or a text."""
    if inputs is not None:
        raise UsageError("Inputs and a text exclude each other.", hint="Give one of them.")
    if any(asked.get(name) is not None for name in Start.__annotations__):
        raise UsageError(
            "Inputs, and texts for an encoder, exclude a prompt, token ids and a number of made-up steps.",
            hint="Give one of them.",
        )


def _with_media(
    project: Project, inputs: Arrays | None, image: str | Path | None, audio: str | Path | None
) -> Arrays | None:
    """The inputs, or those that an image or a sound becomes. Raises UsageError for two of them, and what read_image and
    read_sound raise."""
    if sum(given is not None for given in (inputs, image, audio)) > 1:
        raise UsageError("Inputs, an image and a sound exclude each other.", hint="Give one of them.")
    if image is not None:
        return read_image(project, Path(image))
    return inputs if audio is None else read_sound(project, Path(audio))


def _prepared(borders: Borders, inputs: Arrays) -> Inputs:
    """The inputs as the model takes them."""
    return prepare(borders.inputs, choose(borders.inputs, _named(inputs), "an input"))


def _named(inputs: Arrays) -> dict[str | None, Any]:
    """By name, by place, or of the only one."""
    if isinstance(inputs, Mapping):
        return dict(inputs.items())
    if isinstance(inputs, Sequence):
        return {str(number): array for number, array in enumerate(inputs)}
    return {None: inputs}


def _opened(project: str | Path | Project, board: str | None) -> Project:
    return project if isinstance(project, Project) else open_project(Path(project), board)


def _report(
    project: Project,
    built: BuildResult | None,
    run: Transcript | None,
    target: str,
    agreement: str | None = None,
) -> Report:
    more = {} if agreement is None else {"agreement": agreement}
    return make_report(
        project.manifest.name,
        project.board,
        built,
        run,
        target=target,
        npu=project.npu_on(target),
        npu_details=project.npu_details(),
        accuracy=project.accuracy(),
        bound=project.bound(),
        experts=project.experts(),
        decode=project.decode(),
        when_full=project.manifest.model.when_full,
        **more,
    )

"""A model on its way into a project, wherever it came from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcu_sdk.board.board import Board
from mcu_sdk.board.npu_target import NpuTarget, StepForm
from mcu_sdk.console import step
from mcu_sdk.device_texts import check_stops_are_written, folders_of_tokenizer, read_chat_template
from mcu_sdk.errors import UsageError
from mcu_sdk.generation.kinds import check_reads_text, kind_of
from mcu_sdk.model.chat.files import ChatFiles
from mcu_sdk.model.folder import check_fetched, read_config
from mcu_sdk.model.load import Checkpoint
from mcu_sdk.model.special_tokens import vocabulary_of
from mcu_sdk.model.stored import read_stored
from mcu_sdk.model.tokenizer import check_tokenizer
from mcu_sdk.operators.layouts import layout_for
from mcu_sdk.options import CompileOptions, GenerateRequest, Kind
from mcu_sdk.planning.language_model import LanguageModel, describe_language_model
from mcu_sdk.planning.plan import Plan, compile_plan
from mcu_sdk.planning.pte.read import Pte, read_pte
from mcu_sdk.planning.step_choice import StepChoice, fewest_cycles
from mcu_sdk.planning.step_cycles import StepCycles, step_cycles
from mcu_sdk.project.forecast import Forecast, check_forecast
from mcu_sdk.recipes.compiled import read_compiled

if TYPE_CHECKING:
    from mcu_sdk.npu.artifact import DelegateArtifact


@dataclass(frozen=True)
class Source:
    """A model on its way into a project, wherever it came from."""

    name: str
    pte: bytes
    names: tuple[str, ...] | None
    tokenizer: Path | None
    facts: dict[str, Any]
    delegates: tuple[DelegateArtifact, ...] = ()
    chat: ChatFiles | str | None = None
    etrecord: bytes = b""
    planned: tuple[Pte, Plan] | None = None
    """What `plan_of` gives, once it has been asked: a form that was estimated is the one that is written."""


@dataclass(frozen=True)
class Compilation:
    """A checkpoint on its way to a .pte, and what is the same for every form that a decoder's step can have beside `npu`."""

    request: GenerateRequest
    checkpoint: Checkpoint
    board: Board
    npu: NpuTarget | None

    @cached_property
    def texts(self) -> tuple[Path, ChatFiles | str | None]:
        """The tokenizer and the chat template, or why that cannot be followed, with all that is against them before anything
        is compiled. Raises ModelError, TextError and UsageError."""
        request, folder = self.request, self.checkpoint.folder
        vocabulary = vocabulary_of(read_config(folder))
        if request.tokenizer is not None and vocabulary is None:
            check_reads_text(request, self.checkpoint.name, None, None)
        tokenizer = request.tokenizer or folder / "tokenizer.json"
        check_tokenizer(tokenizer, vocabulary)
        check_stops_are_written(request, tokenizer)
        return tokenizer, read_chat_template(request, [*folders_of_tokenizer(request), folder], tokenizer)

    def source(self, step: StepForm = "npu") -> Source:
        """What becomes of it; `step`: where that of a decoder runs beside the NPU."""
        from mcu_sdk.recipes.checkpoint import compile_checkpoint

        request, checkpoint = self.request, self.checkpoint
        npu = self.npu if _needs_npu(request, step) else None
        options = replace(request.compile_options, npu=npu, step=step)
        layout = layout_for(helium=self.board.core.helium and options.step_on_processor)
        options = replace(options, weight_layout=layout)
        if npu is None:
            _check_forecast(self.board, checkpoint, options)
            options = replace(options, step="npu")  # there is nothing beside it
        tokenizer, chat = self.texts
        compiled = compile_checkpoint(checkpoint, options, use_cache=request.use_cache)
        facts = {
            **compiled.facts,
            "checkpoint": checkpoint.fingerprint(),
            "notes": [*checkpoint.notes, *compiled.facts.get("notes", ())],
        }
        return Source(
            *(request.name or checkpoint.name, compiled.pte, compiled.names, tokenizer),
            *(facts, compiled.delegates, chat, compiled.etrecord),
        )


def decided(compilation: Compilation) -> tuple[Source, NpuTarget | None, StepChoice | None]:
    """The model for the processor or the NPU; of a decoder beside an NPU, unless it was asked for there, by --decode: with the
    choice, and without the NPU where its step needs none."""
    request, board, npu = compilation.request, compilation.board, compilation.npu
    asked = request.decode_asked(npu)
    if npu is None or asked is None or asked == "npu":
        return compilation.source(), npu, None
    if kind_of(compilation.checkpoint, npu) is not Kind.DECODER_NPU:
        return compilation.source(), npu, None
    if asked == "auto" and board.is_host:
        raise UsageError(
            f"--decode auto compares cycles by what a board's file says; {board.name} says nothing of its processor's.",
            hint="Take --decode cpu or npu, or the board that the model is for.",
        )
    npu.check()
    target, position = npu, 0

    def attempt(form: StepForm) -> tuple[Source, StepCycles | None]:
        nonlocal position
        source = compilation.source(form)
        with step("Estimating what a token takes"):
            pte, plan = plan_of(source)
            language_model = describe_language_model(plan)
            assert language_model is not None, "the recipes of decoders make them"
            position = _middle(language_model)
            return replace(source, planned=(pte, plan)), step_cycles(plan, board, target, position)

    estimates: dict[StepForm, StepCycles | None] = {}
    left_out: dict[StepForm, str] = {}
    if asked == "auto":
        form, source, estimates, left_out = fewest_cycles(attempt, request.decode_left_out())
    else:
        form = asked
        source, estimates[form] = attempt(form)
    choice = StepChoice(form, asked, target.accelerator, position, estimates, left_out)
    return source, target if _needs_npu(request, form) else None, choice


def plan_of(source: Source) -> tuple[Pte, Plan]:
    """Raises PteError."""
    pte = read_pte(source.pte, source.names)
    return pte, compile_plan(pte)


def _needs_npu(request: GenerateRequest, form: StepForm) -> bool:
    """Whether anything of a decoder runs on the NPU: its step, or its prompts."""
    return form != "cpu" or request.compile_options.prefill is not None


def estimated(plan: Plan, board: Board, npu: NpuTarget, language_model: LanguageModel) -> StepChoice:
    """What is known of a step that was asked for on the NPU, or of that of the processor beside prompts there."""
    position = _middle(language_model)
    form: StepForm = "npu" if plan.prefill is None else "cpu"
    return StepChoice(form, form, npu.accelerator, position, {form: step_cycles(plan, board, npu, position)})


def _middle(language_model: LanguageModel) -> int:
    """The position that a token is estimated at: what it attends to grows with it."""
    return language_model.max_sequence_length // 2


def from_pte(request: GenerateRequest) -> Source:
    assert request.pte is not None
    path = request.pte
    check_fetched(path)
    found = read_compiled(path)
    name = request.name or path.stem
    chat = read_chat_template(request, folders_of_tokenizer(request), request.tokenizer)
    return Source(name, found.pte, found.names, request.tokenizer, found.facts, found.delegates, chat)


def _check_forecast(board: Board, checkpoint: Checkpoint, options: CompileOptions) -> None:
    """Raises DoesNotFitError where the headers of the checkpoint's files say so already."""
    config = read_config(checkpoint.folder)
    if (
        config.get("is_encoder_decoder")  # two halves with layers of different numbers and caches
        or "text_config" in config
        or "vision_config" in config
        or not any(checkpoint.folder.glob("*.safetensors"))
    ):
        return  # a part of the weights is for pictures, or they are in another format
    stored = read_stored(checkpoint.folder, checkpoint.name)
    shapes = {name: tensor.shape for name, tensor in stored.tensors.items()}
    check_forecast(board, Forecast(shapes, config, options.cache_length, options.weights != "int8"))

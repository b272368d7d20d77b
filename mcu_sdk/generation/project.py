"""request -> source -> plan -> fit -> project."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zlib import crc32

from mcu_sdk.board.board import Board, load_board
from mcu_sdk.board.core import check_core
from mcu_sdk.board.npu_target import NpuTarget
from mcu_sdk.board.target import choose_target
from mcu_sdk.choice import first_that_fits, is_open
from mcu_sdk.console import step
from mcu_sdk.device_texts import (
    chat_of,
    check_grammar,
    chooser_notes,
    grammar_tables,
    prompt_notes,
    stop_texts,
    tokenizer_tables,
)
from mcu_sdk.errors import UsageError
from mcu_sdk.generated import Generated
from mcu_sdk.generation.facts import encoder_facts, model_facts, model_files, prefill_facts, report_file
from mcu_sdk.generation.flash import fit_into
from mcu_sdk.generation.kinds import check_kind_of, check_reads_text, kind_of_plan
from mcu_sdk.generation.source import Compilation, Source, decided, estimated, from_pte, plan_of
from mcu_sdk.inputs import Inputs, identify
from mcu_sdk.model.chat.files import CHAT_CONFIG, ChatFiles
from mcu_sdk.model.grammar.automaton import Automaton
from mcu_sdk.model.grammar.files import read_grammar
from mcu_sdk.model.load import find_checkpoint
from mcu_sdk.model.tokenizer import (
    check_given,
    tokenizer_file,
)
from mcu_sdk.options import GenerateRequest, Kind, no_npu_executorch, no_npu_library
from mcu_sdk.planning.bound import step_bound
from mcu_sdk.planning.delegates import check_delegates
from mcu_sdk.planning.experts import experts_of
from mcu_sdk.planning.fit import Layout
from mcu_sdk.planning.fpu import check_checkpoint, check_integers_only
from mcu_sdk.planning.language_model import LanguageModel, describe_language_model
from mcu_sdk.planning.plan import Plan
from mcu_sdk.planning.pte.read import Pte
from mcu_sdk.planning.step_choice import StepChoice
from mcu_sdk.planning.text_model import TextModel, describe_text_model
from mcu_sdk.planning.where import where
from mcu_sdk.project.destination import check_format, check_kept_app, check_output
from mcu_sdk.project.edited import KEPT, check_edited
from mcu_sdk.project.executorch import STACK_BYTES, Executorch, executorch_of
from mcu_sdk.project.fitting import Choices
from mcu_sdk.project.library import Library, check_name
from mcu_sdk.project.manifest import GRAMMARS, TOKENIZER
from mcu_sdk.project.names import slug
from mcu_sdk.project.npu_details import NpuDetails, describe_npu
from mcu_sdk.project.project_inputs import ProjectInputs
from mcu_sdk.project.render import render_project
from mcu_sdk.project.stored_chat import stored_cache
from mcu_sdk.saving import first_that_saves_enough


def generate(request: GenerateRequest) -> Generated:
    """Write the project and return what it is. Nothing is left behind when anything is refused.

    Where nothing but a board is asked for, the bundled model, its cache and its weights are chosen to fit it.

    Raises BoardError, ModelError, PteError, TextError, UsageError and DoesNotFitError.
    """
    if request.compile_options.weights == "auto":
        return first_that_saves_enough(request, _generate)
    if not is_open(request):
        return _generate(request)
    return first_that_fits(request, lambda choice: replace(_generate(choice.request), chosen=choice.says))


@dataclass(frozen=True)
class _Given:
    """What was read: the model on its way, the NPU that it is for and why, what its answers follow, and which files that was."""

    source: Source
    npu: NpuTarget | None
    choice: StepChoice | None
    automaton: Automaton | None
    inputs: Inputs


@dataclass(frozen=True)
class _Planned:
    """The compiled plan, what kind of model that is, and the board as the project needs it."""

    board: Board
    npu: NpuTarget | None
    pte: Pte
    plan: Plan
    language_model: LanguageModel | None
    text_model: TextModel | str | None
    kind: Kind
    choice: StepChoice | None
    official: Executorch | None


def _generate(request: GenerateRequest) -> Generated:
    """One request, as it is."""
    board, npu = _checked(request)
    given = _read(request, board, npu)
    library = "-library" if request.format == "library" else ""
    destination = request.output or Path(f"{slug(given.source.name)}-{board.name}{library}")
    edited = _check_destination(request, destination, given)
    planned = _planned(request, given, board, destination)
    details = None
    if planned.npu is not None:
        source = given.source
        details = describe_npu(planned.pte, planned.plan, source.facts, source.delegates, planned.npu)
    facts = _facts(request, given, planned, details)
    inputs = _inputs(request, given, planned, facts, details)
    with step("Fitting it into the board's memories"):
        choices = _choices(request, planned)
        fitted = fit_into(request, inputs, planned.plan, choices, facts, destination / KEPT)
    experts = experts_of(planned.plan)
    if experts is not None:
        facts["experts"] = experts.to_json()
    bound = step_bound(planned.board, planned.plan, fitted.layout, choices.length)
    if bound is not None:
        facts["bound"] = bound.to_json()
    if request.format == "firmware":  # a library lies where its program puts it
        facts["where"] = where(planned.plan, fitted.layout, fitted.sizes)
    with step(f"Writing the project to {destination}"):
        inputs = replace(
            inputs,
            layout=fitted.layout,
            shared_layout=fitted.shared_layout,
            files={**inputs.files, **report_file(facts)},
            library_stack=fitted.stack,
        )
        project = render_project(inputs, destination, force=request.force)
    facts = {**facts, "notes": [*facts["notes"], *edited]}
    return Generated(project, given.source.name, planned.plan, fitted.layout, facts, fitted.sizes)


def _checked(request: GenerateRequest) -> tuple[Board, NpuTarget | None]:
    """The board and its NPU, if that is the target. What is refused before anything is read is refused here."""
    board = load_board(request.board)
    check_core(board)
    npu = choose_target(
        board, request.target, memory_mode=request.memory_mode, activation_bits=request.activation_bits
    )
    request.check(npu)
    if request.pte_partition is not None and board.is_host:
        raise UsageError(
            "--pte-partition is a part of a board's flash, and a host has none.",
            hint="Leave --pte-partition out.",
        )
    if request.pte is None:
        check_checkpoint(board)
    if request.output is not None:
        check_output(request.output)
        check_format(request.output, request.format)
        check_edited(request.output, force=request.force)
    if request.tokenizer is not None:
        check_given(request.tokenizer)
    if request.name is not None:
        _check_library(request, request.name)
    return board, npu


def _read(request: GenerateRequest, board: Board, npu: NpuTarget | None) -> _Given:
    """The inputs, and of a checkpoint its .pte."""
    checkpoint, source, choice = None, None, None
    with step("Reading the inputs"):
        if request.pte is not None:
            source = from_pte(request)
        else:
            checkpoint = find_checkpoint(request.model, use_cache=request.use_cache)
        automaton = read_grammar(request.grammar, request.json_schema)
        inputs = identify(request, board, checkpoint).expect(request.expected)
    if checkpoint is not None:
        check_kind_of(request, checkpoint, npu)
        request.check_flash(on_host=board.is_host)
        if automaton is not None:
            check_grammar(request, checkpoint, automaton)
        source, npu, choice = decided(Compilation(request, checkpoint, board, npu))
    assert source is not None
    return _Given(source, npu, choice, automaton, inputs)


def _check_destination(request: GenerateRequest, destination: Path, given: _Given) -> list[str]:
    """What there is to note of the files that are there already. Raises UsageError for a place that cannot be taken."""
    check_output(destination)
    check_format(destination, request.format)
    _check_library(request, given.source.name)
    edited = check_edited(destination, force=request.force)
    edited += chooser_notes(destination) if given.automaton is not None else []
    edited += prompt_notes(destination) if request.compile_options.prefill is not None else []
    return edited


def _planned(request: GenerateRequest, given: _Given, board: Board, destination: Path) -> _Planned:
    """What the .pte comes to. Raises UsageError for options that make no difference to that, and an app/ of another kind."""
    source, choice = given.source, given.choice
    with step("Compiling the plan"):
        pte, plan = source.planned or plan_of(source)
        check_integers_only(plan.all_calls, board)
        npu = check_delegates(pte, board, given.npu, chosen=request.target)
        language_model = describe_language_model(plan)
        text_model = None if language_model is not None else describe_text_model(plan, source.facts)
    if request.format == "library" and npu is not None:
        raise no_npu_library(npu)
    if request.runtime == "executorch" and npu is not None:
        raise no_npu_executorch(npu)
    official = executorch_of(source.pte, pte) if request.runtime == "executorch" else None
    kind = kind_of_plan(request, language_model, text_model, npu)
    if choice is not None:
        kind |= Kind.DECODER_NPU
    elif kind is Kind.DECODER_NPU and npu is not None and language_model is not None:
        choice = estimated(plan, board, npu, language_model)
    request.check_kind(kind)
    check_reads_text(request, source.name, language_model, text_model)
    check_kept_app(destination, language_model=language_model is not None)
    if npu is not None:
        board = board.with_npu_memory()
    if official is not None:
        board = board.with_stack(STACK_BYTES)
    if official is not None and request.pte_partition is not None:
        board = board.with_partition(request.pte_partition)
        official = replace(official, partition_crc=crc32(source.pte))
    return _Planned(board, npu, pte, plan, language_model, text_model, kind, choice, official)


def _facts(
    request: GenerateRequest, given: _Given, planned: _Planned, details: NpuDetails | None
) -> dict[str, Any]:
    """What is known of the model so far."""
    facts = model_facts(request, planned.board, planned.pte, given.source)
    facts |= prefill_facts(planned.plan, planned.language_model, given.source, details)
    facts |= encoder_facts(planned.pte, planned.plan, given.source)
    if planned.choice is not None:
        facts["decode"] = planned.choice.to_json()
    if planned.official is not None:
        facts["executorch"] = planned.official.to_json()
    return facts


def _inputs(
    request: GenerateRequest,
    given: _Given,
    planned: _Planned,
    facts: dict[str, Any],
    details: NpuDetails | None,
) -> ProjectInputs:
    """What the project is made from, but for the places of its parts; `facts` gain what there is to say of its texts."""
    source, language_model = given.source, planned.language_model
    with step("Packing the tokenizer"):
        tables, told = tokenizer_tables(source.tokenizer, source.facts, language_model, planned.text_model)
    facts |= {**told, "notes": [*facts["notes"], *told.get("notes", ())]}
    grammar = grammar_tables(given.automaton, source.tokenizer, language_model)
    if grammar is not None:
        facts["grammar"] = {key: grammar[key] for key in ("states", "bytes", "shortest")}
    files = model_files(source, facts, details)
    files |= {
        name: path.read_bytes()
        for option, name in GRAMMARS.items()
        if isinstance(path := getattr(request, option), Path)
    }
    chat = chat_of(request, source.chat, language_model, tables)
    if isinstance(chat, ChatFiles):
        files[CHAT_CONFIG] = chat.config
        facts["chat"] = chat.facts
    elif chat is not None:
        facts["notes"] = [*facts["notes"], f"No conversations: {chat}."]
    is_kept = tables is not None or (language_model is not None and request.tokenizer is not None)
    if source.tokenizer is not None and is_kept:
        files[TOKENIZER] = tokenizer_file(source.tokenizer).read_bytes()
    text_model = planned.text_model
    inputs = ProjectInputs(
        name=source.name,
        board=planned.board,
        layout=Layout(),
        plan=planned.plan,
        npu=planned.npu,
        pte=source.pte,
        language_model=language_model,
        text_model=text_model if tables is not None and isinstance(text_model, TextModel) else None,
        tokenizer=tables,
        grammar=grammar,
        stops=stop_texts(request, tables),
        chat=chat.chat.to_template() if isinstance(chat, ChatFiles) else None,
        files=files,
        options=request.to_manifest(planned.kind, source.name),
        inputs=given.inputs.found,
        places=given.inputs.places,
        profile=request.profile,
        optimize=request.optimize,
        format=request.format,
        executorch=planned.official,
    )
    return _with_stored_cache(request, inputs, chat, facts)


def _with_stored_cache(
    request: GenerateRequest, inputs: ProjectInputs, chat: ChatFiles | str | None, facts: dict[str, Any]
) -> ProjectInputs:
    """With what the model remembers of the beginning of every conversation, where that is asked for."""
    if not request.store_system_cache:
        return inputs
    if inputs.npu is not None:
        raise UsageError(
            f"--store-system-cache is for models on the processor; {inputs.npu.accelerator} is the target.",
            hint="Leave it out, or take --target with the board's processor.",
        )
    if not isinstance(chat, ChatFiles):
        return inputs
    with step("Computing the cache of what conversations begin with"):
        stored = stored_cache(inputs, chat.opening())
    facts["chat"] |= {"stored_tokens": stored.tokens, "stored_bytes": stored.bytes}
    return replace(inputs, chat=chat.chat.to_template(stored.to_template()))


def _choices(request: GenerateRequest, planned: _Planned) -> Choices:
    """What could be chosen otherwise, to make it fit."""
    options = request.compile_options
    return Choices(
        length=planned.language_model.max_sequence_length if planned.language_model else None,
        int4=request.pte is None
        and planned.npu is None
        and (options.weights, options.operators) == ("int8", "mcu"),
        checkpoint=request.pte is None,
    )


def _check_library(request: GenerateRequest, name: str) -> None:
    """Raises UsageError for a library whose names are taken already."""
    if request.format == "library":
        check_name(Library.of(slug(name), request.optimize, is_language_model=True, has_tokenizer=True))
